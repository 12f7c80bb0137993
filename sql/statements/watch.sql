-- What hb-worker watch asks every few seconds. Every count is bounded, and each statement by the session's time.

-- name: watch_bound
SET SESSION max_statement_time = 2;

-- name: watch_packets
SELECT COUNT(*) FROM (SELECT 1 FROM packet WHERE state = ? LIMIT 100000) AS n;

-- name: watch_payments
SELECT COUNT(*) FROM (SELECT 1 FROM payment WHERE state = ? LIMIT 100000) AS n;

-- name: watch_transfers
SELECT COUNT(*) FROM (SELECT 1 FROM transfer WHERE state = ? LIMIT 100000) AS n;

-- name: watch_refunds
SELECT COUNT(*) FROM (SELECT 1 FROM refund WHERE state = ? LIMIT 100000) AS n;

-- name: watch_subsidies
SELECT COUNT(*) FROM (SELECT 1 FROM subsidy WHERE state = ? LIMIT 100000) AS n;

-- name: watch_withdrawals
SELECT COUNT(*) FROM (SELECT 1 FROM withdrawal WHERE state = ? LIMIT 100000) AS n;

-- name: watch_leases
SELECT COUNT(*) FROM (SELECT 1 FROM budget_lease WHERE state = ? LIMIT 100000) AS n;

-- name: watch_outbox
SELECT COUNT(*), COALESCE(MIN(created_at), 0) FROM (SELECT created_at FROM outbox ORDER BY id LIMIT 100000) AS n;

-- name: watch_alerts
SELECT COUNT(*) FROM (SELECT 1 FROM alert WHERE sent_at IS NULL LIMIT 100000) AS n;

-- Of those that are pushed, as orders_stuck lists them.
-- name: watch_stuck
SELECT (SELECT COUNT(*) FROM (SELECT stuck FROM payment WHERE state IN (?, ?, ?) LIMIT 100000) AS n WHERE stuck = 1)
 + (SELECT COUNT(*) FROM (SELECT stuck FROM transfer WHERE state IN (?, ?) LIMIT 100000) AS n WHERE stuck = 1)
 + (SELECT COUNT(*) FROM (SELECT stuck FROM refund WHERE state IN (?, ?) LIMIT 100000) AS n WHERE stuck = 1)
 + (SELECT COUNT(*) FROM (SELECT stuck FROM withdrawal WHERE state IN (?, ?) LIMIT 100000) AS n WHERE stuck = 1);

-- name: watch_parked
SELECT COUNT(*) FROM (SELECT 1 FROM parked LIMIT 100000) AS n;

-- name: watch_differences
SELECT COUNT(*) FROM (SELECT gone_at FROM recon_diff LIMIT 100000) AS n WHERE gone_at IS NULL;

-- name: watch_semi_sync
SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_CLIENTS';
