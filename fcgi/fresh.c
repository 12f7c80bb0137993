/* fresh: the age is always taken from the row's own time, never from the time of the last look, so
 * that a query that hangs makes the answer "stale" by itself. A row that is as far ahead of our clock
 * is no better: after a clock was set back it would look young for as long as it was set back. */
#include "fcgi/fresh.h"
#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { FRESH_EVERY_MS = 100 };

struct fresh {
	db_target target;
	int64_t stale_ms;
	_Atomic int64_t at_ms; /* of the row when last read */
	db_t *db;
	bool was_ok;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool ending;
};

static void fresh_read(fresh_t *f)
{
	db_rows_t *rows = NULL;
	if (f->db && !db_alive(f->db))
		db_close(&f->db);
	if (!f->db && db_open(&f->target, &f->db) != ERR_OK)
		return;
	if (db_select(f->db, SQL_HEARTBEAT_AT, DB_NONE, &rows) != ERR_OK)
		return;
	if (db_rows_next(rows)) {
		atomic_store(&f->at_ms, db_rows_i(rows, 0));
		metrics_set(METRICS_HEARTBEAT_READ, 0, db_rows_i(rows, 0));
	}
	db_rows_free(&rows);
}

static void fresh_look(fresh_t *f)
{
	fresh_read(f);
	bool ok = fresh_ok(f);
	if (ok != f->was_ok)
		LOG(WARN, ok ? "heartbeat.fresh" : "heartbeat.stale",
			{"at_ms", LOG_I(atomic_load(&f->at_ms))});
	f->was_ok = ok;
}

static void *fresh_run(void *arg)
{
	fresh_t *f = arg;
	pthread_mutex_lock(&f->lock);
	while (!f->ending) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += FRESH_EVERY_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		(void)pthread_cond_timedwait(&f->wake, &f->lock, &until);
		if (f->ending)
			break;
		pthread_mutex_unlock(&f->lock);
		fresh_look(f);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

err_t fresh_new(const db_target *target, int64_t stale_ms, fresh_t **out)
{
	pthread_condattr_t attr;
	fresh_t *f = calloc(1, sizeof(*f));
	BUG_ON(!f);
	f->target = *target;
	f->stale_ms = stale_ms;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &attr);
	pthread_condattr_destroy(&attr);
	f->was_ok = true;
	fresh_look(f);
	if (pthread_create(&f->thread, NULL, fresh_run, f) != 0) {
		db_close(&f->db);
		free(f);
		return ERR_INTERNAL;
	}
	*out = f;
	return ERR_OK;
}

void fresh_free(fresh_t **fp)
{
	fresh_t *f = *fp;
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->ending = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	db_close(&f->db);
	pthread_cond_destroy(&f->wake);
	pthread_mutex_destroy(&f->lock);
	free(f);
	*fp = NULL;
}

bool fresh_at(int64_t at_ms, int64_t stale_ms)
{
	const int64_t age_ms = clk_wall_ms() - at_ms;
	return age_ms <= stale_ms && age_ms >= -stale_ms;
}

bool fresh_ok(const fresh_t *f)
{
	return fresh_at(atomic_load(&f->at_ms), f->stale_ms);
}
