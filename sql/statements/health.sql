-- What hb-query asks all the time: is this still the cell's primary, with a replica that acknowledges?

-- name: heartbeat_at
SELECT at_ms FROM heartbeat WHERE one = 1;
