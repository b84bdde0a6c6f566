-- In two halves, so that each is read from its index.
SELECT status, count(*) FROM windlass_tasks WHERE ended_at IS NULL GROUP BY status
UNION ALL
SELECT status, count(*) FROM windlass_tasks WHERE ended_at IS NOT NULL GROUP BY status
