SELECT number, kind, body FROM windlass_requests ORDER BY number LIMIT ?
