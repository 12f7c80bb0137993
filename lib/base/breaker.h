/* breaker: leaves alone a dependency that fails or is slow, so that whoever can do without it does not wait
 * for it. It judges a sliding window of calls. Closed: all calls are made. Too many bad ones in the
 * window, or min_calls failures in a row: open, none is made. After open_ms: half open, `probes` calls
 * are tried, and one bad one opens it again. When all were good, a share that grows from a tenth to all
 * within recover_ms is let through, judged as ever; then it is closed.
 *
 * Only for what has an answer without it: never for idempotency, signatures or the ledger. Its state is
 * shown as hb_breaker_open, hb_breaker_held_percent and hb_breaker_held_total. Times are monotonic µs of
 * clk. Threads: all safe; a call through a closed one takes no lock. */
#ifndef HB_BASE_BREAKER_H
#define HB_BASE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* In the order of the metrics' labels. */
typedef enum {
	BREAKER_MEMCACHED,
	BREAKER_TOKEN_LIST,
	BREAKER_WEBHOOK,
	BREAKER_FINANCE, /* of finance_limits, which is one with its places (decision 33) */
	BREAKER_DEPENDENCIES
} breaker_of;

typedef struct {
	breaker_of of;
	int64_t window_ms;                    /* ≥ 8 */
	unsigned min_calls;                   /* of a window that is judged; ≥ 1 */
	unsigned error_percent, slow_percent; /* of the window's calls, 1..100 */
	int64_t slow_ms;                      /* a call that takes as long is slow; 0: none is */
	int64_t open_ms;
	unsigned probes;    /* ≥ 1 */
	int64_t recover_ms; /* 0: closed at once */
} breaker_conf;

typedef struct breaker breaker_t;

breaker_t *breaker_new(const breaker_conf *c);
void breaker_free(breaker_t **b);

/* UNUSED: the call was not made after all. */
typedef enum { BREAKER_OK, BREAKER_FAILED, BREAKER_UNUSED } breaker_result;
typedef struct {
	uint64_t since; /* which stretch of which state; what comes back after it does not count */
	int64_t began_us;
} breaker_ticket;

/* Whether the call may be made; each true is given back, by any thread. */
bool breaker_take(breaker_t *b, int64_t now_us, breaker_ticket *t);
void breaker_give(breaker_t *b, const breaker_ticket *t, breaker_result r, int64_t now_us);

#endif
