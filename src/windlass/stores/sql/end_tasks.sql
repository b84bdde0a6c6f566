WITH new (status, started_at, ended_at, run, notes, outcome, seq) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?)
)
UPDATE windlass_tasks
SET
    status = new.status,
    started_at = new.started_at,
    ended_at = new.ended_at,
    run = new.run,
    notes = new.notes,
    outcome = new.outcome
FROM new
WHERE windlass_tasks.seq = new.seq
