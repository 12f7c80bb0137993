/* split: the shares of a packet, drawn at send from one 32-byte seed, neutral to position,
 * verifiable by anyone (docs/fairness.md). Double mean (each draw uniform on 1 … 2×mean-1 of what
 * is left), then Fisher–Yates; the stream is HMAC-SHA256 in counter mode; numbers below a bound by
 * rejection. Pure functions, thread-safe. */
#ifndef HB_DOMAIN_SPLIT_H
#define HB_DOMAIN_SPLIT_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef enum { SPLIT_LUCKY = 1, SPLIT_EQUAL = 2 } split_kind;

typedef struct {
	uint8_t seed[32];
	uint64_t packet_id;
	int64_t total_fen; /* ≥ count */
	uint32_t count;    /* ≥ 1 */
	split_kind kind;
	const void *nonce; /* the client's, 0..64 bytes */
	size_t nonce_len;
} split_input;

/* shares[0..count): each ≥ 1, sum = total. Equal: total / count, the first total % count of the
 * shuffled positions one fen more. */
void split_shares(const split_input *in, int64_t *shares);
void split_commitment(const split_input *in, uint8_t out[32]);
void split_seed_hash(const uint8_t seed[32], uint8_t out[32]);

#endif
