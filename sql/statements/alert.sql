-- What people are told (lib/domain/alert.c), and what they do about it (hbctl orders).

-- The first one stays: one alert per thing.
-- name: alert_add
INSERT INTO alert (kind, subject, text, created_at) VALUES (?, ?, ?, ?) ON DUPLICATE KEY UPDATE id = id;

-- name: alert_clear
DELETE FROM alert WHERE kind = ? AND subject = ?;

-- How many wait, and when the last one went out.
-- name: alert_waiting
SELECT COUNT(*), (SELECT COALESCE(MAX(sent_at), 0) FROM alert WHERE sent_at IS NOT NULL) FROM alert
WHERE sent_at IS NULL AND lease_until <= ?;

-- name: alert_take
SELECT id, text FROM alert WHERE sent_at IS NULL AND lease_until <= ? ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED;

-- name: alert_lease
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN alert a ON a.id = t.id SET a.lease_until = ?;

-- name: alert_sent
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN alert a ON a.id = t.id SET a.sent_at = ?;

-- name: parked_list
SELECT id, queue, kind, reason, parked_at, LEFT(body, 200) FROM parked ORDER BY id LIMIT ?;

-- name: parked_lock
SELECT kind, body FROM parked WHERE id = ? FOR UPDATE;

-- name: parked_delete
DELETE FROM parked WHERE id = ?;

-- Every order of the states that are pushed, marked stuck; in the order in which they came there.
-- name: orders_stuck
SELECT 'payment' AS kind, order_no, payer AS uid, amount, state, tries, next_check_at, changed_at FROM payment
 WHERE state IN (?, ?, ?) AND stuck = 1
UNION ALL SELECT 'transfer', order_no, payee, amount, state, tries, next_check_at, changed_at FROM transfer
 WHERE state IN (?, ?) AND stuck = 1
UNION ALL SELECT 'refund', order_no, payee, amount, state, tries, next_check_at, changed_at FROM refund
 WHERE state IN (?, ?) AND stuck = 1
UNION ALL SELECT 'withdrawal', order_no, uid, amount, state, tries, next_check_at, changed_at FROM withdrawal
 WHERE state IN (?, ?) AND stuck = 1
ORDER BY changed_at LIMIT ?;

-- name: orders_show
SELECT 'payment' AS kind, order_no, payer AS uid, amount, state, tries, stuck, next_check_at, created_at, changed_at, packet_id
 FROM payment WHERE order_no = ?
UNION ALL SELECT 'transfer', order_no, payee, amount, state, tries, stuck, next_check_at, created_at, changed_at, packet_id
 FROM transfer WHERE order_no = ?
UNION ALL SELECT 'refund', order_no, payee, amount, state, tries, stuck, next_check_at, created_at, changed_at, packet_id
 FROM refund WHERE order_no = ?
UNION ALL SELECT 'withdrawal', order_no, uid, amount, state, tries, stuck, next_check_at, created_at, changed_at, 0
 FROM withdrawal WHERE order_no = ?;

-- name: orders_events
SELECT event_id, outcome, amount, received_at, handled_at FROM finance_event WHERE order_no = ? ORDER BY received_at LIMIT 100;

-- name: orders_payment_push
UPDATE payment SET tries = 0, stuck = 0, next_check_at = ? WHERE order_no = ? AND state = ?;

-- name: orders_transfer_push
UPDATE transfer SET tries = 0, stuck = 0, next_check_at = ? WHERE order_no = ? AND state = ?;

-- name: orders_refund_push
UPDATE refund SET tries = 0, stuck = 0, next_check_at = ? WHERE order_no = ? AND state = ?;

-- name: orders_withdrawal_push
UPDATE withdrawal SET tries = 0, stuck = 0, next_check_at = ? WHERE order_no = ? AND state = ?;
