SELECT seq FROM windlass_tasks
WHERE ended_at < ? AND status IN (?, ?, ?)
ORDER BY ended_at, seq
LIMIT ?
