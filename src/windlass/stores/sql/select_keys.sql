SELECT seq, key, id FROM windlass_tasks
WHERE key IS NOT NULL AND ended_at IS NOT NULL AND seq > ?
ORDER BY seq
LIMIT ?
