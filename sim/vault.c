/* Finance's books must survive a kill, so every commit is fsynced; on a slow disk that would allow
 * a few dozen orders a second. Therefore threads do not write: they queue a job and wait, and one
 * thread takes all that wait, runs each under a savepoint, and commits once. */
#include "sim/vault.h"

#include "base/clk.h"
#include "base/logger.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_MAX_JOBS = 512, READERS = 4, TIMER_MAX_WAIT_MS = 1000, BUSY_MS = 5000, LAYOUT = 1 };

struct vault_conn {
	sqlite3 *db;
	sqlite3_stmt **stmt;
	const vault_conf *conf;
};

typedef struct waiting {
	vault_job job;
	void *arg;
	err_t result;
	bool done;
	pthread_cond_t wake;
	struct waiting *next;
} waiting_t;

struct vault {
	vault_conf conf;
	int lock_fd;
	vault_conn writer, reader[READERS];
	bool reader_busy[READERS];
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t work, reader_free;
	waiting_t *first, **last;
	bool stopping;
	int64_t timer_due_ms, now_ms;
	vault_counts counts;
	pthread_t thread;
};

void *vault_ctx(vault_conn *c)
{
	return c->conf->ctx;
}

sqlite3_stmt *vault_stmt(vault_conn *c, unsigned id)
{
	BUG_ON(id >= c->conf->sql_count);
	if (!c->stmt[id] && sqlite3_prepare_v3(c->db, c->conf->sql[id], -1,
				    SQLITE_PREPARE_PERSISTENT, &c->stmt[id], NULL) != SQLITE_OK) {
		LOG(ERROR, "vault.prepare", {"sql", LOG_S(c->conf->sql[id])},
			{"why", LOG_S(sqlite3_errmsg(c->db))});
		BUG_ON(true);
	}
	sqlite3_reset(c->stmt[id]);
	sqlite3_clear_bindings(c->stmt[id]);
	return c->stmt[id];
}

err_t vault_step(sqlite3_stmt *s, bool *row)
{
	int rc = sqlite3_step(s);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
		*row = rc == SQLITE_ROW;
		if (rc == SQLITE_DONE)
			sqlite3_reset(s);
		return ERR_OK;
	}
	sqlite3 *db = sqlite3_db_handle(s);
	if (rc != SQLITE_CONSTRAINT)
		LOG(ERROR, "vault.step", {"sql", LOG_S(sqlite3_sql(s))},
			{"why", LOG_S(sqlite3_errmsg(db))});
	sqlite3_reset(s);
	return rc == SQLITE_CONSTRAINT ? ERR_DB_DUPLICATE : ERR_DB_FAILED;
}

err_t vault_exec(sqlite3_stmt *s, int *changed)
{
	bool row;
	err_t err = vault_step(s, &row);
	if (err == ERR_OK && changed)
		*changed = sqlite3_changes(sqlite3_db_handle(s));
	return err;
}

static bool plain(sqlite3 *db, const char *sql)
{
	char *why = NULL;
	bool ok = sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK;
	if (!ok)
		LOG(ERROR, "vault.exec", {"sql", LOG_S(sql)}, {"why", LOG_S(why ? why : "?")});
	sqlite3_free(why);
	return ok;
}

static bool conn_open(vault_conn *c, const vault_conf *conf)
{
	c->conf = conf;
	c->stmt = calloc(conf->sql_count, sizeof(sqlite3_stmt *));
	BUG_ON(!c->stmt);
	if (sqlite3_open_v2(conf->path, &c->db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
		    NULL) != SQLITE_OK)
		return false;
	sqlite3_busy_timeout(c->db, BUSY_MS);
	return plain(c->db, "PRAGMA journal_mode=WAL") && plain(c->db, "PRAGMA synchronous=FULL") &&
	       plain(c->db, "PRAGMA foreign_keys=ON");
}

static void conn_close(vault_conn *c)
{
	for (unsigned i = 0; c->stmt && i < c->conf->sql_count; i++)
		sqlite3_finalize(c->stmt[i]);
	free(c->stmt);
	sqlite3_close(c->db);
	*c = (vault_conn){0};
}

