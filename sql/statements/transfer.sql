-- Transfers: one claim's money on its way through finance.

-- The transfer is made from the claim itself, so no message can make one without a claim.
-- name: transfer_add
INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, next_check_at, created_at, changed_at)
SELECT claim_no, packet_id, uid, amount, ?, ?, ?, ?, ? FROM claim
WHERE packet_id = ? AND uid = ? AND claim_no = ? AND amount = ?;

-- name: transfer_same
SELECT 1 FROM transfer WHERE order_no = ? AND packet_id = ? AND payee = ? AND amount = ?;

-- name: transfer_lock
SELECT state, amount, payee, packet_id FROM transfer WHERE order_no = ? FOR UPDATE;

-- name: transfer_state
SELECT state FROM transfer WHERE order_no = ?;

-- name: orders_transfer_load
SELECT payee, 0, state, tries, stuck, amount, 0 FROM transfer WHERE order_no = ?;

-- name: orders_transfer_take
SELECT order_no FROM transfer WHERE state = ? AND next_check_at <= ?
ORDER BY next_check_at LIMIT ? FOR UPDATE SKIP LOCKED;

-- name: orders_transfer_lease
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (no BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN transfer o ON o.order_no = t.no SET o.next_check_at = ?;

-- name: orders_transfer_try
UPDATE transfer SET tries = tries + 1, stuck = ?, next_check_at = ? WHERE order_no = ? AND state = ?;
