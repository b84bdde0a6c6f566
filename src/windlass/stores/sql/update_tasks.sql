-- What changes of a task before it ends. Since the end is not named, neither the index of those that
-- have ended nor that of the others is touched, which would cost as much again.
WITH new (status, started_at, ended_at, run, notes, outcome, seq) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?)
)
UPDATE windlass_tasks
SET status = new.status, started_at = new.started_at, run = new.run, notes = new.notes
FROM new
WHERE windlass_tasks.seq = new.seq
