-- The store's own numbers: the epoch, the greatest numbers ever used, the version of the schema.
CREATE TABLE windlass_state (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID
