REPLACE INTO windlass_notes (name, text, task) VALUES (?, ?, ?)
