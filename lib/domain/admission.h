/* admission: how many claims of one packet may be under way. Most of a crowd cannot win anything,
 * so only as many as the remaining shares justify are let in and the rest are told when to come
 * again. Nothing here has to be given back: a lane counts who is inside, and the window counter
 * forgets by itself. Threads: all safe. */
#ifndef HB_DOMAIN_ADMISSION_H
#define HB_DOMAIN_ADMISSION_H

#include "store/cache.h"

typedef struct {
	unsigned percent; /* of the remaining shares, ≥ 100 */
	unsigned floor;   /* always let in */
} admission_conf;

/* Claims let in at once while `remaining` shares are left. */
uint64_t admission_limit(const admission_conf *c, uint32_t remaining);
/* When a refused client should come again: 50 … 300 ms, spread at random. */
int64_t admission_retry_ms(void);
/* For packets that several processes may serve: counts this claim in memcached, per packet, epoch
 * and second, and says whether it is still within the limit. A packet with nothing left is not
 * counted (its claims only read), and without memcached everyone is let in: the lanes bound too. */
bool admission_window(const admission_conf *c, cache_t *cache, uint64_t epoch, uint64_t packet_id,
	uint32_t remaining, int64_t now_ms);

#endif
