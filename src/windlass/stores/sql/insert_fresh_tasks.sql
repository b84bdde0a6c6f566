INSERT INTO windlass_tasks (seq, id, function, created_at, call, status, run, options)
VALUES (?, ?, ?, ?, ?, 'pending', 0, x'')
