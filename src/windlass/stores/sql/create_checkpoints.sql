CREATE TABLE windlass_checkpoints (
    seq INTEGER PRIMARY KEY,
    value BLOB NOT NULL
)
