CREATE TABLE windlass_news (
    number INTEGER PRIMARY KEY,
    body BLOB NOT NULL
)
