UPDATE windlass_notes SET task = text WHERE name GLOB 'alias:*'
