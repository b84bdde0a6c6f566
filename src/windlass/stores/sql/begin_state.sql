INSERT INTO windlass_state (name, value)
VALUES ('schema', 0), ('created_by_us', 0), ('epoch', 0), ('last_seq', 0), ('last_request', 0)
