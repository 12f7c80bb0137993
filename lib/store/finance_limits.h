/* finance_limits: how much of finance a program takes at once, shared by its threads: calls in flight for
 * each operation, so that a finance that hangs holds so many threads and no more, and calls in a
 * second, so that what has gathered while it was away drains evenly. Threads: all safe. */
#ifndef HB_STORE_FINANCE_LIMITS_H
#define HB_STORE_FINANCE_LIMITS_H

#include "base/err.h"
#include <stdint.h>

/* The operations that are counted apart: submits by kind (finance_kind), and all questions. */
typedef enum {
	FINANCE_OP_QUERY,
	FINANCE_OP_PAYMENT,
	FINANCE_OP_TRANSFER,
	FINANCE_OP_REFUND,
	FINANCE_OP_WITHDRAWAL,
	FINANCE_OPS
} finance_op;

typedef struct finance_limits finance_limits_t;

/* wait_ms: longest wait for a place. */
finance_limits_t *finance_limits_new(
	const unsigned in_flight[FINANCE_OPS], unsigned per_s, int64_t wait_ms);
void finance_limits_free(finance_limits_t **l);

/* Waits for a place; ERR_TIMEOUT when there is none in time. Each ERR_OK is given back. */
err_t finance_limits_take(finance_limits_t *l, finance_op op) MUST_CHECK;
void finance_limits_give(finance_limits_t *l, finance_op op);

#endif
