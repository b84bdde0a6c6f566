-- Not unique: which key is taken is the engine's to decide, and a batch that frees a key and gives it
-- to another task would depend on the order of its statements.
CREATE INDEX windlass_keys ON windlass_tasks (seq) WHERE key IS NOT NULL
