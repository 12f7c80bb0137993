-- Refunds: what of a packet goes back through finance.

-- A walk in the order of the index, from where the last one ended. The state comes twice, as in recon.sql.
-- name: refund_expired_packets
SELECT packet_id, expires_at FROM packet
WHERE state >= ? AND state <= ? AND expires_at <= ? AND expires_at >= ? AND (expires_at > ? OR packet_id > ?)
ORDER BY state, expires_at, packet_id LIMIT ?;

-- name: refund_lock_packet
SELECT state, kind, sender, remaining, expires_at, campaign FROM packet WHERE packet_id = ? FOR UPDATE SKIP LOCKED;

-- name: refund_packet_expiry
SELECT expires_at FROM packet WHERE packet_id = ?;

-- name: refund_add
INSERT INTO refund (order_no, packet_id, reason, claim_no, payment_no, payee, amount, state, next_check_at, created_at, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: refund_lock
SELECT state, amount, packet_id, reason, claim_no, payee, payment_no FROM refund WHERE order_no = ? FOR UPDATE;

-- name: refund_count
SELECT COUNT(*) FROM refund WHERE packet_id = ? AND reason = ? AND claim_no = ?;

-- name: refund_sum
SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM refund WHERE packet_id = ?;

-- name: orders_refund_load
SELECT payee, payment_no, state, tries, stuck, amount, 0 FROM refund WHERE order_no = ?;

-- name: orders_refund_take
SELECT order_no FROM refund WHERE state = ? AND next_check_at <= ?
ORDER BY next_check_at LIMIT ? FOR UPDATE SKIP LOCKED;

-- name: orders_refund_lease
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (no BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN refund o ON o.order_no = t.no SET o.next_check_at = ?;

-- name: orders_refund_try
UPDATE refund SET tries = tries + 1, stuck = ?, next_check_at = ? WHERE order_no = ? AND state = ? AND tries = ?;
