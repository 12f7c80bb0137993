-- Ageing (lib/domain/age*.c, docs/ageing.md). `below` is the first number above a range, `from` its own first one.

-- One worker of a cell at a time; the lock is the session's.
-- name: age_lock
SELECT GET_LOCK(CONCAT(DATABASE(), '.age'), 0);

-- name: age_ranges
SELECT r.below, COALESCE((SELECT MAX(b.below) FROM age_range b WHERE b.below < r.below), 0), r.state, r.began_at, r.changed_at,
  r.packets, r.claims, r.invited, r.digest
FROM age_range r WHERE r.state <> ? ORDER BY r.below LIMIT ?;

-- name: age_range_add
INSERT INTO age_range (below, state, began_at, changed_at) VALUES (?, ?, 0, ?);

-- name: age_range_begin
UPDATE age_range SET began_at = ? WHERE below = ? AND began_at = ?;

-- name: age_range_exported
UPDATE age_range SET packets = ?, claims = ?, invited = ?, digest = ? WHERE below = ?;

-- name: age_next_seq
SELECT next_seq FROM id_block WHERE one = 1;

-- Numbers are plenty: the rest of a range is left out, so that a range is a time.
-- name: age_skip_numbers
UPDATE id_block SET next_seq = ? WHERE one = 1 AND next_seq < ?;

-- name: age_close
UPDATE age_mark SET closed_below = ? WHERE one = 1 AND closed_below < ?;

-- name: age_closed_below
SELECT closed_below FROM age_mark WHERE one = 1 LOCK IN SHARE MODE;

-- Which partitions there are. Not from information_schema, which makes a temporary table on disk for it.
-- name: age_table_packet
SHOW CREATE TABLE packet;

-- name: age_table_invited
SHOW CREATE TABLE invited;

-- name: age_table_claim
SHOW CREATE TABLE claim;

-- ---- what keeps a range from leaving: the number of one such thing

-- name: age_packet_in_state
SELECT packet_id FROM packet WHERE state = ? AND packet_id >= ? AND packet_id < ? LIMIT 1;

-- name: age_packet_young
SELECT packet_id FROM packet WHERE state = ? AND packet_id >= ? AND packet_id < ? AND expires_at > ? LIMIT 1;

-- name: age_payment_in_state
SELECT order_no FROM payment WHERE state = ? AND packet_id >= ? AND packet_id < ? LIMIT 1;

-- name: age_transfer_in_state
SELECT order_no FROM transfer WHERE state = ? AND packet_id >= ? AND packet_id < ? LIMIT 1;

-- name: age_refund_in_state
SELECT order_no FROM refund WHERE state = ? AND packet_id >= ? AND packet_id < ? LIMIT 1;

-- name: age_outbox_before
SELECT id FROM outbox WHERE created_at <= ? LIMIT 1;

-- name: age_any_packet
SELECT packet_id FROM packet WHERE packet_id >= ? AND packet_id < ? LIMIT 1;

-- ---- the rows of a range, page by page: behind (packet, user), which are (the range's first number, 0) at first. The last column is
-- for the walk itself.

-- name: age_packets
SELECT packet_id, sender, kind, split, scope, state, count, remaining_count, total, remaining, created_at, expires_at,
  seed_id, seed, nonce, commitment, greeting, video_id, campaign, state
FROM packet WHERE packet_id >= ? AND packet_id < ? AND (packet_id > ? OR ? = 0) ORDER BY packet_id LIMIT ?;

-- The state of the claim's transfer: 0, it has none.
-- name: age_claims
SELECT c.packet_id, c.uid, c.idx, c.claim_no, c.amount, c.claimed_at, COALESCE(t.state, 0)
FROM claim c LEFT JOIN transfer t ON t.order_no = c.claim_no
WHERE c.packet_id >= ? AND c.packet_id < ? AND (c.packet_id > ? OR c.uid > ?) ORDER BY c.packet_id, c.uid LIMIT ?;

-- name: age_invited
SELECT packet_id, uid, 0 FROM invited
WHERE packet_id >= ? AND packet_id < ? AND (packet_id > ? OR uid > ?) ORDER BY packet_id, uid LIMIT ?;

-- ---- what stays of a packet

-- name: age_left_add
INSERT INTO packet_left (packet_id, sender, kind, state, total, remaining, campaign, created_at, expires_at, seed_id, commitment)
SELECT packet_id, sender, kind, state, total, remaining, campaign, created_at, expires_at, seed_id, commitment
FROM packet WHERE packet_id >= ? AND packet_id <= ?
ON DUPLICATE KEY UPDATE packet_left.sender = packet_left.sender;

-- name: age_left_count
SELECT COUNT(*) FROM packet_left WHERE packet_id >= ? AND packet_id < ?;

-- name: age_left_find
SELECT total, created_at, expires_at, seed_id, commitment FROM packet_left WHERE packet_id = ?;
