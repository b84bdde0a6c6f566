REPLACE INTO windlass_notes (name, text) VALUES (?, ?)
