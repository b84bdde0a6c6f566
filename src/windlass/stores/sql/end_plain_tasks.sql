-- As end_tasks, of tasks without notes.
WITH new (status, started_at, ended_at, run, outcome, first, last) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?)
)
UPDATE windlass_tasks
SET
    status = new.status,
    started_at = new.started_at,
    ended_at = new.ended_at,
    run = new.run,
    notes = NULL,
    outcome = new.outcome
FROM new
WHERE seq BETWEEN new.first AND new.last
