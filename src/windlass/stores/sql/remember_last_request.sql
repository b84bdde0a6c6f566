UPDATE windlass_state
SET value = max(value, (SELECT coalesce(max(number), 0) FROM windlass_requests))
WHERE name = 'last_request'
