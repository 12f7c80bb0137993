/* Why: one hot packet allows one transaction at a time, so the way to be fast is to put many claims
 * into each. Packets are spread over executors by a hash and never move, so everything about a lane
 * is under its executor's lock and two executors of a process never meet at one row. Each waiter
 * sleeps on a word of its own: one wake-up per claim, of the one thread that wants it, after the
 * lock is free. A timer thread drops idle lanes and answers those who have waited too long. */
#include "domain/lane_inner.h"

#include "base/clk.h"
#include "base/metrics.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { WAITER_NEW, WAITER_SLEEPS, WAITER_DONE };
enum { BATCH_MOST = 1024, TIMER_MAX_MS = 100 };

static void futex_wait(_Atomic uint32_t *word, uint32_t while_value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void waiter_sleep(lane_waiter *w)
{
	uint32_t was = WAITER_NEW;

	if (!atomic_compare_exchange_strong(&w->word, &was, WAITER_SLEEPS))
		return;
	while (atomic_load_explicit(&w->word, memory_order_acquire) != WAITER_DONE)
		futex_wait(&w->word, WAITER_SLEEPS);
}

/* The waiter may be gone when this returns; its word is only a number to the kernel then, and a
 * wake-up that meets another sleeper there is one that every futex user must bear. */
void lane_answer(lane_executor *x, lane_waiter *w, err_t err, const claim_result *result)
{
	w->err = err;
	if (result)
		w->result = *result;
	x->waiting--;
	if (w->done) {
		STAILQ_INSERT_TAIL(&x->told, w, link);
		return;
	}
	if (atomic_exchange_explicit(&w->word, WAITER_DONE, memory_order_acq_rel) == WAITER_SLEEPS)
		x->wake[x->wakes++] = &w->word;
	if (x->wakes == x->all->conf.batch_max) { /* only the timer's long queues */
		while (x->wakes > 0)
			futex_wake(x->wake[--x->wakes]);
	}
}

void lane_unlock_and_wake(lane_executor *x)
{
	_Atomic uint32_t *word[BATCH_MOST];
	const unsigned n = x->wakes;
	lane_waiter *next, *w = STAILQ_FIRST(&x->told);

	memcpy(word, x->wake, n * sizeof(*word));
	x->wakes = 0;
	STAILQ_INIT(&x->told);
	pthread_mutex_unlock(&x->lock);
	for (; w; w = next) {
		next = STAILQ_NEXT(w, link); /* its memory goes with `done` */
		w->done(w);
	}
	for (unsigned i = 0; i < n; i++)
		futex_wake(word[i]);
}

void lane_cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(c, m, &t);
}

static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(c, &a);
	pthread_condattr_destroy(&a);
}

static uint64_t hash_of(uint64_t packet_id)
{
	uint64_t z = packet_id * 0x9E3779B97F4A7C15u;

	return z ^ (z >> 32);
}

static lane_executor *executor_of(lanes_t *l, uint64_t packet_id)
{
	return &l->ex[(hash_of(packet_id) >> 40) % l->conf.executors];
}

static lane **lane_slot(lane_executor *x, uint64_t packet_id)
{
	lane **at = &x->bucket[hash_of(packet_id) & x->mask];

	while (*at && (*at)->packet_id != packet_id)
		at = &(*at)->chain;
	return at;
}

void lane_move(lane_executor *x, lane *n, lane_at to)
{
	if (n->at != LANE_NOWHERE)
		TAILQ_REMOVE(&x->list[n->at], n, link);
	if (n->at == LANE_READY)
		x->ready--;
	n->at = to;
	if (to != LANE_NOWHERE)
		TAILQ_INSERT_TAIL(&x->list[to], n, link);
	if (to == LANE_READY)
		x->ready++;
}

void lane_settle(lane_executor *x, lane *n, int64_t now)
{
	if (n->queued > 0) {
		if (n->at != LANE_DELAYED && n->at != LANE_READY)
			lane_move(x, n, LANE_READY);
	} else if (n->flying > 0) {
		lane_move(x, n, LANE_NOWHERE);
	} else {
		n->due_ms = now;
		lane_move(x, n, LANE_IDLE);
	}
}

static void lane_drop(lane_executor *x, lane *n)
{
	lane **at = lane_slot(x, n->packet_id);

	BUG_ON(n->at != LANE_IDLE || n->queued != 0 || n->flying != 0);
	*at = n->chain;
	lane_move(x, n, LANE_NOWHERE);
	x->lanes--;
	free(n);
}

/* Finds or makes; the longest idle lane makes room. NULL when all of them are busy. */
static lane *lane_get(lane_executor *x, uint64_t packet_id)
{
	lane *n = *lane_slot(x, packet_id);

	if (n)
		return n;
	if (x->lanes >= x->lanes_max) {
		lane *idle = TAILQ_FIRST(&x->list[LANE_IDLE]);
		if (!idle)
			return NULL;
		lane_drop(x, idle);
	}
	n = calloc(1, sizeof *n);
	BUG_ON(!n);
	n->packet_id = packet_id;
	STAILQ_INIT(&n->queue);
	*lane_slot(x, packet_id) = n;
	x->lanes++;
	return n;
}

