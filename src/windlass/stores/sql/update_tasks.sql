-- What changes of tasks before they end. Since the end is not named, neither the index of those that
-- have ended nor that of the others is touched, which would cost as much again.
UPDATE windlass_tasks
SET status = ?, started_at = ?, run = ?, notes = ?
WHERE seq BETWEEN ? AND ?
