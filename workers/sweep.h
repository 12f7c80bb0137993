/* sweep: the parts of it that have a file of their own. */
#ifndef HB_WORKERS_SWEEP_H
#define HB_WORKERS_SWEEP_H

#include "domain/subsidy.h"
#include "workers/role.h"

enum {
	SWEPT_PACKET,
	SWEPT_PAYMENT,
	SWEPT_TRANSFER,
	SWEPT_REFUND,
	SWEPT_CREDIT,
	SWEPT_SUBSIDY,
	SWEPT_WITHDRAWAL
}; /* METRICS_SWEPT */

/* A batch of the subsidies whose time is over, from *at on, back to their campaigns. `ids` has room for
 * it. *more: it was a whole batch; else *at is at the beginning again. */
err_t sweep_subsidies(
	worker_t *w, subsidy_cursor *at, uint64_t *ids, unsigned batch, bool *more) MUST_CHECK;

#endif
