-- The outbox: written by business transactions, emptied by the relay.

-- name: outbox_add
INSERT INTO outbox (kind, business_no, lease_until, created_at, payload) VALUES (?, ?, 0, ?, ?);

-- A plain look, so that an idle relay locks nothing.
-- name: outbox_waiting
SELECT id FROM outbox WHERE id >= ? AND lease_until <= ? ORDER BY id LIMIT 1;

-- name: outbox_lock_free
SELECT id, kind, payload FROM outbox WHERE id >= ? AND lease_until <= ?
ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED;

-- The ids come as one JSON array; each is looked up by the primary key.
-- name: outbox_lease
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN outbox o ON o.id = t.id SET o.lease_until = ?;

-- name: outbox_delete
DELETE o FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN outbox o ON o.id = t.id;

-- name: outbox_park
INSERT INTO parked (queue, kind, reason, parked_at, body)
SELECT CONCAT('outbox kind ', kind), kind, ?, ?, payload FROM outbox WHERE id = ?;
