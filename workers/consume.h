/* consume: what becomes of a message, by its handler's result. */
#ifndef HB_WORKERS_CONSUME_H
#define HB_WORKERS_CONSUME_H

#include "base/err.h"

enum { CONSUME_TRIES = 5 };

typedef enum {
	CONSUME_DONE, /* acknowledge */
	CONSUME_HOLD, /* keep it and try again after a pause: an outage, which passes */
	CONSUME_PARK, /* to the table `parked`, with the reason, then acknowledge */
} consume_verdict;

/* `tries`: how often it was handled so far, ≥ 1. The message's own faults (malformed, an order that
 * is not there or says otherwise, not of this cell) are parked at once; outages are held for as
 * long as they last; what is neither is parked after CONSUME_TRIES. */
consume_verdict consume_judge(err_t e, unsigned tries);

#endif
