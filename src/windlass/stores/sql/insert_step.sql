REPLACE INTO windlass_steps (seq, name, value)
WITH new (seq, name, value) AS (VALUES (?, ?, ?))
SELECT new.seq, new.name, new.value FROM new JOIN windlass_tasks USING (seq)
