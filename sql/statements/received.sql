-- What users have received.

-- The primary key is the only unique key, so a duplicate can only be this very row.
-- name: received_add
INSERT INTO received (uid, claim_no, packet_id, sender, kind, amount, claimed_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE claim_no = claim_no;
