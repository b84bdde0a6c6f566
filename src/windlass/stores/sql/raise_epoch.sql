UPDATE windlass_state SET value = value + 1 WHERE name = 'epoch'