static err_t run_one(vault_conn *c, vault_job job, int64_t now_ms, void *arg)
{
	if (!plain(c->db, "SAVEPOINT job"))
		return ERR_DB_FAILED;
	err_t err = job(c, now_ms, arg);
	if (err != ERR_OK && !plain(c->db, "ROLLBACK TO job"))
		return ERR_DB_FAILED;
	return plain(c->db, "RELEASE job") ? err : ERR_DB_FAILED;
}

typedef struct {
	vault_timer timer;
	int64_t due_ms;
} timer_run;

static err_t run_timer(vault_conn *c, int64_t now_ms, void *arg)
{
	timer_run *t = arg;
	return t->timer(c, now_ms, &t->due_ms);
}

/* The timer runs last, so that it sees what the jobs have made due. */
static bool run_batch(vault_t *v, waiting_t *batch, int64_t now_ms, int64_t *due_ms)
{
	timer_run t = {v->conf.timer, now_ms + TIMER_MAX_WAIT_MS};
	if (!plain(v->writer.db, "BEGIN IMMEDIATE"))
		return false;
	for (waiting_t *w = batch; w; w = w->next)
		w->result = run_one(&v->writer, w->job, now_ms, w->arg);
	if (t.timer && run_one(&v->writer, run_timer, now_ms, &t) != ERR_OK)
		t.due_ms = now_ms + TIMER_MAX_WAIT_MS;
	*due_ms = t.due_ms;
	if (plain(v->writer.db, "COMMIT"))
		return true;
	if (!sqlite3_get_autocommit(v->writer.db))
		plain(v->writer.db, "ROLLBACK");
	return false;
}

/* Under the lock. Sleeps until there is a job, the timer is due or the vault closes. */
static void wait_for_work(vault_t *v)
{
	while (!v->first && !v->stopping) {
		int64_t wait_ms = v->timer_due_ms - clk_wall_ms();
		if (wait_ms <= 0)
			return;
		if (wait_ms > TIMER_MAX_WAIT_MS)
			wait_ms = TIMER_MAX_WAIT_MS;
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		int64_t ns = until.tv_nsec + wait_ms % 1000 * 1000000;
		until.tv_sec += (time_t)(wait_ms / 1000 + ns / 1000000000);
		until.tv_nsec = (long)(ns % 1000000000);
		pthread_cond_timedwait(&v->work, &v->lock, &until);
	}
}

static waiting_t *take_batch(vault_t *v)
{
	waiting_t *batch = v->first, *end = batch;
	int64_t n = batch ? 1 : 0;
	for (; end && end->next && n < BATCH_MAX_JOBS; n++)
		end = end->next;
	if (!batch)
		return NULL;
	v->first = end->next;
	if (!v->first)
		v->last = &v->first;
	end->next = NULL;
	v->counts.jobs += n;
	return batch;
}

static void *writer_main(void *arg)
{
	vault_t *v = arg;
	pthread_mutex_lock(&v->lock);
	while (true) {
		wait_for_work(v);
		if (v->stopping && !v->first)
			break;
		waiting_t *batch = take_batch(v);
		int64_t wall = clk_wall_ms(), due_ms = wall + TIMER_MAX_WAIT_MS;
		v->now_ms = wall > v->now_ms ? wall : v->now_ms;
		int64_t now_ms = v->now_ms;
		pthread_mutex_unlock(&v->lock);
		bool ok = run_batch(v, batch, now_ms, &due_ms);
		if (ok && v->conf.committed)
			v->conf.committed(v->conf.ctx);
		pthread_mutex_lock(&v->lock);
		v->timer_due_ms = due_ms;
		v->counts.commits++;
		for (waiting_t *w = batch, *next; w; w = next) {
			next = w->next;
			if (!ok)
				w->result = ERR_OUTCOME_UNKNOWN;
			w->done = true;
			pthread_cond_signal(&w->wake);
		}
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

err_t vault_write(vault_t *v, vault_job job, void *arg)
{
	waiting_t w = {.job = job, .arg = arg};
	pthread_cond_init(&w.wake, NULL);
	pthread_mutex_lock(&v->lock);
	BUG_ON(v->stopping);
	*v->last = &w;
	v->last = &w.next;
	pthread_cond_signal(&v->work);
	while (!w.done)
		pthread_cond_wait(&w.wake, &v->lock);
	pthread_mutex_unlock(&v->lock);
	pthread_cond_destroy(&w.wake);
	return w.result;
}

err_t vault_read(vault_t *v, vault_job job, void *arg)
{
	unsigned i = READERS;
	pthread_mutex_lock(&v->lock);
	while (i == READERS) {
		for (i = 0; i < READERS && v->reader_busy[i];)
			i++;
		if (i == READERS)
			pthread_cond_wait(&v->reader_free, &v->lock);
	}
	v->reader_busy[i] = true;
	pthread_mutex_unlock(&v->lock);
	err_t err = job(&v->reader[i], clk_wall_ms(), arg);
	/* A statement left on a row would hold its snapshot, and the WAL could not be emptied. */
	for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(v->reader[i].db, s));)
		if (sqlite3_stmt_busy(s))
			sqlite3_reset(s);
	pthread_mutex_lock(&v->lock);
	v->reader_busy[i] = false;
	pthread_cond_signal(&v->reader_free);
	pthread_mutex_unlock(&v->lock);
	return err;
}

