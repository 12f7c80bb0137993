/* db: connections to a cell's MySQL (MariaDB). Statements are named rows of sql/statements,
 * prepared on first use and kept per connection. Time-outs are set, reconnecting is off: a lost
 * connection is reported and replaced by the pool, never silently renewed. READ COMMITTED; affected
 * rows count matched rows (CLIENT_FOUND_ROWS).
 *
 * Errors: ERR_DB_DUPLICATE (1062), ERR_DB_RETRY (1205, 1213, 1020: the caller must roll back;
 * db_transact does), ERR_DB_LOST (2006, 2013, time-outs: the connection is dead),
 * ERR_CELL_UNAVAILABLE (1290 read-only, 1040, cannot connect, wrong epoch), ERR_DB_FAILED (anything
 * else; logged with the statement's name). A write outside of a transaction that loses its
 * connection has an unknown outcome: ERR_OUTCOME_UNKNOWN. After any error but ERR_DB_DUPLICATE in a
 * transaction every further call on it, COMMIT included, gives that same error until db_rollback,
 * because the server may have ended the transaction and would run what follows in autocommit.
 * Threads: a db_t belongs to one thread at a time; the pool is safe. */
#ifndef HB_STORE_DB_H
#define HB_STORE_DB_H

#include "base/err.h"
#include "sql_table.h" /* generated: sql_id, SQL_… */
#include <stddef.h>
#include <stdint.h>

typedef struct {
	char host[64];
	uint16_t port;
	char user[32];
	char password[80];
	char database[32];
	int64_t connect_ms, io_ms; /* whole seconds, rounded up; io at least lock_wait_s + 1 */
	int64_t lock_wait_s;
	uint64_t epoch; /* that this program was given; 0: do not check (hbctl) */
} db_target;

typedef struct db db_t;
typedef struct db_rows db_rows_t;
typedef struct db_pool db_pool_t;

typedef struct {
	enum { DB_NULL, DB_I64, DB_U64, DB_BYTES, DB_TEXT } type;
	union {
		int64_t i;
		uint64_t u;
		struct {
			const void *p;
			size_t n;
		} b;
	};
} db_val;

static inline db_val db_i(int64_t v)
{
	return (db_val){.type = DB_I64, .i = v};
}
static inline db_val db_u(uint64_t v)
{
	return (db_val){.type = DB_U64, .u = v};
}
static inline db_val db_b(const void *p, size_t n)
{
	return (db_val){.type = DB_BYTES, .b = {p, n}};
}
db_val db_s(const char *s); /* NULL becomes SQL NULL */
static inline db_val db_null(void)
{
	return (db_val){.type = DB_NULL};
}

/* The parameters of one call: DB_ARGS(db_u(id), db_s(text)); DB_NONE for none. */
#define DB_ARGS(...)                                                                               \
	(const db_val[]){__VA_ARGS__}, sizeof((const db_val[]){__VA_ARGS__}) / sizeof(db_val)
#define DB_NONE NULL, 0

err_t db_open(const db_target *t, db_t **out) MUST_CHECK;
void db_close(db_t **db);
bool db_alive(const db_t *db); /* false after ERR_DB_LOST */
/* Of a connection that lay idle: the server has closed it meanwhile. One system call. */
bool db_stale(const db_t *db);
uint64_t db_thread_id(const db_t *db);

/* A statement without rows. `affected` (may be NULL) gets the matched rows. */
err_t db_exec(db_t *db, sql_id id, const db_val *v, size_t n, uint64_t *affected) MUST_CHECK;
uint64_t db_insert_id(const db_t *db); /* of the last db_exec, also LAST_INSERT_ID(expr) */
/* A query; all rows are read at once (bounded by the statement's LIMIT). *out must be freed. */
err_t db_select(db_t *db, sql_id id, const db_val *v, size_t n, db_rows_t **out) MUST_CHECK;
/* The first column of the first row, which is a number ≥ 0; 0 when there is no row or it is NULL. */
err_t db_select_number(db_t *db, sql_id id, const db_val *v, size_t n, uint64_t *out) MUST_CHECK;
size_t db_rows_count(const db_rows_t *r);
bool db_rows_next(db_rows_t *r); /* to the first, then to the next row */
bool db_rows_null(const db_rows_t *r, unsigned col);
/* 0 for SQL NULL; a value that is no integer of the type is a bug and aborts. */
int64_t db_rows_i(const db_rows_t *r, unsigned col);
uint64_t db_rows_u(const db_rows_t *r, unsigned col);
/* Zero-terminated, "" for SQL NULL; valid until db_rows_free. `n` may be NULL. */
const char *db_rows_s(const db_rows_t *r, unsigned col, size_t *n);
void db_rows_free(db_rows_t **r);

/* Text of one or several statements, for the batch builder of the claim lane and for migrations
 * only. Several statements in one round trip; each result with rows is handed to `on_row` (strings,
 * NULL for SQL NULL; may be NULL itself); `result` is the statement's place in the text, from 0.
 * Stops at the first error. Transactions are begun and ended by the functions below only. */
typedef void (*db_row_fn)(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len);
err_t db_script(db_t *db, const char *sql, size_t n, db_row_fn on_row, void *ctx) MUST_CHECK;

/* START TRANSACTION and, with an epoch in the target, its check under a shared lock
 * (ERR_CELL_UNAVAILABLE and life_stop when another epoch rules). */
err_t db_begin(db_t *db) MUST_CHECK;
/* The same and, in the same round trip, statements that read or lock (as db_script; `result` counts
 * from the first of them). Their rows mean nothing unless it returns ERR_OK. */
err_t db_begin_script(db_t *db, const char *sql, size_t n, db_row_fn on_row, void *ctx) MUST_CHECK;
/* ERR_OUTCOME_UNKNOWN when the answer was lost: the connection is dead, the transaction may have
 * happened. */
err_t db_commit(db_t *db) MUST_CHECK;
void db_rollback(db_t *db);

/* ---- pool ---- */
err_t db_pool_new(
	const db_target *t, unsigned connections, int64_t wait_ms, db_pool_t **out) MUST_CHECK;
void db_pool_free(db_pool_t **p);
/* Connects on demand. ERR_CELL_UNAVAILABLE when none comes free in time or the server cannot be
 * reached. */
err_t db_pool_take(db_pool_t *p, db_t **out) MUST_CHECK;
void db_pool_give(
	db_pool_t *p, db_t **db); /* dead ones are closed; an open transaction is rolled back */

/* Runs `fn` in one transaction and commits. After ERR_DB_RETRY, and after a connection lost before
 * COMMIT, it rolls back and runs again (bounded, jittered). After an unknown COMMIT it runs `fn`
 * again on a new connection; so fn must find its own earlier effect by its unique key and then
 * succeed. Still unknown after the tries: ERR_OUTCOME_UNKNOWN. Any other error of fn: rolled back
 * and returned. */
typedef err_t (*db_tx_fn)(db_t *db, void *ctx);
err_t db_transact(db_pool_t *p, unsigned tries, db_tx_fn fn, void *ctx) MUST_CHECK;

#endif
