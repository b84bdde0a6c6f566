SELECT seq FROM windlass_tasks
WHERE ended_at < ? AND status IN (?, ?, ?) AND (key IS NULL OR ended_at < ?)
ORDER BY ended_at, seq
LIMIT ?
