/* The pool of connections and the transaction loop. A server that cannot be reached is remembered
 * for a moment, and afterwards tried by one thread at a time, so that its connect time-out is not
 * eaten by every thread of the program. Connections are lent in LIFO order, and one that the server
 * has closed while it lay here is dropped before anybody's statement meets it. */
#include "store/db.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { QUIET_MS = 200, PAUSE_FIRST_MS = 4, PAUSE_MAX_MS = 256 };
enum { TX_REFUSED = 1, TX_RETRIED = 3 }; /* labels of METRICS_DB_TX */

struct db_pool {
	db_target target;
	int64_t wait_ms;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned max, open; /* open: idle, lent out or being opened */
	unsigned idle_count;
	bool failing, trying; /* the last connect failed; somebody tries again */
	int64_t quiet_until_ms;
	db_t *idle[];
};

err_t db_pool_new(const db_target *t, unsigned connections, int64_t wait_ms, db_pool_t **out)
{
	pthread_condattr_t attr;
	db_pool_t *p = calloc(1, sizeof *p + connections * sizeof p->idle[0]);

	BUG_ON(!p || connections == 0);
	p->target = *t;
	p->max = connections;
	p->wait_ms = wait_ms;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	*out = p;
	return ERR_OK;
}

void db_pool_free(db_pool_t **p)
{
	if (!*p)
		return;
	BUG_ON((*p)->open != (*p)->idle_count);
	for (unsigned i = 0; i < (*p)->idle_count; i++)
		db_close(&(*p)->idle[i]);
	pthread_cond_destroy(&(*p)->changed);
	pthread_mutex_destroy(&(*p)->lock);
	free(*p);
	*p = NULL;
}

/* Under the lock. Whether a connection may be opened now; reserves its place. */
static bool reserve(db_pool_t *p, bool *unreachable)
{
	*unreachable = p->failing && (p->trying || clk_mono_ms() < p->quiet_until_ms);
	if (*unreachable || p->open >= p->max)
		return false;
	p->open++;
	p->trying = p->failing;
	return true;
}

static err_t open_reserved(db_pool_t *p, db_t **out)
{
	err_t e = db_open(&p->target, out);

	pthread_mutex_lock(&p->lock);
	p->trying = false;
	p->failing = e != ERR_OK;
	if (e != ERR_OK) {
		p->open--;
		p->quiet_until_ms = clk_mono_ms() + QUIET_MS;
		pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return e;
}

static struct timespec deadline_in(int64_t ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += (time_t)(ms / 1000);
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

/* Takes an idle connection, or the right to open one (*out is NULL then). */
static err_t take_place(db_pool_t *p, const struct timespec *deadline, db_t **out)
{
	bool unreachable = false;
	err_t e = ERR_OK;

	*out = NULL;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		if (p->idle_count > 0) {
			*out = p->idle[--p->idle_count];
			break;
		}
		if (reserve(p, &unreachable))
			break;
		if (unreachable || pthread_cond_timedwait(&p->changed, &p->lock, deadline) != 0) {
			e = ERR_CELL_UNAVAILABLE;
			break;
		}
	}
	pthread_mutex_unlock(&p->lock);
	if (e != ERR_OK && !unreachable)
		LOG(WARN, "db.pool_exhausted", {"connections", LOG_U(p->max)});
	return e;
}

static void drop(db_pool_t *p, db_t **db)
{
	db_close(db);
	pthread_mutex_lock(&p->lock);
	p->open--;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void drop_idle(db_pool_t *p)
{
	for (;;) {
		db_t *db = NULL;

		pthread_mutex_lock(&p->lock);
		if (p->idle_count > 0)
			db = p->idle[--p->idle_count];
		pthread_mutex_unlock(&p->lock);
		if (!db)
			return;
		drop(p, &db);
	}
}

err_t db_pool_take(db_pool_t *p, db_t **out)
{
	struct timespec deadline = deadline_in(p->wait_ms);
	db_t *db;

	for (;;) {
		err_t e = take_place(p, &deadline, &db);
		if (e != ERR_OK)
			return e;
		if (!db)
			return open_reserved(p, out);
		if (!db_stale(db)) {
			*out = db;
			return ERR_OK;
		}
		drop(p, &db);
	}
}

void db_pool_give(db_pool_t *p, db_t **db)
{
	if (!*db)
		return;
	db_rollback(*db);
	if (db_alive(*db)) {
		pthread_mutex_lock(&p->lock);
		p->idle[p->idle_count++] = *db;
		pthread_cond_signal(&p->changed);
		pthread_mutex_unlock(&p->lock);
		*db = NULL;
		return;
	}
	/* The others are probably as dead; each would cost the next caller a whole time-out. */
	drop_idle(p);
	drop(p, db);
}

/* Grows with each try; random, so that those who met in a deadlock do not meet again. A server that
 * cannot be reached is not asked again before its time. */
static void pause_before(unsigned try, err_t why)
{
	static _Thread_local unsigned seed;
	int64_t most = PAUSE_MAX_MS, least = why == ERR_CELL_UNAVAILABLE ? QUIET_MS : 0;

	if (seed == 0)
		seed = (unsigned)clk_mono_us() ^ (unsigned)(uintptr_t)&seed;
	if (try < 8 && (PAUSE_FIRST_MS << try) < PAUSE_MAX_MS)
		most = PAUSE_FIRST_MS << try;
	clk_sleep_ms(least + rand_r(&seed) % most + 1);
}

static err_t run_once(db_pool_t *p, db_tx_fn fn, void *ctx)
{
	db_t *db = NULL;
	err_t e = db_pool_take(p, &db);

	if (e != ERR_OK)
		return e;
	e = db_begin(db);
	if (e == ERR_OK) {
		e = fn(db, ctx);
		if (e == ERR_OK)
			e = db_commit(db);
		else
			db_rollback(db);
	}
	db_pool_give(p, &db);
	return e;
}

err_t db_transact(db_pool_t *p, unsigned tries, db_tx_fn fn, void *ctx)
{
	bool unknown = false;
	err_t e = ERR_OK;

	BUG_ON(tries == 0);
	for (unsigned try = 0; try < tries; try++) {
		if (try > 0) {
			metrics_add(METRICS_DB_TX, TX_RETRIED, 1);
			pause_before(try, e);
		}
		e = run_once(p, fn, ctx);
		if (e == ERR_OUTCOME_UNKNOWN)
			unknown = true;
		else if (e != ERR_DB_RETRY && e != ERR_DB_LOST &&
			 !(unknown && e == ERR_CELL_UNAVAILABLE))
			break;
	}
	if (e != ERR_OK && e != ERR_OUTCOME_UNKNOWN)
		metrics_add(METRICS_DB_TX, TX_REFUSED, 1);
	/* After an unknown COMMIT only a clear answer of fn itself settles the matter. */
	return unknown && e != ERR_OK && err_http(e) >= 500 ? ERR_OUTCOME_UNKNOWN : e;
}
