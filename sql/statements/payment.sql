-- The orders by which c2c packets are paid.

-- name: payment_insert
INSERT INTO payment (order_no, packet_id, payer, amount, state, next_check_at, expires_at, created_at, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: payment_load
SELECT order_no, packet_id, payer, amount, state, expires_at, created_at, cashier_url FROM payment WHERE order_no = ?;

-- name: payment_lock
SELECT order_no, packet_id, payer, amount, state, expires_at, created_at, cashier_url FROM payment WHERE order_no = ?
FOR UPDATE;

-- name: payment_of_packet
SELECT order_no, packet_id, payer, amount, state, expires_at, created_at, cashier_url FROM payment WHERE packet_id = ?;

-- The first address stays.
-- name: payment_set_cashier
UPDATE payment SET cashier_url = ? WHERE order_no = ? AND cashier_url = '';
