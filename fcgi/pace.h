/* pace: waiting clients are told when to ask again, and those who go on asking much sooner get 429
 * before the database is asked: PACE_EARLY_MAX times for each thing they wait for they are answered,
 * since who asks again at once after paying, or does not read poll_after_ms, is no flood. A bounded
 * table: a forgotten client is merely not slowed down.
 *
 *	before the query:  e = pace_check(a->pace, uid, number, now, &r->retry_after_ms);
 *	when it waits:     jw_i64(w, "poll_after_ms", pace_told(a->pace, uid, number, age_ms, now));
 *
 * Threads: all safe. */
#ifndef HB_FCGI_PACE_H
#define HB_FCGI_PACE_H

#include "base/err.h"
#include <stdint.h>

typedef struct pace pace_t;

enum { PACE_EARLY_MAX = 20 };

/* First and largest interval. */
pace_t *pace_new(int64_t first_ms, int64_t max_ms);
void pace_free(pace_t **p);
/* `number` is what is awaited (packet id or order number); now_mono_ms is clk_mono_ms().
 * ERR_RATE_LIMITED, counted, with *retry_ms > 0 when less than half of the told interval has
 * passed, and that for more than the PACE_EARLY_MAXth time. */
err_t pace_check(pace_t *p, uint64_t uid, uint64_t number, int64_t now_mono_ms,
	int64_t *retry_ms) MUST_CHECK;
/* The poll_after_ms to tell now, remembered: first_ms, then half as much again with each answer, at
 * least an eighth of age_ms (how long the thing has been waiting already; ≤ 0: not known), at most
 * max_ms. Who asked too soon is told what they were told before. */
int64_t pace_told(pace_t *p, uint64_t uid, uint64_t number, int64_t age_ms, int64_t now_mono_ms);

#endif
