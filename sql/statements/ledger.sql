-- The books: lib/domain/ledger.c.

-- name: ledger_add
INSERT INTO ledger (kind, source_no, leg, account, owner, amount, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?);

-- Both legs of each.
-- name: ledger_add_all
INSERT INTO ledger (kind, source_no, leg, account, owner, amount, at_ms)
SELECT ?, t.n, l.leg, IF(l.leg, ?, ?), t.c, IF(l.leg, t.a, -t.a), ?
FROM JSON_TABLE(?, '$[*]' COLUMNS (n BIGINT UNSIGNED PATH '$.n', c BIGINT UNSIGNED PATH '$.c', a BIGINT PATH '$.a')) AS t
CROSS JOIN (SELECT 0 AS leg UNION ALL SELECT 1) AS l;

-- name: ledger_find
SELECT owner, amount FROM ledger WHERE kind = ? AND source_no = ? ORDER BY leg;

-- The first leg of a booking that this very transaction began and that its account cannot bear.
-- name: ledger_undo
DELETE FROM ledger WHERE kind = ? AND source_no = ?;

-- name: ledger_take
UPDATE account SET balance = balance - ? WHERE kind = ? AND owner = ? AND balance >= ?;

-- name: ledger_give
INSERT INTO account (kind, owner, balance) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE balance = balance + VALUES(balance);

-- name: ledger_balance
SELECT balance FROM account WHERE kind = ? AND owner = ?;

-- In the order of the index by_account.
-- name: ledger_page
SELECT kind, source_no, amount, at_ms FROM ledger
WHERE account = ? AND owner = ? AND at_ms <= ? AND (at_ms < ? OR kind < ? OR (kind = ? AND source_no < ?))
ORDER BY at_ms DESC, kind DESC, source_no DESC LIMIT ?;
