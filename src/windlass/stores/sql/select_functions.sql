SELECT id, options FROM windlass_functions
