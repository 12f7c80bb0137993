-- Reconciliation: lib/domain/recon*.c.

-- name: recon_run_begin
INSERT INTO recon_run (domain, window_at, window_end, began_at, given) VALUES (?, ?, ?, ?, ?)
ON DUPLICATE KEY UPDATE began_at = VALUES(began_at), given = VALUES(given), ended_at = NULL;

-- name: recon_run_end
UPDATE recon_run SET ended_at = ?, here = ?, there = ?, waiting = ?, differences = ?
WHERE domain = ? AND window_at = ? AND window_end = ?;

-- What was begun later than that, came to its end and left nothing open.
-- name: recon_run_find
SELECT 1 FROM recon_run WHERE domain = ? AND window_at = ? AND window_end = ? AND began_at >= ? AND ended_at IS NOT NULL
  AND waiting = 0 AND given = 0;

-- name: recon_run_first
SELECT MIN(window_at) FROM recon_run WHERE domain = ? AND window_end - window_at = ?;

-- name: recon_diff_add
INSERT INTO recon_diff (domain, window_at, window_end, thing, order_no, kind, ours, theirs, found_at, seen_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON DUPLICATE KEY UPDATE ours = VALUES(ours), theirs = VALUES(theirs), seen_at = VALUES(seen_at), gone_at = NULL;

-- name: recon_diff_gone
UPDATE recon_diff SET gone_at = ? WHERE domain = ? AND window_at = ? AND window_end = ? AND seen_at < ? AND gone_at IS NULL;

-- name: recon_diff_page
SELECT thing, order_no, kind, ours, theirs, found_at FROM recon_diff
WHERE domain = ? AND window_at = ? AND window_end = ? AND gone_at IS NULL
  AND (thing > ? OR (thing = ? AND (order_no > ? OR (order_no = ? AND kind > ?))))
ORDER BY thing, order_no, kind LIMIT ?;

-- The rows of one state that came to it in a window: an order that has reached its end keeps the time of it in
-- next_check_at, which the index `due` has. The state comes twice, as a range of one: an equality makes the optimizer read the
-- whole state from its beginning for every page.

-- name: recon_payments
SELECT order_no, amount, created_at, next_check_at FROM payment
WHERE state >= ? AND state <= ? AND next_check_at >= ? AND next_check_at < ? AND (next_check_at > ? OR order_no > ?)
ORDER BY state, next_check_at, order_no LIMIT ?;

-- name: recon_payment_find
SELECT amount, state FROM payment WHERE order_no = ?;

-- Credits (kind 2) move nothing at finance.
-- name: recon_transfers
SELECT order_no, amount, created_at, next_check_at FROM transfer
WHERE state >= ? AND state <= ? AND next_check_at >= ? AND next_check_at < ? AND (next_check_at > ? OR order_no > ?) AND kind = 1
ORDER BY state, next_check_at, order_no LIMIT ?;

-- name: recon_transfer_find
SELECT amount, state FROM transfer WHERE order_no = ? AND kind = 1;

-- name: recon_refunds
SELECT order_no, amount, created_at, next_check_at FROM refund
WHERE state >= ? AND state <= ? AND next_check_at >= ? AND next_check_at < ? AND (next_check_at > ? OR order_no > ?)
ORDER BY state, next_check_at, order_no LIMIT ?;

-- name: recon_refund_find
SELECT amount, state FROM refund WHERE order_no = ?;

-- name: recon_withdrawals
SELECT order_no, amount, created_at, next_check_at FROM withdrawal
WHERE state >= ? AND state <= ? AND next_check_at >= ? AND next_check_at < ? AND (next_check_at > ? OR order_no > ?)
ORDER BY state, next_check_at, order_no LIMIT ?;

-- name: recon_withdrawal_find
SELECT amount, state FROM withdrawal WHERE order_no = ?;

-- ---- b2c. Each gives the differences only: number, kind of difference, ours, theirs (NULL: not there). The legs of a window
-- are found by (account, owner = campaign, at_ms), as ranges of one again. Legs: 0 what gives, 1 what gains.

-- name: recon_campaign_numbers
SELECT number FROM campaign WHERE number > ? ORDER BY number LIMIT ?;

-- name: recon_leases
SELECT l.source_no, IF(b.lease_id IS NULL, 1, 3), b.amount, l.amount FROM ledger l
LEFT JOIN budget_lease b ON b.lease_id = l.source_no AND b.campaign = l.owner
WHERE l.account >= 4 AND l.account <= 4 AND l.owner >= ? AND l.owner <= ? AND l.at_ms >= ? AND l.at_ms < ?
  AND l.kind = 2 AND l.leg = 1 AND l.source_no > ? AND (b.lease_id IS NULL OR b.amount <> l.amount) ORDER BY l.source_no LIMIT ?;

-- name: recon_leases_unbooked
SELECT b.lease_id, 2, b.amount, NULL FROM budget_lease b LEFT JOIN ledger l ON l.kind = 2 AND l.source_no = b.lease_id AND l.leg = 1
WHERE b.created_at >= ? AND b.created_at < ? AND b.lease_id > ? AND l.source_no IS NULL ORDER BY b.lease_id LIMIT ?;

-- A settled lease: what was recorded and what came back are the whole of it.
-- name: recon_leases_settled
SELECT b.lease_id, 3, b.amount, b.returned + COALESCE((SELECT SUM(s.amount) FROM subsidy s WHERE s.lease_id = b.lease_id), 0) AS spent
FROM budget_lease b WHERE b.state = 2 AND b.settle_at >= ? AND b.settle_at < ? AND b.lease_id > ?
HAVING spent <> b.amount ORDER BY b.lease_id LIMIT ?;

-- name: recon_leases_returned
SELECT l.source_no, IF(b.lease_id IS NULL, 1, 3), b.returned, -l.amount FROM ledger l
LEFT JOIN budget_lease b ON b.lease_id = l.source_no AND b.campaign = l.owner
WHERE l.account >= 4 AND l.account <= 4 AND l.owner >= ? AND l.owner <= ? AND l.at_ms >= ? AND l.at_ms < ?
  AND l.kind = 3 AND l.leg = 0 AND l.source_no > ? AND (b.lease_id IS NULL OR b.returned <> -l.amount) ORDER BY l.source_no LIMIT ?;

-- name: recon_subsidies
SELECT l.source_no, IF(s.subsidy_id IS NULL, 1, 3), s.amount, l.amount FROM ledger l
LEFT JOIN subsidy s ON s.subsidy_id = l.source_no AND s.campaign = l.owner
WHERE l.account >= 5 AND l.account <= 5 AND l.owner >= ? AND l.owner <= ? AND l.at_ms >= ? AND l.at_ms < ?
  AND l.kind IN (4, 5) AND l.leg = 1 AND l.source_no > ? AND (s.subsidy_id IS NULL OR s.amount <> l.amount) ORDER BY l.source_no LIMIT ?;

-- What went out of subsidies into envelopes or back: the subsidy says so too. Of an envelope that has left (docs/ageing.md) what stayed
-- of it is compared, here and in the next two.
-- name: recon_subsidies_spent
SELECT l.source_no, IF(COALESCE(p.total, v.total) IS NULL OR s.subsidy_id IS NULL, 1, IF(s.state <> 2, 4, 3)),
  IF(s.state <> 2, s.state, COALESCE(p.total, v.total)), -l.amount
FROM ledger l
LEFT JOIN subsidy s ON s.packet_id = l.source_no LEFT JOIN packet p ON p.packet_id = l.source_no AND p.campaign = l.owner
LEFT JOIN packet_left v ON v.packet_id = l.source_no AND v.campaign = l.owner
WHERE l.account >= 5 AND l.account <= 5 AND l.owner >= ? AND l.owner <= ? AND l.at_ms >= ? AND l.at_ms < ?
  AND l.kind = 6 AND l.leg = 0 AND l.source_no > ? AND (COALESCE(p.total, v.total) IS NULL OR s.subsidy_id IS NULL OR s.state <> 2
  OR COALESCE(p.total, v.total) <> -l.amount OR s.amount <> -l.amount)
ORDER BY l.source_no LIMIT ?;

-- name: recon_subsidies_expired
SELECT l.source_no, IF(s.subsidy_id IS NULL, 1, IF(s.state <> 3, 4, 3)), IF(s.state <> 3, s.state, s.amount), -l.amount FROM ledger l
LEFT JOIN subsidy s ON s.subsidy_id = l.source_no
WHERE l.account >= 5 AND l.account <= 5 AND l.owner >= ? AND l.owner <= ? AND l.at_ms >= ? AND l.at_ms < ?
  AND l.kind = 7 AND l.leg = 0 AND l.source_no > ? AND (s.subsidy_id IS NULL OR s.state <> 3 OR s.amount <> -l.amount) ORDER BY l.source_no LIMIT ?;

-- The rest of an envelope that expired.
-- name: recon_packets_expired
SELECT l.source_no, IF(COALESCE(p.state, v.state) IS NULL, 1, IF(COALESCE(p.state, v.state) <> 5, 4, 3)),
  IF(COALESCE(p.state, v.state) <> 5, COALESCE(p.state, v.state), COALESCE(p.remaining, v.remaining)), -l.amount FROM ledger l
LEFT JOIN packet p ON p.packet_id = l.source_no AND p.campaign = l.owner
LEFT JOIN packet_left v ON v.packet_id = l.source_no AND v.campaign = l.owner
WHERE l.account >= 6 AND l.account <= 6 AND l.owner >= ? AND l.owner <= ? AND l.at_ms >= ? AND l.at_ms < ?
  AND l.kind = 8 AND l.leg = 0 AND l.source_no > ? AND (COALESCE(p.state, v.state) IS NULL OR COALESCE(p.state, v.state) <> 5
  OR COALESCE(p.remaining, v.remaining) <> -l.amount) ORDER BY l.source_no LIMIT ?;

-- The claim of an envelope that has left is in its export only; that it was the transfer's was proved before.
-- name: recon_credits
SELECT l.source_no, IF(COALESCE(k.claim_no, v.packet_id) IS NULL, 1, 3), COALESCE(k.amount, t.amount), -l.amount FROM ledger l
LEFT JOIN transfer t ON t.order_no = l.source_no AND t.kind = 2
LEFT JOIN claim k ON k.packet_id = t.packet_id AND k.uid = t.payee AND k.claim_no = t.order_no
LEFT JOIN packet_left v ON v.packet_id = t.packet_id
WHERE l.account >= 6 AND l.account <= 6 AND l.owner >= ? AND l.owner <= ? AND l.at_ms >= ? AND l.at_ms < ?
  AND l.kind = 9 AND l.leg = 0 AND l.source_no > ? AND (COALESCE(k.claim_no, v.packet_id) IS NULL OR k.amount <> -l.amount
  OR t.amount <> -l.amount) ORDER BY l.source_no LIMIT ?;

-- Envelopes whose bookings are in the window and that have left.
-- name: recon_left
SELECT COUNT(DISTINCT v.packet_id) FROM campaign c
JOIN ledger l ON l.account = 6 AND l.owner = c.number AND l.at_ms >= ? AND l.at_ms < ? AND l.kind IN (6, 8)
JOIN packet_left v ON v.packet_id = l.source_no LEFT JOIN packet p ON p.packet_id = v.packet_id WHERE p.packet_id IS NULL;

-- Credits that came to their end in the window, and transfers that went to a wallet: each was booked.
-- name: recon_credits_unbooked
SELECT t.order_no, IF(l.amount IS NULL, 2, 3), t.amount, l.amount FROM transfer t
LEFT JOIN ledger l ON l.kind = IF(t.kind = 2, 9, 14) AND l.source_no = t.order_no AND l.leg = 1
WHERE t.state IN (2, 4) AND t.next_check_at >= ? AND t.next_check_at < ? AND t.order_no > ? AND (t.kind = 2 OR t.state = 4)
  AND (l.amount IS NULL OR l.amount <> t.amount) ORDER BY t.order_no LIMIT ?;

-- Whole accounts, whatever the window (its bounds are there for the rules' one shape): the kept balance and its legs.
-- name: recon_wallets
SELECT a.owner, 3, a.balance, (SELECT COALESCE(SUM(l.amount), 0) FROM ledger l WHERE l.account = a.kind AND l.owner = a.owner) AS legs
FROM account a WHERE a.kind = 1 AND ? <= ? AND a.owner > ? HAVING legs <> a.balance ORDER BY a.owner LIMIT ?;

-- name: recon_campaigns
SELECT a.owner, 3, a.balance, (SELECT COALESCE(SUM(l.amount), 0) FROM ledger l WHERE l.account = a.kind AND l.owner = a.owner) AS legs
FROM account a WHERE a.kind = 2 AND ? <= ? AND a.owner > ? HAVING legs <> a.balance ORDER BY a.owner LIMIT ?;

-- Subsidies in users' hands, by campaign: the usable rows and the account's legs.
-- name: recon_usable
SELECT c.number, 3, (SELECT COALESCE(SUM(s.amount), 0) FROM subsidy s WHERE s.state = 1 AND s.campaign = c.number) AS held,
  (SELECT COALESCE(SUM(l.amount), 0) FROM ledger l WHERE l.account = 5 AND l.owner = c.number) AS legs
FROM campaign c WHERE ? <= ? AND c.number > ? HAVING held <> legs ORDER BY c.number LIMIT ?;

-- Wins, as [{"i": place, "o": external number}]: what each has become, in the order of places.
-- name: recon_wins
SELECT s.amount FROM JSON_TABLE(?, '$[*]' COLUMNS (i INT PATH '$.i', o VARCHAR(64) PATH '$.o')) AS t
LEFT JOIN subsidy s ON s.issuer = 'rain' AND s.out_order_no = CAST(t.o AS BINARY) ORDER BY t.i;

-- ---- claims. The first envelope that could be claimed after that time; the end of a page of them; what is wrong in a page.
-- name: recon_claims_first
SELECT MIN(packet_id) FROM packet WHERE state IN (2, 3, 4, 5) AND expires_at >= ?;

-- name: recon_claims_page
SELECT COUNT(*), MAX(packet_id) FROM (SELECT packet_id FROM packet WHERE packet_id > ? ORDER BY packet_id LIMIT ?) AS page;

-- name: recon_claims
SELECT c.claim_no, c.packet_id, c.uid, c.amount, c.claimed_at, p.sender, p.kind, t.amount
FROM claim c JOIN packet p ON p.packet_id = c.packet_id LEFT JOIN transfer t ON t.order_no = c.claim_no
WHERE c.packet_id > ? AND c.packet_id <= ? AND c.claimed_at >= ? AND c.claimed_at < ?
  AND (t.order_no IS NULL OR t.amount <> c.amount) ORDER BY c.packet_id, c.uid;

-- name: recon_claim_window
SELECT window_at, window_end FROM recon_diff WHERE domain = ? AND thing = ? AND order_no = ? ORDER BY window_at DESC LIMIT 1;

-- ---- between cells: the legs of one account and owner (the other cell's number), and what the other cell has of them
-- name: recon_cell_legs
SELECT source_no, amount, at_ms, kind FROM ledger
WHERE account >= ? AND account <= ? AND owner >= ? AND owner <= ? AND at_ms >= ? AND at_ms < ?
  AND (at_ms > ? OR kind > ? OR (kind = ? AND source_no > ?)) ORDER BY account, owner, at_ms, kind, source_no LIMIT ?;

-- name: recon_cell_counterlegs
SELECT l.source_no, l.amount FROM JSON_TABLE(?, '$[*]' COLUMNS (no BIGINT UNSIGNED PATH '$')) AS t
STRAIGHT_JOIN ledger l ON l.source_no = t.no AND l.kind IN (9, 10, 14) WHERE l.account = ? AND l.owner = ? ORDER BY l.source_no;

-- ---- live
-- name: recon_live_account
SELECT COALESCE(SUM(amount), 0), COUNT(*) FROM ledger WHERE account = ? AND owner = ?;

-- One statement, so one view of all its tables. Paid: by the payer, or out of a campaign. What a payer paid too late (5) is
-- counted from its refund's row on, which comes only after finance was asked once more.
-- name: recon_live_packets
SELECT p.packet_id, p.state, p.total, p.total - p.remaining, p.count - p.remaining_count,
  COALESCE((SELECT SUM(y.amount) FROM payment y WHERE y.packet_id = p.packet_id AND (y.state IN (2, 6)
    OR y.state = 5 AND EXISTS (SELECT 1 FROM refund r WHERE r.packet_id = y.packet_id AND r.reason = 2))), 0)
    + COALESCE((SELECT SUM(g.amount) FROM ledger g WHERE g.kind = 6 AND g.source_no = p.packet_id AND g.leg = 1), 0),
  (SELECT COALESCE(SUM(c.amount), 0) FROM claim c WHERE c.packet_id = p.packet_id),
  (SELECT COUNT(*) FROM claim c WHERE c.packet_id = p.packet_id),
  (SELECT COALESCE(SUM(t.amount), 0) FROM transfer t WHERE t.packet_id = p.packet_id AND t.state IN (2, 4, 5)),
  (SELECT COALESCE(SUM(r.amount), 0) FROM refund r WHERE r.packet_id = p.packet_id AND r.reason <> 3)
    + COALESCE((SELECT SUM(g.amount) FROM ledger g WHERE g.kind = 8 AND g.source_no = p.packet_id AND g.leg = 1), 0)
FROM packet p WHERE p.packet_id > ? ORDER BY p.packet_id LIMIT ?;
