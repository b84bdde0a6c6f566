DELETE FROM windlass_notes WHERE task = (SELECT id FROM windlass_tasks WHERE seq = ?)