vault_counts vault_count(vault_t *v)
{
	pthread_mutex_lock(&v->lock);
	vault_counts counts = v->counts;
	pthread_mutex_unlock(&v->lock);
	return counts;
}

/* Two programs on one file would call everybody back twice. */
static bool lock_file(vault_t *v)
{
	char name[512];
	int n = snprintf(name, sizeof name, "%s.lock", v->conf.path);
	if (n <= 0 || (size_t)n >= sizeof name)
		return false;
	v->lock_fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	return v->lock_fd >= 0 && flock(v->lock_fd, LOCK_EX | LOCK_NB) == 0;
}

static bool prepare_layout(vault_t *v)
{
	sqlite3 *db = v->writer.db;
	sqlite3_stmt *s = NULL;
	int layout = -1;
	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK &&
		sqlite3_step(s) == SQLITE_ROW)
		layout = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	if (layout == LAYOUT)
		return plain(db, v->conf.added);
	return layout == 0 && plain(db, "BEGIN IMMEDIATE") && plain(db, v->conf.schema) &&
	       plain(db, v->conf.added) && plain(db, "PRAGMA user_version=1") &&
	       plain(db, "COMMIT");
}

err_t vault_open(const vault_conf *conf, vault_t **out)
{
	vault_t *v = calloc(1, sizeof *v);
	pthread_condattr_t monotonic;
	BUG_ON(!v);
	v->conf = *conf;
	v->last = &v->first;
	v->lock_fd = -1;
	bool ok = lock_file(v) && conn_open(&v->writer, &v->conf) && prepare_layout(v);
	for (unsigned i = 0; ok && i < READERS; i++)
		ok = conn_open(&v->reader[i], &v->conf);
	pthread_mutex_init(&v->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&v->work, &monotonic);
	pthread_cond_init(&v->reader_free, NULL);
	pthread_condattr_destroy(&monotonic);
	v->stopping = !ok;
	if (ok)
		BUG_ON(pthread_create(&v->thread, NULL, writer_main, v) != 0);
	if (!ok) {
		LOG(ERROR, "vault.open", {"path", LOG_S(conf->path)});
		vault_close(&v);
		return ERR_CONFIG_INVALID;
	}
	*out = v;
	return ERR_OK;
}

void vault_close(vault_t **vp)
{
	vault_t *v = *vp;
	if (!v)
		return;
	if (!v->stopping) {
		pthread_mutex_lock(&v->lock);
		v->stopping = true;
		pthread_cond_signal(&v->work);
		pthread_mutex_unlock(&v->lock);
		pthread_join(v->thread, NULL);
	}
	for (unsigned i = 0; i < READERS; i++)
		conn_close(&v->reader[i]);
	conn_close(&v->writer);
	if (v->lock_fd >= 0)
		close(v->lock_fd);
	pthread_cond_destroy(&v->work);
	pthread_cond_destroy(&v->reader_free);
	pthread_mutex_destroy(&v->lock);
	free(v);
	*vp = NULL;
}
