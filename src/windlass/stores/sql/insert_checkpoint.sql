REPLACE INTO windlass_checkpoints (seq, value)
WITH new (seq, value) AS (VALUES (?, ?))
SELECT new.seq, new.value FROM new JOIN windlass_tasks USING (seq)
