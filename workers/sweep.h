/* sweep: the parts of a round that have a file of their own. */
#ifndef HB_WORKERS_SWEEP_H
#define HB_WORKERS_SWEEP_H

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

/* Subsidies whose time is over, back to their campaigns. `ids` has room for a batch. */
err_t sweep_subsidies(worker_t *w, uint64_t *ids, unsigned batch) MUST_CHECK;

#endif
