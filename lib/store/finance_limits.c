/* A place is a count under a lock; the rate is a time at which the next call may begin, moved on by
 * every call, so that calls are spread and never come in bursts after a pause. */
#include "store/finance_limits.h"

#include "base/clk.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct finance_limits {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	unsigned most[FINANCE_OPS], now[FINANCE_OPS];
	int64_t gap_us, next_us; /* monotonic: when the next call may begin */
	int64_t wait_ms;
};

finance_limits_t *finance_limits_new(
	const unsigned in_flight[FINANCE_OPS], unsigned per_s, int64_t wait_ms)
{
	finance_limits_t *l = calloc(1, sizeof *l);
	pthread_condattr_t clock;
	BUG_ON(!l || per_s == 0);
	memcpy(l->most, in_flight, sizeof l->most);
	l->gap_us = 1000000 / (int64_t)per_s;
	l->wait_ms = wait_ms;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&l->freed, &clock);
	pthread_condattr_destroy(&clock);
	return l;
}

void finance_limits_free(finance_limits_t **l)
{
	if (!*l)
		return;
	pthread_cond_destroy(&(*l)->freed);
	pthread_mutex_destroy(&(*l)->lock);
	free(*l);
	*l = NULL;
}

/* Until one is given back, at most until then. */
static void wait_freed(finance_limits_t *l, int64_t until_us)
{
	struct timespec at = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
	pthread_cond_timedwait(&l->freed, &l->lock, &at);
}

err_t finance_limits_take(finance_limits_t *l, finance_op op)
{
	int64_t start_us = 0, until_us = clk_mono_us() + l->wait_ms * 1000, now_us;
	pthread_mutex_lock(&l->lock);
	while ((now_us = clk_mono_us()) < until_us && l->now[op] >= l->most[op])
		wait_freed(l, until_us);
	now_us = clk_mono_us();
	start_us = l->next_us > now_us ? l->next_us : now_us;
	bool place = l->now[op] < l->most[op] && start_us - now_us <= l->wait_ms * 1000;
	if (place) {
		l->now[op]++;
		l->next_us = start_us + l->gap_us;
	}
	pthread_mutex_unlock(&l->lock);
	if (!place)
		return ERR_TIMEOUT;
	if (start_us > now_us)
		clk_sleep_ms((start_us - now_us + 999) / 1000);
	return ERR_OK;
}

void finance_limits_give(finance_limits_t *l, finance_op op)
{
	pthread_mutex_lock(&l->lock);
	BUG_ON(l->now[op] == 0);
	l->now[op]--;
	pthread_cond_broadcast(&l->freed);
	pthread_mutex_unlock(&l->lock);
}
