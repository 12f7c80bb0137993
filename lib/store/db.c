/* One connection, and what its errors mean. The library's error numbers are sorted once, in
 * `meanings`, into the few cases that callers tell apart. All result columns are fetched as text
 * and read as numbers on demand: that is exact for every SQL type (unsigned, sums, NULL, blobs),
 * whereas binding by the server's types is a ladder with traps. A transaction that met an error is
 * held to that error until it is rolled back, since 1213 ends it on the server and what follows
 * would be committed statement by statement. */
#include "store/db.h"

#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "store/db_rows.h"

#include <errmsg.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PARAMS_MAX = 64 };
enum { TX_DONE, TX_REFUSED, TX_UNKNOWN }; /* labels of METRICS_DB_TX */

struct db {
	MYSQL *my;
	MYSQL_STMT *stmt[SQL_COUNT];
	uint64_t epoch, insert_id, thread_id;
	bool dead;
	bool in_tx;
	char *begin; /* text of db_begin_script */
	size_t begin_room;
	err_t tx_error; /* the first one of this transaction; sticks until db_rollback */
};

static const struct meaning {
	unsigned number;
	err_t err;
} meanings[] = {
	{1062, ERR_DB_DUPLICATE}, {1586, ERR_DB_DUPLICATE}, /* the same, with the key's name */
	{1205, ERR_DB_RETRY},                               /* lock wait time-out */
	{1213, ERR_DB_RETRY},                               /* deadlock */
	{1020, ERR_DB_RETRY},                               /* record has changed */
	{1317, ERR_DB_RETRY},                               /* KILL QUERY */
	{1969, ERR_DB_RETRY},                               /* max_statement_time */
	{1290, ERR_CELL_UNAVAILABLE},                       /* --read-only */
	{1792, ERR_CELL_UNAVAILABLE},                       /* read-only transaction */
	{1836, ERR_CELL_UNAVAILABLE},                       /* read-only mode */
	{1040, ERR_CELL_UNAVAILABLE},                       /* too many connections */
	{1203, ERR_CELL_UNAVAILABLE},                       /* too many connections of this user */
	{1053, ERR_DB_LOST},                                /* shutdown in progress */
	{1158, ERR_DB_LOST}, /* the server's own network errors, to 1161 */
	{1159, ERR_DB_LOST}, {1160, ERR_DB_LOST}, {1161, ERR_DB_LOST},
	{1927, ERR_DB_LOST}, /* KILL */
	{CR_SERVER_GONE_ERROR, ERR_DB_LOST}, {CR_SERVER_LOST, ERR_DB_LOST},
	{CR_COMMANDS_OUT_OF_SYNC, ERR_DB_LOST}, {CR_MALFORMED_PACKET, ERR_DB_LOST},
	{2055, ERR_DB_LOST}, /* CR_SERVER_LOST_EXTENDED */
};

static err_t meaning_of(unsigned number)
{
	for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
		if (meanings[i].number == number)
			return meanings[i].err;
	}
	return ERR_DB_FAILED;
}

/* Judges a failed call, marks the connection and its transaction. `writes`: the statement may have
 * changed something. */
static err_t db_fail(db_t *db, unsigned number, const char *message, const char *what, bool writes)
{
	err_t e = meaning_of(number);

	if (number >= CR_MIN_ERROR && number < 3000)
		db->dead = true; /* of the client library: the protocol is out of step */
	if (e == ERR_DB_FAILED)
		LOG(ERROR, "db.failed", {"statement", LOG_S(what)}, {"number", LOG_U(number)},
			{"message", LOG_S(message)});
	else if (e == ERR_DB_LOST || e == ERR_CELL_UNAVAILABLE)
		LOG(WARN, "db.unavailable", {"statement", LOG_S(what)}, {"number", LOG_U(number)},
			{"message", LOG_S(message)});
	if (e == ERR_DB_LOST) {
		db->dead = true;
		if (writes && !db->in_tx)
			e = ERR_OUTCOME_UNKNOWN;
	}
	if (db->in_tx && e != ERR_DB_DUPLICATE && db->tx_error == ERR_OK)
		db->tx_error = e;
	return e;
}

/* Whether a call may be made at all. */
static err_t db_ready(const db_t *db)
{
	if (db->tx_error != ERR_OK)
		return db->tx_error;
	return db->dead ? ERR_DB_LOST : ERR_OK;
}

