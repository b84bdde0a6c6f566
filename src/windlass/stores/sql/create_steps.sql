CREATE TABLE windlass_steps (
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (seq, name)
) WITHOUT ROWID
