SELECT
    seq, id, function, status, key, created_at, started_at, ended_at,
    run, call, options, notes, outcome
FROM windlass_tasks
-- The plus keeps it from the index by time, which would have to be sorted for each page.
WHERE +ended_at IS NOT NULL AND seq < ?
ORDER BY seq DESC
LIMIT ?
