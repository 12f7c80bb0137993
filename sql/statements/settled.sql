-- The complete set of claimers of a packet whose claims can no more change, in the order of users.

-- name: settled_claims
SELECT c.uid, c.idx, c.claim_no, c.amount, c.claimed_at, COALESCE(t.kind, 0), COALESCE(t.state, 0)
FROM claim c LEFT JOIN transfer t ON t.order_no = c.claim_no WHERE c.packet_id = ? ORDER BY c.uid;