static bool lane_admits(const lane_executor *x, const lane *n)
{
	const lanes_conf *c = &x->all->conf;
	const uint64_t inside = (uint64_t)n->queued + n->flying;

	return inside < c->lane_max &&
	       (!n->known || inside < admission_limit(&c->admission, n->remaining));
}

static err_t lane_join(lanes_t *l, uint64_t packet_id, lane_waiter *w)
{
	lane_executor *x = executor_of(l, packet_id);
	bool nudge = false;
	err_t err = ERR_OK;

	pthread_mutex_lock(&x->lock);
	lane *n = x->stopping ? NULL : lane_get(x, packet_id);
	if (!n) {
		err = x->stopping ? ERR_CELL_UNAVAILABLE : ERR_PACKET_BUSY;
	} else if (!lane_admits(x, n)) {
		err = ERR_PACKET_BUSY;
	} else {
		STAILQ_INSERT_TAIL(&n->queue, w, link);
		n->queued++;
		x->waiting++;
		nudge = x->sleeps;
		x->sleeps = false;
	}
	if (n)
		lane_settle(x, n, clk_mono_ms());
	pthread_mutex_unlock(&x->lock);
	if (nudge)
		pthread_cond_signal(&x->work);
	return err;
}

static void ticket_fill(lane_waiter *w, uint64_t uid, unsigned relations, int64_t asked_ms)
{
	w->uid = uid;
	w->relations = relations;
	w->asked_ms = asked_ms;
	w->trace[0] = '\0';
	if (trace_followed())
		memcpy(w->trace, trace_followed(), sizeof(w->trace));
	w->since_ms = clk_mono_ms();
	atomic_init(&w->word, WAITER_NEW);
}

err_t lanes_submit(lanes_t *l, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t asked_ms, claim_ticket *t)
{
	BUG_ON(!t->done);
	ticket_fill(t, uid, relations, asked_ms);
	return lane_join(l, packet_id, t);
}

err_t lanes_claim(lanes_t *l, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t asked_ms, claim_result *out)
{
	lane_waiter w = {0};

	ticket_fill(&w, uid, relations, asked_ms);
	const err_t err = lane_join(l, packet_id, &w);
	if (err != ERR_OK)
		return err;
	waiter_sleep(&w);
	if (w.err == ERR_OK)
		*out = w.result;
	return w.err;
}

bool lanes_remaining(lanes_t *l, uint64_t packet_id, uint32_t *remaining)
{
	lane_executor *x = executor_of(l, packet_id);

	pthread_mutex_lock(&x->lock);
	const lane *n = *lane_slot(x, packet_id);
	const bool known = n && n->known;
	if (known)
		*remaining = n->remaining;
	pthread_mutex_unlock(&x->lock);
	return known;
}

unsigned lanes_waiting(lanes_t *l)
{
	unsigned waiting = 0;

	for (unsigned i = 0; i < l->conf.executors; i++) {
		pthread_mutex_lock(&l->ex[i].lock);
		waiting += l->ex[i].waiting;
		pthread_mutex_unlock(&l->ex[i].lock);
	}
	return waiting;
}

/* Those who have waited too long in the queue. Nothing was done for them, but behind claims of their
 * own packet that stay unknown there may be an earlier one of theirs. */
static void expire_queued(lane_executor *x, lane_at at, int64_t before, int64_t now)
{
	lane *next;

	for (lane *n = TAILQ_FIRST(&x->list[at]); n; n = next) {
		const err_t err = n->flying > 0   ? ERR_OUTCOME_UNKNOWN
				  : n->delays > 0 ? ERR_PACKET_BUSY
						  : ERR_CELL_UNAVAILABLE;
		lane_waiter *w;
		next = TAILQ_NEXT(n, link);
		while ((w = STAILQ_FIRST(&n->queue)) != NULL && w->since_ms < before) {
			STAILQ_REMOVE_HEAD(&n->queue, link);
			n->queued--;
			lane_answer(x, w, err, NULL);
		}
		if (n->queued == 0)
			lane_settle(x, n, now);
	}
}

/* Those whose batch takes too long: it may or may not come to pass. */
static void detach_flying(lane_executor *x, int64_t before)
{
	if (x->taken_ms >= before)
		return;
	for (unsigned i = 0; i < x->items; i++) {
		lane_waiter *w = x->item[i].waiter;
		if (!w)
			continue;
		x->item[i].waiter = NULL;
		lane_answer(x, w, ERR_OUTCOME_UNKNOWN, NULL);
	}
}

