DELETE FROM windlass_requests WHERE number = ?
