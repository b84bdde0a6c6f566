CREATE INDEX windlass_lines_of_task ON windlass_lines (seq)
