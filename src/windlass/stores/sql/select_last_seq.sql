SELECT max(
    (SELECT coalesce(max(seq), 0) FROM windlass_tasks),
    (SELECT value FROM windlass_state WHERE name = 'last_seq')
)
