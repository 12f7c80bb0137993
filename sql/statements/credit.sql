-- Credits: transfers that end in a wallet.

-- name: credit_campaign
SELECT campaign FROM packet WHERE packet_id = ?;

-- name: credit_lock
SELECT kind, state FROM transfer WHERE order_no = ? FOR UPDATE;

-- name: credit_due
SELECT order_no, payee, amount, tries, stuck FROM transfer WHERE state = ? AND next_check_at <= ? AND kind = ?
ORDER BY next_check_at LIMIT ? FOR UPDATE SKIP LOCKED;
