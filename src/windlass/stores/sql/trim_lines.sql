DELETE FROM windlass_lines WHERE seq = ? AND number <= (
    SELECT number FROM windlass_lines WHERE seq = ? ORDER BY number DESC LIMIT 1 OFFSET ?
)
