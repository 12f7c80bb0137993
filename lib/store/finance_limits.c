/* A place is a count under a lock; the rate is a time at which the next call may begin, moved on by
 * every call, so that calls are spread and never come in bursts after a pause. A finance that does
 * not answer is left alone for a while: each thread would wait for each call's whole time-out, and a
 * queue in which only some messages need finance would stand still for all of them. */
#include "store/finance_limits.h"

#include "base/breaker.h"
#include "base/clk.h"
#include "base/keys.h"
#include "base/logger.h"
#include "base/metrics.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct finance_limits {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	finance_limits_conf c;
	unsigned now[FINANCE_OPS];
	int64_t gap_us, next_us; /* monotonic: when the next call may begin */
	unsigned unanswered;     /* calls in a row */
	int64_t rest_until_us;   /* monotonic, once they are too many */
	bool trying;             /* one of them is under way to see whether finance is back */
};

/* What is left alone is shown with the breakers. */
static void show(int64_t change)
{
	metrics_add(METRICS_BREAKER_OPEN, BREAKER_FINANCE, change);
	metrics_add(METRICS_BREAKER_HELD_PERCENT, BREAKER_FINANCE, 100 * change);
	metrics_show(METRICS_BREAKER_OPEN);
	metrics_show(METRICS_BREAKER_HELD_PERCENT);
}

finance_limits_t *finance_limits_new(const finance_limits_conf *c)
{
	finance_limits_t *l = calloc(1, sizeof *l);
	pthread_condattr_t clock;
	BUG_ON(!l || c->per_s == 0 || c->rest_after == 0);
	l->c = *c;
	l->gap_us = 1000000 / (int64_t)c->per_s;
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
	if ((*l)->unanswered >= (*l)->c.rest_after)
		show(-1);
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

static bool left_alone(const finance_limits_t *l, int64_t now_us)
{
	return l->unanswered >= l->c.rest_after && (l->trying || now_us < l->rest_until_us);
}

err_t finance_limits_take(finance_limits_t *l, finance_op op)
{
	int64_t start_us = 0, until_us = clk_mono_us() + l->c.wait_ms * 1000, now_us;
	pthread_mutex_lock(&l->lock);
	while ((now_us = clk_mono_us()) < until_us && l->now[op] >= l->c.in_flight[op] &&
		!left_alone(l, now_us))
		wait_freed(l, until_us);
	now_us = clk_mono_us();
	start_us = l->next_us > now_us ? l->next_us : now_us;
	bool place = l->now[op] < l->c.in_flight[op] && start_us - now_us <= l->c.wait_ms * 1000 &&
		     !left_alone(l, now_us);
	if (place) {
		l->trying = l->unanswered >= l->c.rest_after;
		l->now[op]++;
		l->next_us = start_us + l->gap_us;
	}
	const bool held = !place && left_alone(l, now_us);
	pthread_mutex_unlock(&l->lock);
	metrics_add(METRICS_BREAKER_HELD, BREAKER_FINANCE, held);
	if (!place)
		return ERR_TIMEOUT;
	if (start_us > now_us)
		clk_sleep_ms((start_us - now_us + 999) / 1000);
	return ERR_OK;
}

static int64_t rest_us(const finance_limits_t *l)
{
	uint32_t dice;
	const int64_t all = l->c.rest_ms * 1000;
	keys_random(&dice, sizeof dice);
	return all - (int64_t)(dice % (uint64_t)(all / 2 + 1));
}

void finance_limits_give(finance_limits_t *l, finance_op op, bool answered)
{
	pthread_mutex_lock(&l->lock);
	BUG_ON(l->now[op] == 0);
	l->now[op]--;
	const bool rested = l->unanswered >= l->c.rest_after;
	l->unanswered = answered ? 0 : l->unanswered + 1;
	const bool rests = l->unanswered >= l->c.rest_after;
	l->trying = false;
	if (rests)
		l->rest_until_us = clk_mono_us() + rest_us(l);
	pthread_cond_broadcast(&l->freed);
	pthread_mutex_unlock(&l->lock);
	if (rests && !rested) {
		show(1);
		LOG(WARN, "finance.left_alone", {"unanswered", LOG_U(l->c.rest_after)});
	}
	if (rested && !rests) {
		show(-1);
		LOG0(INFO, "finance.answers_again");
	}
}
