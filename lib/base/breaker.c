/* The word holds the state and the count of its changes, so that a call through a closed breaker is one
 * load before it and a few relaxed additions after it; whoever changes the state, and every call while
 * it is half open, holds the lock. The window is a ring of parts: a count that meets a part being
 * turned over may be lost, which a ratio does not feel. Failures in a row are judged besides, because
 * a busy window that was good until now would take half its length to notice a server that is gone. */
#include "base/breaker.h"

#include "base/logger.h"
#include "base/metrics.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { PARTS = 8, FIRST_PERCENT = 10, STRIDE = 37 };

typedef enum { CLOSED, OPEN, HALF_OPEN, RECOVERING, STATES } breaker_state;

typedef struct {
	_Atomic int64_t number; /* since the clock's zero */
	_Atomic unsigned calls, failed, slow;
} breaker_part;

struct breaker {
	breaker_conf c;
	_Atomic uint64_t word; /* changes × STATES + state */
	breaker_part part[PARTS];
	_Atomic unsigned failed_in_a_row, turn;
	_Atomic int64_t since_us; /* of the state */
	pthread_mutex_t lock;
	unsigned probing, proved; /* of a half-open one */
};

static breaker_state state_of(uint64_t word)
{
	return (breaker_state)(word % STATES);
}

static bool is_open(breaker_state s)
{
	return s == OPEN || s == HALF_OPEN;
}

static void window_empty(breaker_t *b)
{
	for (unsigned i = 0; i < PARTS; i++)
		atomic_store(&b->part[i].number, -1);
	atomic_store(&b->failed_in_a_row, 0);
}

breaker_t *breaker_new(const breaker_conf *c)
{
	breaker_t *b = calloc(1, sizeof *b);

	BUG_ON(!b || c->window_ms < PARTS || c->min_calls == 0 || c->probes == 0);
	b->c = *c;
	window_empty(b);
	pthread_mutex_init(&b->lock, NULL);
	metrics_show(METRICS_BREAKER_OPEN);
	metrics_show(METRICS_BREAKER_HELD_PERCENT);
	return b;
}

void breaker_free(breaker_t **b)
{
	if (!*b)
		return;
	metrics_add(METRICS_BREAKER_OPEN, (*b)->c.of, -(int64_t)is_open(state_of((*b)->word)));
	metrics_set(METRICS_BREAKER_HELD_PERCENT, (*b)->c.of, 0);
	pthread_mutex_destroy(&(*b)->lock);
	free(*b);
	*b = NULL;
}

/* The one place where the state changes; under the lock. */
static void move(breaker_t *b, breaker_state to, int64_t now_us)
{
	const breaker_state from = state_of(b->word);

	window_empty(b);
	b->probing = b->proved = 0;
	atomic_store(&b->since_us, now_us);
	atomic_store(&b->word, (b->word / STATES + 1) * STATES + to);
	metrics_add(METRICS_BREAKER_OPEN, b->c.of, (int64_t)is_open(to) - is_open(from));
	metrics_set(METRICS_BREAKER_HELD_PERCENT, b->c.of,
		is_open(to)        ? 100
		: to == RECOVERING ? 100 - FIRST_PERCENT
				   : 0);
}

static void open_it(breaker_t *b, const char *why, int64_t now_us)
{
	const bool again = is_open(state_of(b->word));
	char name[64];

	move(b, OPEN, now_us);
	metrics_label(METRICS_BREAKER_OPEN, b->c.of, name);
	if (!again)
		LOG(WARN, "breaker.open", {"dependency", LOG_S(name)}, {"why", LOG_S(why)});
}

static void close_it(breaker_t *b, int64_t now_us)
{
	char name[64];

	move(b, CLOSED, now_us);
	metrics_label(METRICS_BREAKER_OPEN, b->c.of, name);
	LOG(INFO, "breaker.closed", {"dependency", LOG_S(name)});
}

static int64_t part_us(const breaker_t *b)
{
	return b->c.window_ms * 1000 / PARTS;
}

static void window_add(breaker_t *b, bool failed, bool slow, int64_t now_us)
{
	const int64_t number = now_us / part_us(b);
	breaker_part *p = &b->part[number % PARTS];
	int64_t was = atomic_load_explicit(&p->number, memory_order_relaxed);

	if (was != number && atomic_compare_exchange_strong(&p->number, &was, number)) {
		atomic_store_explicit(&p->calls, 0, memory_order_relaxed);
		atomic_store_explicit(&p->failed, 0, memory_order_relaxed);
		atomic_store_explicit(&p->slow, 0, memory_order_relaxed);
	}
	atomic_fetch_add_explicit(&p->calls, 1, memory_order_relaxed);
	if (failed)
		atomic_fetch_add_explicit(&p->failed, 1, memory_order_relaxed);
	if (slow)
		atomic_fetch_add_explicit(&p->slow, 1, memory_order_relaxed);
	if (failed)
		atomic_fetch_add_explicit(&b->failed_in_a_row, 1, memory_order_relaxed);
	else if (atomic_load_explicit(&b->failed_in_a_row, memory_order_relaxed) != 0)
		atomic_store_explicit(&b->failed_in_a_row, 0, memory_order_relaxed);
}

