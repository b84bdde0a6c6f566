SELECT
    seq, id, function, status, key, created_at, started_at, ended_at,
    run, call, options, notes, outcome
FROM windlass_tasks
WHERE id = ?
