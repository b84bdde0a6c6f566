CREATE TABLE windlass_tasks (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    function TEXT NOT NULL,
    status TEXT NOT NULL,
    key TEXT,
    created_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    run INTEGER NOT NULL,
    -- What is long comes last: whoever reads only the rest need not follow it to other pages.
    call BLOB NOT NULL,
    options BLOB NOT NULL,
    notes BLOB,
    outcome BLOB,
    CHECK (CASE WHEN ended_at IS NULL THEN {unfinished} ELSE {finished} END)
)
