SELECT number, body FROM windlass_news WHERE number > ? ORDER BY number
