DELETE FROM windlass_tasks WHERE seq = ?
