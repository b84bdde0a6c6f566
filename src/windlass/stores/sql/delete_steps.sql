DELETE FROM windlass_steps WHERE seq = ?
