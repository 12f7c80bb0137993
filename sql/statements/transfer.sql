-- Transfers: one claim's money on its way through finance.

-- The transfer is made from the claim itself and its packet, so no message can make one without a claim, or of another kind.
-- name: transfer_add
INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, next_check_at, created_at, changed_at)
SELECT c.claim_no, c.packet_id, c.uid, c.amount, ?, ?, ?, ?, ? FROM claim c JOIN packet p ON p.packet_id = c.packet_id
WHERE c.packet_id = ? AND c.uid = ? AND c.claim_no = ? AND c.amount = ? AND p.kind = ?;

-- name: transfer_same
SELECT 1 FROM transfer WHERE order_no = ? AND packet_id = ? AND payee = ? AND amount = ? AND kind = ?;

-- What finance has a word in; credits are of kind 2.
-- name: transfer_lock
SELECT state, amount, payee, packet_id FROM transfer WHERE order_no = ? AND kind = 1 FOR UPDATE;

-- name: transfer_state
SELECT state, kind FROM transfer WHERE order_no = ?;

-- name: orders_transfer_load
SELECT payee, 0, state, tries, stuck, amount, 0 FROM transfer WHERE order_no = ? AND kind = 1;

-- name: orders_transfer_take
SELECT order_no FROM transfer WHERE state = ? AND next_check_at <= ? AND kind = 1
ORDER BY next_check_at LIMIT ? FOR UPDATE SKIP LOCKED;

-- name: orders_transfer_lease
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (no BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN transfer o ON o.order_no = t.no SET o.next_check_at = ?;

-- name: orders_transfer_try
UPDATE transfer SET tries = tries + 1, stuck = ?, next_check_at = ? WHERE order_no = ? AND state = ? AND tries = ?;
