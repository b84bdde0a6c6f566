INSERT INTO windlass_tasks (
    seq, id, function, status, key, created_at, started_at, ended_at,
    run, call, options, notes, outcome
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- Not INSERT OR REPLACE, which would delete another task that has the same id.
ON CONFLICT (seq) DO UPDATE SET
    id = excluded.id,
    function = excluded.function,
    status = excluded.status,
    key = excluded.key,
    created_at = excluded.created_at,
    started_at = excluded.started_at,
    ended_at = excluded.ended_at,
    run = excluded.run,
    call = excluded.call,
    options = excluded.options,
    notes = excluded.notes,
    outcome = excluded.outcome
