CREATE INDEX windlass_ended ON windlass_tasks (ended_at, status) WHERE ended_at IS NOT NULL
