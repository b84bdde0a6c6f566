SELECT value FROM windlass_checkpoints WHERE seq = ?
