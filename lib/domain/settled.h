/* settled: packets whose claims can no more change (exhausted, refunding, closed), each with its complete
 * set of claimers, so that whoever comes late is answered without the database: the claimers with their
 * first result, all others with what the packet says.
 *
 * Never wrong, because only final states are kept, read from committed rows (which AFTER_SYNC put on two
 * servers) before the claims are: nothing that a failover, a refund, another process or a restart does can
 * change them. A new epoch is a new process with an empty memory. What may still change, where a
 * claim's money is, is kept only once it is at its end.
 *
 * Bounded: SETTLED_PACKET_BYTES per packet and SETTLED_CLAIM_BYTES per claim; least recently used first
 * out. Threads: all safe. */
#ifndef HB_DOMAIN_SETTLED_H
#define HB_DOMAIN_SETTLED_H

#include "domain/claim.h"

enum { SETTLED_PACKET_BYTES = 144, SETTLED_CLAIM_BYTES = 40 };

typedef struct {
	uint64_t uid, claim_no;
	int64_t amount_fen, claimed_at_ms;
	uint32_t index;
	transfer_end transfer;
} settled_claim;

typedef struct settled settled_t;

/* A packet is forgotten keep_ms after it was read: what is in memory may be of one that has left since
 * (docs/ageing.md). */
settled_t *settled_new(size_t max_bytes, int64_t keep_ms);
void settled_free(settled_t **s);
/* False when the packet is not in memory. */
bool settled_answer(settled_t *s, uint64_t packet_id, uint64_t uid, claim_result *out);
/* Keeps a packet; `claims` are in the order of uid and copied. A packet that alone is over the bound is
 * not kept. */
void settled_put(settled_t *s, uint64_t packet_id, claim_outcome others, uint32_t remaining_count,
	const settled_claim *claims, uint32_t count);
/* Reads the packet and, when it is settled, its claims, and keeps them. One thread at a time reads a
 * packet; others return at once. */
err_t settled_load(settled_t *s, db_pool_t *db, uint64_t packet_id) MUST_CHECK;
/* The transfer of this user's claim has been seen at its end. */
void settled_transfer_end(settled_t *s, uint64_t packet_id, uint64_t uid, transfer_end end);
size_t settled_bytes(settled_t *s);

#endif
