SELECT value FROM windlass_state WHERE name = ?
