SELECT count(*) FROM windlass_tasks
WHERE ended_at < ? AND status IN (?, ?, ?)
