/* shares: the shares of packets, recomputed from their sealed seeds and kept in a bounded LRU. Sets
 * are immutable and counted: release what you acquire. Threads: all safe. */
#ifndef HB_DOMAIN_SHARES_H
#define HB_DOMAIN_SHARES_H

#include "base/keys.h"
#include "domain/split.h"

typedef struct shares shares_t;
typedef struct {
	uint64_t packet_id;
	uint32_t count;
	int64_t fen[]; /* by claim index */
} shares_set_t;

typedef struct {
	uint64_t packet_id, seed_id;
	int64_t total_fen;
	uint32_t count;
	split_kind kind;
	const uint8_t *sealed; /* the packet row's seed */
	size_t sealed_len;
	const void *nonce;
	size_t nonce_len;
} shares_source;

shares_t *shares_new(const keys_ring_t *seal, size_t max_bytes);
void shares_free(shares_t **s);
/* ERR_TOKEN_INVALID when the seed does not open. */
err_t shares_acquire(shares_t *s, const shares_source *src, const shares_set_t **out) MUST_CHECK;
/* Only if it is in memory already; NULL otherwise. */
const shares_set_t *shares_peek(shares_t *s, uint64_t packet_id);
void shares_release(shares_t *s, const shares_set_t **set);
/* The seed itself, for the reveal. */
err_t shares_unseal(const shares_t *s, const shares_source *src, uint8_t seed[32]) MUST_CHECK;
/* Seals a seed as it stands in user_seed and packet rows (purpose "seed", bound to seed_id). out:
 * 32 + KEYS_SEAL_OVERHEAD bytes. */
void shares_seal(const shares_t *s, uint64_t seed_id, const uint8_t seed[32], uint8_t *out);

#endif
