INSERT INTO windlass_lines (seq, at, kind, text)
WITH new (seq, at, kind, text) AS (VALUES (?, ?, ?, ?))
SELECT new.seq, new.at, new.kind, new.text FROM new JOIN windlass_tasks USING (seq)