static void library_start(void)
{
	BUG_ON(mysql_library_init(0, NULL, NULL) != 0);
}

static unsigned whole_seconds(int64_t ms)
{
	return (unsigned)((ms + 999) / 1000);
}

static err_t session_start(db_t *db, const db_target *t)
{
	char sql[300];
	int n = snprintf(sql, sizeof sql,
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;"
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,"
		"NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = %lld, autocommit = 1",
		(long long)t->lock_wait_s);

	BUG_ON(n < 0 || (size_t)n >= sizeof sql);
	return db_script(db, sql, (size_t)n, NULL, NULL);
}

static void set_options(MYSQL *my, const db_target *t)
{
	unsigned connect_s = whole_seconds(t->connect_ms), io_s = whole_seconds(t->io_ms);
	unsigned lock_s = whole_seconds(t->lock_wait_s * 1000) + 1;
	unsigned protocol = MYSQL_PROTOCOL_TCP;
	my_bool off = 0, on = 1;

	/* Or a wait for a lock would be taken for a lost server. */
	if (io_s < lock_s)
		io_s = lock_s;
	mysql_options(my, MYSQL_OPT_RECONNECT, &off);
	mysql_options(my, MYSQL_REPORT_DATA_TRUNCATION, &on);
	mysql_options(my, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_options(my, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
	mysql_options(my, MYSQL_OPT_READ_TIMEOUT, &io_s);
	mysql_options(my, MYSQL_OPT_WRITE_TIMEOUT, &io_s);
	mysql_options(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
}

err_t db_open(const db_target *t, db_t **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	db_t *db = calloc(1, sizeof *db);

	BUG_ON(!db);
	pthread_once(&once, library_start);
	db->my = mysql_init(NULL);
	BUG_ON(!db->my);
	db->epoch = t->epoch;
	set_options(db->my, t);
	if (!mysql_real_connect(db->my, t->host, t->user, t->password, t->database, t->port, NULL,
		    CLIENT_FOUND_ROWS | CLIENT_MULTI_STATEMENTS)) {
		LOG(WARN, "db.connect", {"host", LOG_S(t->host)}, {"port", LOG_U(t->port)},
			{"number", LOG_U(mysql_errno(db->my))},
			{"message", LOG_S(mysql_error(db->my))});
		db_close(&db);
		return ERR_CELL_UNAVAILABLE;
	}
	db->thread_id = mysql_thread_id(db->my);
	METRICS_INC(DB_CONNECTS);
	if (session_start(db, t) != ERR_OK) {
		db_close(&db);
		return ERR_CELL_UNAVAILABLE;
	}
	*out = db;
	return ERR_OK;
}

void db_close(db_t **db)
{
	if (!*db)
		return;
	/* Before the statements: afterwards closing them sends nothing and cannot block. */
	mysql_close((*db)->my);
	for (size_t i = 0; i < SQL_COUNT; i++) {
		if ((*db)->stmt[i])
			mysql_stmt_close((*db)->stmt[i]);
	}
	free((*db)->begin);
	free(*db);
	*db = NULL;
}

bool db_alive(const db_t *db)
{
	return !db->dead;
}

bool db_stale(const db_t *db)
{
	struct pollfd p = {.fd = db->my->net.fd, .events = POLLIN};

	/* An idle server has nothing to say but goodbye. */
	return db->dead || poll(&p, 1, 0) != 0;
}

uint64_t db_thread_id(const db_t *db)
{
	return db->thread_id;
}

uint64_t db_insert_id(const db_t *db)
{
	return db->insert_id;
}

db_val db_s(const char *s)
{
	if (!s)
		return db_null();
	return (db_val){.type = DB_TEXT, .b = {s, strlen(s)}};
}

static void bind_param(MYSQL_BIND *b, const db_val *v)
{
	switch (v->type) {
	case DB_NULL:
		b->buffer_type = MYSQL_TYPE_NULL;
		break;
	case DB_I64:
	case DB_U64:
		b->buffer_type = MYSQL_TYPE_LONGLONG;
		b->buffer = (void *)(uintptr_t)&v->u;
		b->is_unsigned = v->type == DB_U64;
		break;
	case DB_BYTES:
	case DB_TEXT:
		b->buffer_type = v->type == DB_TEXT ? MYSQL_TYPE_STRING : MYSQL_TYPE_BLOB;
		b->buffer = (void *)(uintptr_t)v->b.p;
		b->buffer_length = v->b.n;
		break;
	}
}

static err_t stmt_fail(db_t *db, sql_id id, MYSQL_STMT *st, bool writes)
{
	return db_fail(db, mysql_stmt_errno(st), mysql_stmt_error(st), sql_table[id].name, writes);
}

static err_t statement(db_t *db, sql_id id, MYSQL_STMT **out)
{
	my_bool on = 1;
	MYSQL_STMT *st = db->stmt[id];

	if (!st) {
		st = mysql_stmt_init(db->my);
		BUG_ON(!st);
		mysql_stmt_attr_set(st, STMT_ATTR_UPDATE_MAX_LENGTH, &on);
		if (mysql_stmt_prepare(st, sql_table[id].text, strlen(sql_table[id].text)) != 0) {
			err_t e = stmt_fail(db, id, st, false);
			mysql_stmt_close(st);
			return e;
		}
		BUG_ON(mysql_stmt_param_count(st) != sql_table[id].params);
		db->stmt[id] = st;
	}
	*out = st;
	return ERR_OK;
}

static err_t execute(db_t *db, sql_id id, const db_val *v, size_t n, bool writes, MYSQL_STMT **out)
{
	MYSQL_BIND bind[PARAMS_MAX] = {0};
	err_t e = db_ready(db);

	BUG_ON(id >= SQL_COUNT || n != sql_table[id].params || n > PARAMS_MAX);
	if (e == ERR_OK)
		e = statement(db, id, out);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < n; i++)
		bind_param(&bind[i], &v[i]);
	if ((n > 0 && mysql_stmt_bind_param(*out, bind) != 0) || mysql_stmt_execute(*out) != 0)
		return stmt_fail(db, id, *out, writes);
	return ERR_OK;
}

err_t db_exec(db_t *db, sql_id id, const db_val *v, size_t n, uint64_t *affected)
{
	MYSQL_STMT *st;
	err_t e = execute(db, id, v, n, true, &st);

	if (e != ERR_OK)
		return e;
	BUG_ON(mysql_stmt_field_count(st) != 0);
	db->insert_id = mysql_stmt_insert_id(st);
	if (affected)
		*affected = mysql_stmt_affected_rows(st);
	return ERR_OK;
}

err_t db_select(db_t *db, sql_id id, const db_val *v, size_t n, db_rows_t **out)
{
	/* INSERT … RETURNING comes here as well; its lost answer is not harmless. */
	bool writes = strncasecmp(sql_table[id].text, "SELECT", 6) != 0;
	MYSQL_STMT *st = NULL;
	db_rows_t *r;
	err_t e = execute(db, id, v, n, writes, &st);

	if (e != ERR_OK)
		return e;
	r = db_rows_read(st);
	if (!r)
		e = stmt_fail(db, id, st, writes);
	mysql_stmt_free_result(st);
	if (r)
		*out = r;
	return e;
}

err_t db_select_number(db_t *db, sql_id id, const db_val *v, size_t n, uint64_t *out)
{
	db_rows_t *r = NULL;
	err_t e = db_select(db, id, v, n, &r);

	if (e != ERR_OK)
		return e;
	*out = db_rows_next(r) && !db_rows_null(r, 0) ? db_rows_u(r, 0) : 0;
	db_rows_free(&r);
	return ERR_OK;
}

static err_t read_results(db_t *db, db_row_fn on_row, void *ctx)
{
	int more = 0;

	for (unsigned result = 0; more == 0; result++) {
		MYSQL_RES *res = mysql_store_result(db->my);
		MYSQL_ROW row;

		if (!res && mysql_field_count(db->my) != 0)
			return ERR_DB_FAILED;
		while (res && (row = mysql_fetch_row(res)) != NULL) {
			if (on_row)
				on_row(ctx, result, mysql_num_fields(res), row,
					mysql_fetch_lengths(res));
		}
		mysql_free_result(res);
		more = mysql_next_result(db->my);
	}
	return more < 0 ? ERR_OK : ERR_DB_FAILED;
}

static err_t run_text(db_t *db, const char *sql, size_t n, const char *what, bool writes,
	db_row_fn on_row, void *ctx)
{
	if (mysql_real_query(db->my, sql, n) == 0 && read_results(db, on_row, ctx) == ERR_OK)
		return ERR_OK;
	return db_fail(db, mysql_errno(db->my), mysql_error(db->my), what, writes);
}

err_t db_script(db_t *db, const char *sql, size_t n, db_row_fn on_row, void *ctx)
{
	err_t e = db_ready(db);

	return e == ERR_OK ? run_text(db, sql, n, "script", true, on_row, ctx) : e;
}

/* The rows of a transaction's first round trip. */
typedef struct {
	uint64_t ruling; /* the epoch that rules; 0: not heard of */
	unsigned before; /* results before the caller's own */
	db_row_fn on_row;
	void *ctx;
} begun;

static void on_begun(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	begun *b = ctx;

	if (result >= b->before)
		b->on_row(b->ctx, result - b->before, cols, col, len);
	else if (cols == 1 && col[0])
		b->ruling = strtoull(col[0], NULL, 10);
}

/* The text of the first round trip, in memory that the connection keeps. */
static size_t begin_text(db_t *db, const char *sql, size_t n)
{
	const char *check = db->epoch ? sql_table[SQL_EPOCH_CHECK].text : "";
	const size_t room = strlen(check) + n + sizeof "START TRANSACTION;;";

	if (room > db->begin_room) {
		db->begin = realloc(db->begin, room);
		BUG_ON(!db->begin);
		db->begin_room = room;
	}
	const int head = snprintf(db->begin, room, "START TRANSACTION%s%s%s", *check ? ";" : "",
		check, n > 0 ? ";" : "");
	BUG_ON(head < 0 || (size_t)head + n > room);
	memcpy(db->begin + head, sql, n);
	return (size_t)head + n;
}

err_t db_begin_script(db_t *db, const char *sql, size_t n, db_row_fn on_row, void *ctx)
{
	begun b = {.before = db->epoch ? 2 : 1, .on_row = on_row, .ctx = ctx};
	err_t e = db_ready(db);

	BUG_ON(db->in_tx);
	if (e != ERR_OK)
		return e;
	db->in_tx = true;
	const size_t len = begin_text(db, sql, n);
	e = run_text(db, db->begin, len, "begin", false, on_begun, &b);
	if (e == ERR_OK && b.ruling != db->epoch) {
		LOG(ERROR, "db.epoch", {"given", LOG_U(db->epoch)}, {"ruling", LOG_U(b.ruling)});
		life_stop("epoch");
		e = ERR_CELL_UNAVAILABLE;
	}
	if (e != ERR_OK)
		db_rollback(db);
	return e;
}

err_t db_begin(db_t *db)
{
	return db_begin_script(db, "", 0, NULL, NULL);
}

/* Errors of COMMIT after which nothing has happened for certain. A KILL is none of them: it ends a
 * wait for a replica's acknowledgement with the transaction kept. */
static bool commit_refused(unsigned number)
{
	static const unsigned refused[] = {1205, 1213, 1020, 1290, 1792, 1836};

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		if (refused[i] == number)
			return true;
	}
	return false;
}

err_t db_commit(db_t *db)
{
	static const char commit[] = "COMMIT";
	err_t e = db->tx_error;
	unsigned label = TX_REFUSED;

	BUG_ON(!db->in_tx);
	if (e == ERR_OK) {
		e = run_text(db, commit, sizeof commit - 1, "commit", true, NULL, NULL);
		if (e == ERR_OK) {
			db->in_tx = false;
			label = TX_DONE;
		} else if (!commit_refused(mysql_errno(db->my))) {
			db->dead = true;
			e = ERR_OUTCOME_UNKNOWN;
			label = TX_UNKNOWN;
		}
	}
	metrics_add(METRICS_DB_TX, label, 1);
	if (e != ERR_OK)
		db_rollback(db);
	return e;
}

void db_rollback(db_t *db)
{
	static const char rollback[] = "ROLLBACK";
	bool open = db->in_tx || (db->my->server_status & SERVER_STATUS_IN_TRANS);

	db->tx_error = ERR_OK;
	db->in_tx = false;
	if (!open || db->dead)
		return;
	if (run_text(db, rollback, sizeof rollback - 1, "rollback", false, NULL, NULL) != ERR_OK)
		db->dead = true;
}
