/* vault: one SQLite file in WAL mode, synchronous=FULL, with one writer thread that commits the
 * jobs of all waiting threads together, so that one fsync serves many of them. Any program may read
 * the file meanwhile. Threads: all safe. */
#ifndef HB_SIM_VAULT_H
#define HB_SIM_VAULT_H

#include "base/err.h"
#include <sqlite3.h>
#include <stdint.h>

typedef struct vault vault_t;
typedef struct vault_conn vault_conn;

/* Runs on a connection: vault_write's inside the writer's transaction (an error undoes this job
 * alone), vault_read's outside of one. now_ms is wall time that never goes back. */
typedef err_t (*vault_job)(vault_conn *c, int64_t now_ms, void *arg);
/* Runs in the writer's transaction when *due_ms has come; sets it to the next time. */
typedef err_t (*vault_timer)(vault_conn *c, int64_t now_ms, int64_t *due_ms);

typedef struct {
	const char *path, *schema;
	const char *added;      /* to the schema since: statements that may be run again */
	const char *const *sql; /* the statements, by their number */
	unsigned sql_count;
	vault_timer timer;
	void (*committed)(void *ctx); /* on the writer's thread after each commit; may be NULL */
	void *ctx;
} vault_conf;

/* ERR_CONFIG_INVALID (logged): cannot be opened, another program has it, or another layout. */
err_t vault_open(const vault_conf *conf, vault_t **out) MUST_CHECK;
/* Waits for the jobs under way. */
void vault_close(vault_t **v);

/* Returns once the job is on disk: its own result, or ERR_OUTCOME_UNKNOWN when the commit failed.
 */
err_t vault_write(vault_t *v, vault_job job, void *arg) MUST_CHECK;
err_t vault_read(vault_t *v, vault_job job, void *arg) MUST_CHECK;

void *vault_ctx(vault_conn *c); /* conf.ctx */
/* Statement `id`, reset, its parameters unbound; valid until it is taken again. */
sqlite3_stmt *vault_stmt(vault_conn *c, unsigned id);
/* *row: there is one. ERR_DB_DUPLICATE for a constraint, ERR_DB_FAILED (logged) otherwise. */
err_t vault_step(sqlite3_stmt *s, bool *row) MUST_CHECK;
/* For statements that return nothing; *changed (may be NULL): rows changed. */
err_t vault_exec(sqlite3_stmt *s, int *changed) MUST_CHECK;

typedef struct {
	int64_t commits, jobs;
} vault_counts;
vault_counts vault_count(vault_t *v);

#endif
