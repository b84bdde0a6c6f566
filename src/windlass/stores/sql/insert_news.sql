INSERT INTO windlass_news (body) VALUES (?)
