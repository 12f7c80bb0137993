-- What the workers run besides outbox, transfers and refunds.

-- Its own small transaction; an epoch of 0 is not checked.
-- name: worker_heartbeat
UPDATE heartbeat SET beat = beat + 1, at_ms = ?
WHERE one = 1 AND (? = 0 OR EXISTS (SELECT 1 FROM cell_epoch WHERE one = 1 AND epoch = ?));

-- name: worker_park
INSERT INTO parked (queue, kind, reason, parked_at, body) VALUES (?, ?, ?, ?, ?);

-- name: orders_payment_load
SELECT payer, 0, state, tries, stuck, amount, expires_at FROM payment WHERE order_no = ?;

-- name: orders_payment_take
SELECT order_no FROM payment WHERE state = ? AND next_check_at <= ?
ORDER BY next_check_at LIMIT ? FOR UPDATE SKIP LOCKED;

-- name: orders_payment_lease
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (no BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN payment o ON o.order_no = t.no SET o.next_check_at = ?;

-- name: orders_payment_try
UPDATE payment SET tries = tries + 1, stuck = ?, next_check_at = ? WHERE order_no = ? AND state = ? AND tries = ?;

-- name: orders_event_find
SELECT kind, outcome, amount, at_ms FROM finance_event WHERE order_no = ? AND event_id = ?;

-- name: orders_event_add
INSERT INTO finance_event (order_no, event_id, kind, outcome, amount, at_ms, received_at, handled_at)
VALUES (?, ?, ?, ?, ?, ?, ?, NULL);

-- name: orders_event_lock
SELECT kind, outcome, amount, handled_at FROM finance_event WHERE order_no = ? AND event_id = ? FOR UPDATE;

-- name: orders_event_handled
UPDATE finance_event SET handled_at = ? WHERE order_no = ? AND event_id = ?;
