UPDATE windlass_tasks
SET status = ?, started_at = ?, ended_at = ?, run = ?, notes = ?, outcome = ?
WHERE seq = ?
