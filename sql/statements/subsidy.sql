-- Subsidies: who owns an external order number, what is in users' hands, and what comes back of it.

-- The first row of all that is written for a number: a second one waits here for the first's commit.
-- name: tracking_add
INSERT INTO tracking (issuer, out_order_no, uid, amount, campaign, expires_at, subsidy_id, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: tracking_find
SELECT uid, amount, campaign, expires_at, subsidy_id, created_at FROM tracking WHERE issuer = ? AND out_order_no = ?;

-- Of a JSON array of external order numbers.
-- name: tracking_known
SELECT k.out_order_no, k.uid, k.amount, k.campaign
FROM JSON_TABLE(?, '$[*]' COLUMNS (no VARBINARY(64) PATH '$')) AS t
STRAIGHT_JOIN tracking k ON k.issuer = ? AND k.out_order_no = t.no;

-- name: tracking_add_all
INSERT INTO tracking (issuer, out_order_no, uid, amount, campaign, expires_at, subsidy_id, created_at)
SELECT ?, t.o, t.u, t.a, t.c, t.x, t.n, ?
FROM JSON_TABLE(?, '$[*]' COLUMNS (o VARBINARY(64) PATH '$.o', u BIGINT UNSIGNED PATH '$.u', a BIGINT PATH '$.a',
  c INT UNSIGNED PATH '$.c', x BIGINT PATH '$.x', n BIGINT UNSIGNED PATH '$.n')) AS t;

-- The win's own number belongs to another subsidy; in the transaction that wrote the row.
-- name: tracking_renumber
UPDATE tracking SET subsidy_id = ? WHERE issuer = ? AND out_order_no = ?;

-- Kept from settling while something of it is recorded; those who record do not wait for each other.
-- name: lease_share
SELECT campaign, state FROM budget_lease WHERE lease_id = ? LOCK IN SHARE MODE;

-- name: subsidy_add
INSERT INTO subsidy (subsidy_id, uid, issuer, out_order_no, campaign, lease_id, amount, state, expires_at, packet_id, created_at, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?);

-- name: subsidy_add_all
INSERT INTO subsidy (subsidy_id, uid, issuer, out_order_no, campaign, lease_id, amount, state, expires_at, packet_id, created_at, changed_at)
SELECT t.n, t.u, ?, t.o, t.c, t.l, t.a, ?, t.x, NULL, ?, ?
FROM JSON_TABLE(?, '$[*]' COLUMNS (o VARBINARY(64) PATH '$.o', u BIGINT UNSIGNED PATH '$.u', a BIGINT PATH '$.a',
  c INT UNSIGNED PATH '$.c', x BIGINT PATH '$.x', n BIGINT UNSIGNED PATH '$.n', l BIGINT UNSIGNED PATH '$.l')) AS t;

-- name: subsidy_lock
SELECT subsidy_id, uid, issuer, out_order_no, campaign, lease_id, amount, state, expires_at, packet_id, created_at
FROM subsidy WHERE subsidy_id = ? FOR UPDATE;

-- The sweep has others to do meanwhile.
-- name: subsidy_lock_free
SELECT subsidy_id, uid, issuer, out_order_no, campaign, lease_id, amount, state, expires_at, packet_id, created_at
FROM subsidy WHERE subsidy_id = ? FOR UPDATE SKIP LOCKED;

-- name: subsidy_issued
SELECT subsidy_id, uid, issuer, out_order_no, campaign, lease_id, amount, state, expires_at, packet_id, created_at
FROM subsidy WHERE issuer = ? AND out_order_no = ?;

-- name: subsidy_spent_on
UPDATE subsidy SET packet_id = ? WHERE subsidy_id = ?;

-- A user's rows are as many as the campaigns' limits let be.
-- name: subsidy_page
SELECT subsidy_id, uid, issuer, out_order_no, campaign, lease_id, amount, state, expires_at, packet_id, created_at
FROM subsidy WHERE uid = ? AND ((state = ? AND expires_at > ?), created_at, subsidy_id) < (?, ?, ?)
ORDER BY (state = ? AND expires_at > ?) DESC, created_at DESC, subsidy_id DESC LIMIT ?;

-- Those of a JSON array of external order numbers that are here.
-- name: subsidy_recorded
SELECT s.subsidy_id, s.uid, s.issuer, s.out_order_no, s.campaign, s.lease_id, s.amount, s.state, s.expires_at, s.packet_id, s.created_at
FROM JSON_TABLE(?, '$[*]' COLUMNS (no VARBINARY(64) PATH '$')) AS t
STRAIGHT_JOIN subsidy s ON s.issuer = ? AND s.out_order_no = t.no;

-- name: subsidy_campaign
SELECT number FROM campaign WHERE name = ?;

-- A walk in the order of the index, from where the last one ended.
-- name: subsidy_expired
SELECT subsidy_id, expires_at FROM subsidy
WHERE state = ? AND expires_at <= ? AND expires_at >= ? AND (expires_at > ? OR subsidy_id > ?)
ORDER BY expires_at, subsidy_id LIMIT ?;

-- name: lease_due
SELECT lease_id FROM budget_lease WHERE state = ? AND settle_at <= ? ORDER BY settle_at LIMIT ?;

-- name: lease_lock
SELECT campaign, amount, state, settle_at FROM budget_lease WHERE lease_id = ? FOR UPDATE;

-- name: lease_recorded
SELECT COALESCE(SUM(amount), 0) FROM subsidy WHERE lease_id = ?;

-- name: lease_returned
UPDATE budget_lease SET returned = ? WHERE lease_id = ?;
