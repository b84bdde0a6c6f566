SELECT number, seq, at, kind, text FROM windlass_lines
WHERE seq = ? AND number > ?
ORDER BY number
