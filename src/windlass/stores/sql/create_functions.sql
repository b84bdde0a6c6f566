-- What the functions of the tasks ask for them, for whoever looks at the file without the program.
CREATE TABLE windlass_functions (
    id TEXT PRIMARY KEY,
    options BLOB NOT NULL
) WITHOUT ROWID
