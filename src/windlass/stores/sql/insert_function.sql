REPLACE INTO windlass_functions (id, options) VALUES (?, ?)
