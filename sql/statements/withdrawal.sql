-- Withdrawals: what leaves wallets through finance.

-- name: withdrawal_add
INSERT INTO withdrawal (order_no, uid, amount, state, next_check_at, created_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: withdrawal_load
SELECT order_no, uid, amount, state, created_at, changed_at FROM withdrawal WHERE order_no = ?;

-- name: withdrawal_lock
SELECT order_no, uid, amount, state, created_at, changed_at FROM withdrawal WHERE order_no = ? FOR UPDATE;

-- name: withdrawal_page
SELECT order_no, uid, amount, state, created_at, changed_at FROM withdrawal
WHERE uid = ? AND (created_at < ? OR (created_at = ? AND order_no < ?)) ORDER BY created_at DESC, order_no DESC LIMIT ?;

-- name: orders_withdrawal_load
SELECT uid, 0, state, tries, stuck, amount, 0 FROM withdrawal WHERE order_no = ?;

-- name: orders_withdrawal_take
SELECT order_no FROM withdrawal WHERE state = ? AND next_check_at <= ?
ORDER BY next_check_at LIMIT ? FOR UPDATE SKIP LOCKED;

-- name: orders_withdrawal_lease
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (no BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN withdrawal o ON o.order_no = t.no SET o.next_check_at = ?;

-- name: orders_withdrawal_try
UPDATE withdrawal SET tries = tries + 1, stuck = ?, next_check_at = ? WHERE order_no = ? AND state = ? AND tries = ?;