/* Why the window is bad; NULL: it is not. */
static const char *judge(const breaker_t *b, int64_t now_us)
{
	const int64_t number = now_us / part_us(b);
	uint64_t calls = 0, failed = 0, slow = 0;

	if (b->failed_in_a_row >= b->c.min_calls)
		return "failures in a row";
	for (unsigned i = 0; i < PARTS; i++) {
		if (b->part[i].number <= number - PARTS)
			continue;
		calls += b->part[i].calls;
		failed += b->part[i].failed;
		slow += b->part[i].slow;
	}
	if (calls < b->c.min_calls)
		return NULL;
	if (failed * 100 >= calls * b->c.error_percent)
		return "failures";
	return slow * 100 >= calls * b->c.slow_percent ? "slow" : NULL;
}

/* In hundredths; the whole when it is over. */
static int64_t recovered(const breaker_t *b, int64_t now_us)
{
	const int64_t for_us = now_us - b->since_us, all_us = b->c.recover_ms * 1000;

	return for_us >= all_us ? 100 : FIRST_PERCENT + (100 - FIRST_PERCENT) * for_us / all_us;
}

static bool take_recovering(breaker_t *b, int64_t now_us)
{
	const int64_t percent = recovered(b, now_us);

	metrics_set(METRICS_BREAKER_HELD_PERCENT, b->c.of, 100 - percent);
	if (percent == 100) {
		close_it(b, now_us);
		return true;
	}
	/* Evenly spread: the stride has no divisor in common with 100. */
	return atomic_fetch_add(&b->turn, 1) * STRIDE % 100 < percent;
}

static bool take_locked(breaker_t *b, int64_t now_us)
{
	if (state_of(b->word) == OPEN && now_us - b->since_us >= b->c.open_ms * 1000)
		move(b, HALF_OPEN, now_us);
	switch (state_of(b->word)) {
	case HALF_OPEN:
		return b->probing < b->c.probes ? b->probing++, true : false;
	case RECOVERING:
		return take_recovering(b, now_us);
	case CLOSED:
		return true;
	default:
		return false;
	}
}

bool breaker_take(breaker_t *b, int64_t now_us, breaker_ticket *t)
{
	const uint64_t word = atomic_load_explicit(&b->word, memory_order_relaxed);
	bool may = true;

	*t = (breaker_ticket){.since = word, .began_us = now_us};
	if (state_of(word) == CLOSED)
		return true;
	if (state_of(word) != OPEN || now_us - b->since_us >= b->c.open_ms * 1000) {
		pthread_mutex_lock(&b->lock);
		may = take_locked(b, now_us);
		t->since = b->word;
		pthread_mutex_unlock(&b->lock);
	} else {
		may = false;
	}
	if (!may)
		metrics_add(METRICS_BREAKER_HELD, b->c.of, 1);
	return may;
}

static void probed(breaker_t *b, breaker_result r, bool slow, int64_t now_us)
{
	if (r == BREAKER_UNUSED)
		b->probing--;
	else if (r == BREAKER_FAILED || slow)
		open_it(b, "a probe failed", now_us);
	else if (++b->proved < b->c.probes)
		return;
	else if (b->c.recover_ms)
		move(b, RECOVERING, now_us);
	else
		close_it(b, now_us);
}

void breaker_give(breaker_t *b, const breaker_ticket *t, breaker_result r, int64_t now_us)
{
	const uint64_t word = atomic_load_explicit(&b->word, memory_order_relaxed);
	const bool slow = b->c.slow_ms && now_us - t->began_us >= b->c.slow_ms * 1000;
	const bool judged = state_of(word) == CLOSED || state_of(word) == RECOVERING;

	if (word != t->since || (judged && r == BREAKER_UNUSED))
		return;
	if (judged) {
		window_add(b, r == BREAKER_FAILED, slow, now_us);
		if ((r == BREAKER_OK && !slow) || !judge(b, now_us))
			return;
	}
	pthread_mutex_lock(&b->lock);
	if (b->word == t->since) {
		const char *why = judged ? judge(b, now_us) : NULL;

		if (why)
			open_it(b, why, now_us);
		else if (!judged)
			probed(b, r, slow, now_us);
	}
	pthread_mutex_unlock(&b->lock);
}
