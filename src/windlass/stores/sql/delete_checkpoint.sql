DELETE FROM windlass_checkpoints WHERE seq = ?
