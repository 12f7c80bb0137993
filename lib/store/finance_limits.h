/* finance_limits: how much of finance a program takes at once, shared by its threads: calls in flight for
 * each operation, so that a finance that hangs holds so many threads and no more; calls in a second,
 * so that what has gathered while it was away drains evenly; and a rest after calls that nobody
 * answered, so that what does not need finance never waits behind what does. Threads: all safe. */
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

typedef struct {
	unsigned in_flight[FINANCE_OPS], per_s;
	int64_t wait_ms;     /* longest wait for a place */
	unsigned rest_after; /* calls in a row without an answer */
	int64_t rest_ms; /* less up to half of it (jitter), then one call at a time tries again */
} finance_limits_conf;

finance_limits_t *finance_limits_new(const finance_limits_conf *c);
void finance_limits_free(finance_limits_t **l);

/* Waits for a place; ERR_TIMEOUT when there is none in time, at once while finance is left alone. Each
 * ERR_OK is given back, with whether finance has answered. */
err_t finance_limits_take(finance_limits_t *l, finance_op op) MUST_CHECK;
void finance_limits_give(finance_limits_t *l, finance_op op, bool answered);

#endif
