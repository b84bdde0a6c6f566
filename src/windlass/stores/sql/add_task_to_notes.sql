-- The id of the task that a note goes with.
ALTER TABLE windlass_notes ADD COLUMN task TEXT
