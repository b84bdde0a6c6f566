SELECT name, value FROM windlass_steps WHERE seq = ?
