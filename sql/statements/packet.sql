-- Sending packets, looking at them and listing them. Claims change them in claim.sql, expiry in the workers' files.

-- The key's row comes first in its transaction: another request with the same key waits here for its lock.
-- name: idempotency_insert
INSERT INTO idempotency (uid, route, ikey, body_hash, ref, created_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: idempotency_find
SELECT body_hash, ref FROM idempotency WHERE uid = ? AND route = ? AND ikey = ?;

-- name: seed_find
SELECT seed_id, sealed FROM user_seed WHERE uid = ?;

-- name: seed_lock
SELECT seed_id, sealed FROM user_seed WHERE uid = ? FOR UPDATE;

-- name: seed_insert
INSERT INTO user_seed (uid, seed_id, sealed) VALUES (?, ?, ?);

-- name: seed_consume
DELETE FROM user_seed WHERE uid = ? AND seed_id = ?;

-- No row: the number is of a range that is closed (docs/ageing.md).
-- name: packet_insert
INSERT INTO packet (packet_id, sender, kind, split, scope, state, count, remaining_count, total, remaining, created_at,
  expires_at, seed_id, seed, nonce, commitment, greeting, video_id, campaign)
SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM age_mark WHERE one = 1 AND closed_below <= ? LOCK IN SHARE MODE;

-- The uids as a JSON array of integers: one trip for up to 200 rows.
-- name: invited_insert
INSERT INTO invited (packet_id, uid)
SELECT ?, list.uid FROM JSON_TABLE(?, '$[*]' COLUMNS (uid BIGINT UNSIGNED PATH '$')) AS list ORDER BY list.uid;

-- name: packet_load
SELECT packet_id, sender, kind, split, scope, state, count, remaining_count, total, remaining, created_at, expires_at,
  seed_id, seed, nonce, commitment, greeting, video_id, campaign
FROM packet WHERE packet_id = ?;

-- The columns of packet_load.
-- name: packet_sent_page
SELECT packet_id, sender, kind, split, scope, state, count, remaining_count, total, remaining, created_at, expires_at,
  seed_id, seed, nonce, commitment, greeting, video_id, campaign
FROM packet WHERE sender = ? AND (created_at < ? OR (created_at = ? AND packet_id < ?))
ORDER BY created_at DESC, packet_id DESC LIMIT ?;

-- name: packet_bind_video
UPDATE packet SET video_id = ? WHERE packet_id = ? AND video_id IS NULL;

-- The first of the largest.
-- name: packet_luckiest
SELECT idx FROM claim WHERE packet_id = ? ORDER BY amount DESC, idx LIMIT 1;

-- Numbers of several cells do not rise together, so the order is that of time.
-- name: received_page
SELECT claim_no, packet_id, sender, kind, amount, claimed_at FROM received
WHERE uid = ? AND (claimed_at < ? OR (claimed_at = ? AND claim_no < ?)) ORDER BY claimed_at DESC, claim_no DESC LIMIT ?;
