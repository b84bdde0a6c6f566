INSERT INTO windlass_requests (number, kind, body)
VALUES (
    1 + max(
        (SELECT coalesce(max(number), 0) FROM windlass_requests),
        (SELECT value FROM windlass_state WHERE name = 'last_request')
    ),
    ?,
    ?
)
