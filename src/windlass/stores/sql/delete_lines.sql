DELETE FROM windlass_lines WHERE seq = ?
