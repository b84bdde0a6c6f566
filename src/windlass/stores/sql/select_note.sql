SELECT text FROM windlass_notes WHERE name = ?
