-- The one statement per order kind that changes a state: a compare-and-set on the old one. An order
-- that moves on is no longer stuck, and its tries are counted anew.

-- name: states_packet
UPDATE packet SET state = ?, expires_at = ? WHERE packet_id = ? AND state = ?;

-- name: states_payment
UPDATE payment SET state = ?, next_check_at = ?, changed_at = ?, tries = 0, stuck = 0
WHERE order_no = ? AND state = ?;

-- name: states_transfer
UPDATE transfer SET state = ?, next_check_at = ?, changed_at = ?, tries = 0, stuck = 0
WHERE order_no = ? AND state = ?;

-- name: states_refund
UPDATE refund SET state = ?, next_check_at = ?, changed_at = ?, tries = 0, stuck = 0
WHERE order_no = ? AND state = ?;

-- name: states_subsidy
UPDATE subsidy SET state = ?, expires_at = ?, changed_at = ? WHERE subsidy_id = ? AND state = ?;

-- name: states_withdrawal
UPDATE withdrawal SET state = ?, next_check_at = ?, changed_at = ?, tries = 0, stuck = 0
WHERE order_no = ? AND state = ?;

-- name: states_lease
UPDATE budget_lease SET state = ?, settle_at = ? WHERE lease_id = ? AND state = ?;

-- name: states_range
UPDATE age_range SET state = ?, changed_at = ? WHERE below = ? AND state = ?;
