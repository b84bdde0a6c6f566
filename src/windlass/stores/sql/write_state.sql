UPDATE windlass_state SET value = ? WHERE name = ?