static void executor_tick(lane_executor *x, unsigned *lanes, unsigned *waiting)
{
	const int64_t now = clk_mono_ms(), before = now - x->all->conf.wait_ms;
	lane *n;

	pthread_mutex_lock(&x->lock);
	expire_queued(x, LANE_READY, before, now);
	expire_queued(x, LANE_DELAYED, before, now);
	detach_flying(x, before);
	while ((n = TAILQ_FIRST(&x->list[LANE_IDLE])) != NULL &&
		n->due_ms < now - x->all->conf.idle_ms)
		lane_drop(x, n);
	*lanes += x->lanes;
	*waiting += x->waiting;
	lane_unlock_and_wake(x);
}

static void *timer_main(void *arg)
{
	lanes_t *l = arg;
	const int64_t least = l->conf.idle_ms < l->conf.wait_ms ? l->conf.idle_ms : l->conf.wait_ms;
	const int64_t every = least / 4 < TIMER_MAX_MS ? least / 4 + 1 : TIMER_MAX_MS;

	pthread_mutex_lock(&l->timer_lock);
	while (!l->timer_ends) {
		unsigned lanes = 0, waiting = 0;
		lane_cond_wait(&l->timer_stop, &l->timer_lock, every);
		for (unsigned i = 0; i < l->conf.executors; i++)
			executor_tick(&l->ex[i], &lanes, &waiting);
		metrics_set(METRICS_LANES, 0, lanes);
		metrics_set(METRICS_CLAIM_WAITING, 0, waiting);
	}
	pthread_mutex_unlock(&l->timer_lock);
	return NULL;
}

static void executor_start(lanes_t *l, unsigned index)
{
	const lanes_conf *c = &l->conf;
	lane_executor *x = &l->ex[index];
	unsigned buckets = 16;

	x->all = l;
	x->index = index;
	x->lanes_max = (c->lanes_max + c->executors - 1) / c->executors;
	while (buckets < x->lanes_max)
		buckets *= 2;
	x->mask = buckets - 1;
	x->bucket = calloc(buckets, sizeof(*x->bucket));
	x->item = calloc(c->batch_max, sizeof(*x->item));
	x->part = calloc(c->batch_max, sizeof(*x->part));
	x->wake = calloc(c->batch_max, sizeof(*x->wake));
	BUG_ON(!x->bucket || !x->item || !x->part || !x->wake);
	for (unsigned i = 0; i < LANE_LISTS; i++)
		TAILQ_INIT(&x->list[i]);
	STAILQ_INIT(&x->told);
	pthread_mutex_init(&x->lock, NULL);
	cond_init(&x->work);
	BUG_ON(pthread_create(&x->thread, NULL, lane_executor_main, x) != 0);
}

err_t lanes_new(const lanes_conf *c, lanes_t **out)
{
	lanes_t *l = calloc(1, sizeof(*l));

	BUG_ON(!l || c->executors == 0 || c->batch_max == 0 || c->batch_max > BATCH_MOST);
	l->conf = *c;
	l->ex = calloc(c->executors, sizeof(*l->ex));
	BUG_ON(!l->ex);
	for (unsigned i = 0; i < c->executors; i++)
		executor_start(l, i);
	pthread_mutex_init(&l->timer_lock, NULL);
	cond_init(&l->timer_stop);
	BUG_ON(pthread_create(&l->timer, NULL, timer_main, l) != 0);
	*out = l;
	return ERR_OK;
}

static void executor_stop(lane_executor *x)
{
	pthread_mutex_lock(&x->lock);
	x->stopping = true;
	x->stopped_ms = clk_mono_ms();
	pthread_cond_signal(&x->work);
	pthread_mutex_unlock(&x->lock);
}

static void executor_free(lane_executor *x)
{
	lane *n;

	while ((n = TAILQ_FIRST(&x->list[LANE_IDLE])) != NULL)
		lane_drop(x, n); /* NOLINT(clang-analyzer-unix.Malloc): it leaves the list */
	BUG_ON(x->lanes != 0);
	free(x->bucket);
	free(x->item);
	free(x->part);
	free(x->wake);
	pthread_cond_destroy(&x->work);
	pthread_mutex_destroy(&x->lock);
}

void lanes_free(lanes_t **l)
{
	lanes_t *s = *l;

	if (!s)
		return;
	for (unsigned i = 0; i < s->conf.executors; i++)
		executor_stop(&s->ex[i]);
	for (unsigned i = 0; i < s->conf.executors; i++)
		pthread_join(s->ex[i].thread, NULL);
	pthread_mutex_lock(&s->timer_lock);
	s->timer_ends = true;
	pthread_cond_signal(&s->timer_stop);
	pthread_mutex_unlock(&s->timer_lock);
	pthread_join(s->timer, NULL);
	for (unsigned i = 0; i < s->conf.executors; i++)
		executor_free(&s->ex[i]);
	pthread_cond_destroy(&s->timer_stop);
	pthread_mutex_destroy(&s->timer_lock);
	free(s->ex);
	free(s);
	*l = NULL;
}
