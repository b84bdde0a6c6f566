CREATE INDEX windlass_notes_of_tasks ON windlass_notes (task) WHERE task IS NOT NULL
