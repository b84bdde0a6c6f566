CREATE INDEX windlass_unfinished ON windlass_tasks (seq) WHERE ended_at IS NULL
