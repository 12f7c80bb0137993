/* rate: how many messages a consumer may take now, so that it takes no more than `rate` a second and
 * as many together as that allows: a token bucket as large as two batches. Belongs to one thread. */
#ifndef HB_WORKERS_RATE_H
#define HB_WORKERS_RATE_H

#include <stdint.h>

typedef struct {
	unsigned batch;   /* most at once, ≥ 1 */
	int64_t rate;     /* a second; 0: no bound */
	int64_t at_us;    /* when `tokens` was true; 0: never */
	int64_t tokens_u; /* millionths of a message */
} rate_t;

/* A slow rate makes small batches, so that none waits longer than a tenth of a second for company. */
rate_t rate_of(int64_t batch, int64_t rate);
/* Of `held` ≥ 1 messages, how many to take now; 0: wait for *wait_ms first. */
unsigned rate_take(rate_t *p, unsigned held, int64_t now_us, int64_t *wait_ms);

#endif
