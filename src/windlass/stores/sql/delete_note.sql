DELETE FROM windlass_notes WHERE name = ?
