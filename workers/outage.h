/* outage: a thing that fails is tried again with growing, jittered pauses, and logged once when it
 * begins and once when it is over. Belongs to one thread. */
#ifndef HB_WORKERS_OUTAGE_H
#define HB_WORKERS_OUTAGE_H

#include "base/err.h"
#include <stdint.h>

typedef struct {
	const char *what; /* for the log, e.g. "rabbitmq" */
	int64_t first_ms, most_ms;
	int64_t since_ms; /* of the first failure */
	unsigned failures;
} outage_t;

/* How long to wait before the next try. */
int64_t outage_failed(outage_t *o, err_t e);
void outage_over(outage_t *o);
/* The pause after `failures` ≥ 1 failures: between half and all of first_ms doubled each time, at
 * most most_ms. `dice` is any random number. */
int64_t outage_pause_ms(const outage_t *o, unsigned failures, uint32_t dice);

#endif
