UPDATE windlass_state
SET value = max(value, (SELECT coalesce(max(seq), 0) FROM windlass_tasks))
WHERE name = 'last_seq'
