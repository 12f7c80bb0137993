/* Why: an executor takes what waits in its lanes and has the store commit it. Whatever the store
 * says, each part of the batch ends in one of four ways: answered, back in its lane (locked
 * elsewhere), tried alone, or unknown and run again. A batch holds copies of its claims: a waiter
 * that was told OUTCOME_UNKNOWN is gone with its stack, while the executor goes on finding out. */
#include "domain/lane_inner.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"

#include <string.h>
#include <time.h>

enum { GATHER_STEP_US = 250, GATHER_LEAST = 4, GATHER_QUIET = 2 };
enum { DELAY_MAX_SHIFT = 6, RETRY_TRIES = 3, RESOLVE_PAUSE_MS = 100, SLEEP_MAX_MS = 1000 };
enum { RERUN_UNKNOWN, RERUN_RETRY, RERUN_LOST, RERUN_SPLIT }; /* labels of CLAIM_BATCH_RERUNS */

static void pause_ms(int64_t ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void delayed_to_ready(lane_executor *x, int64_t now)
{
	lane *next;

	for (lane *n = TAILQ_FIRST(&x->list[LANE_DELAYED]); n; n = next) {
		next = TAILQ_NEXT(n, link);
		if (n->due_ms <= now)
			lane_move(x, n, LANE_READY);
	}
}

static void part_fill(lane_executor *x, lane_part *p, int64_t now)
{
	lane *n = p->lane;

	p->packet_id = n->packet_id;
	if (x->items == 0)
		metrics_observe_us(METRICS_CLAIM_LANE_SECONDS,
			(now - STAILQ_FIRST(&n->queue)->since_ms) * 1000);
	p->item = x->item + x->items;
	for (unsigned i = 0; i < p->count; i++) {
		lane_waiter *w = STAILQ_FIRST(&n->queue);
		STAILQ_REMOVE_HEAD(&n->queue, link);
		x->item[x->items++] = (lane_item){.uid = w->uid,
			.relations = w->relations,
			.asked_ms = w->asked_ms,
			.waiter = w};
		if (w->trace[0])
			memcpy(x->item[x->items - 1].trace, w->trace, sizeof(w->trace));
	}
	n->queued -= p->count;
	n->flying += p->count;
	lane_move(x, n, LANE_NOWHERE);
	lane_settle(x, n, now);
}

/* A transaction costs as much as some hundred of its claims, so under load it pays to let them
 * gather: until there are somewhat more than in the last two batches on average (so that batches
 * grow with the load, yet one half of the claims is answered and comes again while the other half
 * is committed), but no longer than claims keep coming. Not when the last batch was small: then
 * claims are few, and each would only wait. */
static void gather(lane_executor *x)
{
	const struct timespec step = {.tv_nsec = GATHER_STEP_US * 1000L};
	const int64_t until = clk_mono_us() + x->all->conf.gather_us;
	const unsigned usual = (x->items + x->items_before) / 2, most = x->all->conf.batch_max;
	const unsigned want = usual + usual / 4 < most ? usual + usual / 4 : most;
	unsigned seen = 0, quiet = 0;

	if (x->items < GATHER_LEAST)
		return;
	while (quiet < GATHER_QUIET && x->waiting < want && !x->stopping && clk_mono_us() < until) {
		quiet = x->waiting > seen ? 0 : quiet + 1;
		seen = x->waiting;
		pthread_mutex_unlock(&x->lock);
		nanosleep(&step, NULL);
		pthread_mutex_lock(&x->lock);
	}
}

/* Everyone's fair share first, in turn; then what room is left, in the same turn. */
static bool batch_take(lane_executor *x, int64_t now)
{
	unsigned room = x->all->conf.batch_max;

	delayed_to_ready(x, now);
	x->items_before = x->items;
	x->items = x->parts = 0;
	x->taken_ms = now;
	const unsigned share = x->ready > 0 && x->ready < room ? room / x->ready : 1;
	for (lane *n = TAILQ_FIRST(&x->list[LANE_READY]); n && room > 0; n = TAILQ_NEXT(n, link)) {
		const unsigned count = n->queued < share ? n->queued : share;
		x->part[x->parts++] = (lane_part){.lane = n, .count = count};
		room -= count;
	}
	for (unsigned i = 0; i < x->parts; i++) {
		lane_part *p = &x->part[i];
		const unsigned left = p->lane->queued - p->count, more = left < room ? left : room;
		p->count += more;
		room -= more;
		part_fill(x, p, now);
	}
	if (x->parts > 0)
		metrics_observe_n(METRICS_CLAIM_BATCH_SIZE, x->items);
	return x->parts > 0;
}

static void part_answer(lane_executor *x, const lane_part *p, err_t err)
{
	for (unsigned i = 0; i < p->count; i++) {
		lane_item *it = &p->item[i];
		if (it->waiter)
			lane_answer(x, it->waiter, err == ERR_OK ? it->err : err, &it->result);
		it->waiter = NULL;
	}
}

/* Back to the head of the lane, in the old order. */
static void part_return(lane_executor *x, const lane_part *p, bool delay, int64_t now)
{
	lane *n = p->lane;

	for (unsigned i = p->count; i-- > 0;) {
		lane_item *it = &p->item[i];
		if (!it->waiter)
			continue;
		STAILQ_INSERT_HEAD(&n->queue, it->waiter, link);
		n->queued++;
		it->waiter = NULL;
	}
	if (delay && n->queued > 0) {
		n->due_ms =
			now + (1 << (n->delays < DELAY_MAX_SHIFT ? n->delays : DELAY_MAX_SHIFT));
		n->delays++;
		lane_move(x, n, LANE_DELAYED);
	}
}

/* What the end of a run means for one of its parts; true when the part is through. */
static bool part_finish(lane_executor *x, lane_part *p, err_t err, int64_t now)
{
	lane *n = p->lane;

	if (err == ERR_OUTCOME_UNKNOWN)
		p->unknown = true;
	if (p->unknown && (err != ERR_OK || p->elsewhere))
		return false;
	if (err == ERR_OK && p->elsewhere) {
		part_return(x, p, true, now);
	} else {
		part_answer(x, p, err);
		n->delays = 0;
	}
	if (err == ERR_OK && !p->elsewhere && p->known) {
		n->known = true;
		n->remaining = p->remaining;
	}
	n->flying -= p->count;
	lane_settle(x, n, now);
	return true;
}

/* Finishes parts and keeps those that are still unknown at the front; returns how many. */
static unsigned batch_finish(lane_executor *x, lane_part *part, unsigned parts, err_t err)
{
	const int64_t now = clk_mono_ms();
	unsigned left = 0;

	pthread_mutex_lock(&x->lock);
	for (unsigned i = 0; i < parts; i++) {
		if (!part_finish(x, &part[i], err, now))
			part[left++] = part[i];
	}
	lane_unlock_and_wake(x);
	return left;
}

static err_t batch_run(lane_executor *x, lane_part *part, unsigned parts)
{
	lane_batch b = {part, parts};

	for (unsigned i = 0; i < parts; i++) {
		part[i].elsewhere = part[i].known = false;
		for (unsigned k = 0; k < part[i].count; k++)
			part[i].item[k].err = ERR_OK;
	}
	return x->all->conf.store.run(x->all->conf.store.ctx, x->index, &b);
}

/* Packet by packet, so that a bad one hurts only itself. Stops when the outcome of one is unknown
 * (a second unresolved connection must not come to be) or nothing works. Parts that stay unknown
 * are kept at the front; returns how many. */
static unsigned batch_singly(lane_executor *x)
{
	unsigned left = 0, i = 0;
	err_t err = ERR_OK;

	for (; i < x->parts && err != ERR_OUTCOME_UNKNOWN && err != ERR_CELL_UNAVAILABLE; i++) {
		for (int tries = 0; tries < RETRY_TRIES; tries++) {
			metrics_add(METRICS_CLAIM_BATCH_RERUNS, RERUN_SPLIT, 1);
			err = batch_run(x, &x->part[i], 1);
			if (err != ERR_DB_RETRY && err != ERR_DB_LOST)
				break;
			pause_ms(1 << tries);
		}
		left += batch_finish(x, &x->part[i], 1, err);
		if (left > 0)
			x->part[0] = x->part[i];
	}
	if (err == ERR_CELL_UNAVAILABLE) {
		batch_finish(x, &x->part[i], x->parts - i, err);
		return left;
	}
	pthread_mutex_lock(&x->lock);
	for (const int64_t now = clk_mono_ms(); i < x->parts; i++) {
		part_return(x, &x->part[i], false, now);
		x->part[i].lane->flying -= x->part[i].count;
		lane_settle(x, x->part[i].lane, now);
	}
	lane_unlock_and_wake(x);
	return left;
}

/* Whether an error says that running these parts again cannot succeed either. */
static bool hopeless(err_t err)
{
	return err != ERR_OK && err != ERR_OUTCOME_UNKNOWN && err != ERR_CELL_UNAVAILABLE &&
	       err != ERR_DB_LOST && err != ERR_DB_RETRY && err != ERR_TIMEOUT;
}

/* Lets go of a part whose first outcome cannot be found out here; a repeat by its user, under
 * another number, is told by the rows. */
static void part_give_up(lane_executor *x, lane_part *p, err_t why)
{
	LOG(ERROR, "claim.unresolved", {"packet_id", LOG_U(p->packet_id)},
		{"claims", LOG_U(p->count)}, {"why", LOG_E(why)});
	pthread_mutex_lock(&x->lock);
	part_answer(x, p, ERR_OUTCOME_UNKNOWN);
	p->lane->flying -= p->count;
	lane_settle(x, p->lane, clk_mono_ms());
	lane_unlock_and_wake(x);
}

static unsigned resolve_singly(lane_executor *x, unsigned parts)
{
	unsigned left = 0;

	for (unsigned i = 0; i < parts; i++) {
		const err_t err = batch_run(x, &x->part[i], 1);
		if (hopeless(err))
			part_give_up(x, &x->part[i], err);
		else if (batch_finish(x, &x->part[i], 1, err) > 0)
			x->part[left++] = x->part[i];
	}
	return left;
}

static bool out_of_time(lane_executor *x)
{
	pthread_mutex_lock(&x->lock);
	const bool out = x->stopping && clk_mono_ms() - x->stopped_ms > x->all->conf.wait_ms;
	pthread_mutex_unlock(&x->lock);
	return out;
}

/* Runs what may have happened again and again until it is known. */
static void batch_resolve(lane_executor *x, unsigned parts)
{
	for (int64_t pause = 0; parts > 0; pause = pause * 2 + 4) {
		if (out_of_time(x)) {
			while (parts > 0)
				part_give_up(x, &x->part[--parts], ERR_TIMEOUT);
			return;
		}
		pause_ms(pause < RESOLVE_PAUSE_MS ? pause : RESOLVE_PAUSE_MS);
		metrics_add(METRICS_CLAIM_BATCH_RERUNS, RERUN_UNKNOWN, 1);
		const err_t err = batch_run(x, x->part, parts);
		parts = hopeless(err) ? resolve_singly(x, parts)
				      : batch_finish(x, x->part, parts, err);
		if (pause > RESOLVE_PAUSE_MS)
			pause = RESOLVE_PAUSE_MS;
	}
}

static void batch_execute(lane_executor *x)
{
	err_t err = batch_run(x, x->part, x->parts);

	if (err == ERR_DB_LOST) { /* before COMMIT: nothing happened */
		metrics_add(METRICS_CLAIM_BATCH_RERUNS, RERUN_LOST, 1);
		err = batch_run(x, x->part, x->parts);
	}
	if (err == ERR_DB_RETRY)
		metrics_add(METRICS_CLAIM_BATCH_RERUNS, RERUN_RETRY, 1);
	const bool whole =
		err == ERR_OK || err == ERR_OUTCOME_UNKNOWN || err == ERR_CELL_UNAVAILABLE;
	batch_resolve(x, whole ? batch_finish(x, x->part, x->parts, err) : batch_singly(x));
}

static int64_t next_due_ms(const lane_executor *x, int64_t now)
{
	int64_t wait = SLEEP_MAX_MS;
	lane *n;

	TAILQ_FOREACH(n, &x->list[LANE_DELAYED], link)
	{
		if (n->due_ms - now < wait)
			wait = n->due_ms - now;
	}
	return wait;
}

void *lane_executor_main(void *arg)
{
	lane_executor *x = arg;

	pthread_mutex_lock(&x->lock);
	for (;;) {
		gather(x);
		const int64_t now = clk_mono_ms();
		if (batch_take(x, now)) {
			pthread_mutex_unlock(&x->lock);
			batch_execute(x);
			pthread_mutex_lock(&x->lock);
			continue;
		}
		if (x->stopping && TAILQ_EMPTY(&x->list[LANE_DELAYED]))
			break;
		x->sleeps = true;
		lane_cond_wait(&x->work, &x->lock, next_due_ms(x, now));
		x->sleeps = false;
	}
	pthread_mutex_unlock(&x->lock);
	return NULL;
}
