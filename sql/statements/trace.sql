-- One envelope's story, for `hbctl trace`: rows of (at_ms, kind, number, uid, amount, state, detail, changed_at).

-- name: trace_packet_of
SELECT packet_id FROM packet WHERE packet_id = ?
UNION SELECT packet_id FROM payment WHERE order_no = ?
UNION SELECT packet_id FROM transfer WHERE order_no = ?
UNION SELECT packet_id FROM refund WHERE order_no = ?
UNION SELECT packet_id FROM subsidy WHERE subsidy_id = ? AND packet_id IS NOT NULL LIMIT 1;

-- name: trace_packet
SELECT created_at, 'packet', packet_id, sender, total, state, CONCAT(remaining_count, ' of ', count, ' shares left'), created_at
 FROM packet WHERE packet_id = ?
UNION ALL SELECT created_at, 'subsidy', subsidy_id, uid, amount, state, CONCAT(issuer, ' ', out_order_no), changed_at
 FROM subsidy WHERE packet_id = ?
UNION ALL SELECT created_at, 'payment', order_no, payer, amount, state, CONCAT(tries, ' checks'), changed_at
 FROM payment WHERE packet_id = ?
UNION ALL (SELECT claimed_at, 'claim', claim_no, uid, amount, 0, CONCAT('share ', idx), claimed_at
 FROM claim WHERE packet_id = ? ORDER BY idx LIMIT 1000)
UNION ALL (SELECT created_at, IF(kind = 1, 'transfer', 'credit'), order_no, payee, amount, state, CONCAT(tries, ' checks'), changed_at
 FROM transfer WHERE packet_id = ? ORDER BY order_no LIMIT 1000)
UNION ALL SELECT created_at, 'refund', order_no, payee, amount, state, CONCAT(tries, ' checks'), changed_at
 FROM refund WHERE packet_id = ?
UNION ALL SELECT created_at, 'outbox', id, 0, 0, kind, 'waits for the relay', created_at
 FROM outbox WHERE business_no = ?;

-- name: trace_order
SELECT created_at, 'withdrawal', order_no, uid, amount, state, CONCAT(tries, ' checks'), changed_at FROM withdrawal WHERE order_no = ?
UNION ALL SELECT created_at, 'subsidy', subsidy_id, uid, amount, state, CONCAT(issuer, ' ', out_order_no), changed_at
 FROM subsidy WHERE subsidy_id = ?;

-- name: trace_events
SELECT received_at, 'callback', order_no, 0, amount, outcome, IF(handled_at IS NULL, 'not handled', event_id), IFNULL(handled_at, 0)
 FROM finance_event WHERE order_no = ? LIMIT 100;

-- name: trace_ledger
SELECT at_ms, 'ledger', source_no, owner, amount, kind, '', at_ms
 FROM ledger WHERE kind BETWEEN 3 AND 15 AND source_no = ? AND amount > 0;

-- name: trace_received
SELECT claimed_at, 'received', claim_no, uid, amount, 0, 'in the claimer''s list', claimed_at FROM received WHERE uid = ? AND claim_no = ?;
