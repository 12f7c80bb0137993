-- Reading claims; writing them is lib/domain/claim_batch.c.

-- name: claim_find
SELECT idx, claim_no, amount, claimed_at FROM claim WHERE packet_id = ? AND uid = ?;

-- name: claim_list
SELECT uid, idx, claim_no, amount, claimed_at FROM claim WHERE packet_id = ? AND idx >= ? ORDER BY idx LIMIT ?;

-- name: claim_packet_sender
SELECT sender FROM packet WHERE packet_id = ?;
