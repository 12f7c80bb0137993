/* db: connections, statements and transactions, on the server of HB_TEST_MYSQL, whose database is
 * scratch. The program compiles db.c with a table of statements of its own. */
#include "tests/unit/test_db.h"
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "tests/unit/server_tests.h"

#include <stdio.h>
#include <string.h>

static server_address server;
db_target test_target;
proxy_t *test_proxy;

enum { IO_MS = 2000 };

db_t *open_db(void)
{
	db_t *db = NULL;

	assert_int_equal(db_open(&test_target, &db), ERR_OK);
	return db;
}

err_t script(db_t *db, const char *sql)
{
	return db_script(db, sql, strlen(sql), NULL, NULL);
}

err_t insert_row(db_t *db, uint64_t id)
{
	return db_exec(db, SQL_ROW_INSERT,
		DB_ARGS(db_u(id), db_null(), db_i(0), db_null(), db_null()), NULL);
}

bool has_row(uint64_t id)
{
	db_t *db = open_db();
	db_rows_t *r = NULL;

	assert_int_equal(db_select(db, SQL_ROW_ONE, DB_ARGS(db_u(id)), &r), ERR_OK);
	bool has = db_rows_count(r) == 1;
	db_rows_free(&r);
	db_close(&db);
	return has;
}

static int make_tables(void **state)
{
	(void)state;
	db_target t = test_target;
	t.epoch = 0;
	t.port = server.port;
	t.io_ms = 20000;
	static const char sql[] =
		"DROP TABLE IF EXISTS hb_row, hb_auto, cell_epoch;"
		"CREATE TABLE hb_row (id BIGINT UNSIGNED PRIMARY KEY, u BIGINT UNSIGNED, i BIGINT,"
		" b MEDIUMBLOB, s VARCHAR(20), CHECK (i < 9000000000000000000)) "
		"ENGINE=InnoDB CHARSET=utf8mb4;"
		"CREATE TABLE hb_auto (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT,"
		" s VARCHAR(20)) ENGINE=InnoDB;"
		"CREATE TABLE cell_epoch (one INT PRIMARY KEY, epoch BIGINT UNSIGNED) "
		"ENGINE=InnoDB;"
		"INSERT INTO cell_epoch VALUES (1, 7)";
	db_t *db = NULL;

	proxy_set(test_proxy, PROXY_PASS);
	proxy_cut(test_proxy); /* what a failed test has left open holds locks */
	if (db_open(&t, &db) != ERR_OK || script(db, sql) != ERR_OK)
		return -1;
	db_close(&db);
	return 0;
}

static void values_of_every_kind_come_back_exactly(void **state)
{
	(void)state;
	static const uint8_t blob[] = {0, 1, 255, 0, '\'', '\\', 0};
	static uint8_t large[200000];
	db_t *db = open_db();
	db_rows_t *r = NULL;
	size_t n;

	memset(large, 0xfe, sizeof large);
	assert_int_equal(db_exec(db, SQL_ROW_INSERT,
				 DB_ARGS(db_u(1), db_u(UINT64_MAX), db_i(INT64_MIN),
					 db_b(blob, sizeof blob), db_s("红包 it's")),
				 NULL),
		ERR_OK);
	assert_int_equal(
		db_exec(db, SQL_ROW_INSERT,
			DB_ARGS(db_u(2), db_null(), db_i(-1), db_b("", 0), db_s(NULL)), NULL),
		ERR_OK);
	assert_int_equal(
		db_exec(db, SQL_ROW_INSERT,
			DB_ARGS(db_u(3), db_u(0), db_null(), db_b(large, sizeof large), db_s("")),
			NULL),
		ERR_OK);
	assert_int_equal(db_select(db, SQL_ROW_ALL, DB_NONE, &r), ERR_OK);
	assert_int_equal(db_rows_count(r), 3);
	assert_true(db_rows_next(r));
	assert_true(db_rows_u(r, 0) == 1 && db_rows_u(r, 1) == UINT64_MAX);
	assert_true(db_rows_i(r, 2) == INT64_MIN);
	assert_memory_equal(db_rows_s(r, 3, &n), blob, sizeof blob);
	assert_int_equal(n, sizeof blob);
	assert_string_equal(db_rows_s(r, 4, NULL), "红包 it's");
	assert_true(db_rows_next(r));
	assert_true(db_rows_null(r, 1) && db_rows_null(r, 4) && !db_rows_null(r, 3));
	assert_true(db_rows_u(r, 1) == 0 && db_rows_i(r, 2) == -1);
	assert_string_equal(db_rows_s(r, 4, &n), "");
	assert_true(db_rows_next(r));
	assert_memory_equal(db_rows_s(r, 3, &n), large, sizeof large);
	assert_int_equal(n, sizeof large);
	assert_false(db_rows_null(r, 4));
	assert_false(db_rows_next(r));
	db_rows_free(&r);
	db_close(&db);
}

static void sums_are_exact(void **state)
{
	(void)state;
	db_t *db = open_db();
	db_rows_t *r = NULL;

	assert_int_equal(script(db, "INSERT INTO hb_row (id, u, i, s) VALUES"
				    " (1, 18446744073709551614, 8999999999999999999, 'a'),"
				    " (2, 1, -1, 'b')"),
		ERR_OK);
	assert_int_equal(db_select(db, SQL_ROW_SUMS, DB_NONE, &r), ERR_OK);
	assert_true(db_rows_next(r));
	assert_true(db_rows_u(r, 0) == UINT64_MAX);
	assert_true(db_rows_i(r, 1) == 8999999999999999998);
	assert_true(db_rows_i(r, 2) == 2);
	assert_string_equal(db_rows_s(r, 3, NULL), "b");
	assert_string_equal(db_rows_s(r, 4, NULL), "0.50");
	db_rows_free(&r);
	db_close(&db);
}

static void affected_rows_are_matched_rows(void **state)
{
	(void)state;
	db_t *db = open_db();
	uint64_t n = 9;

	assert_int_equal(insert_row(db, 1), ERR_OK);
	assert_int_equal(db_exec(db, SQL_ROW_SET, DB_ARGS(db_i(0), db_u(1)), &n), ERR_OK);
	assert_int_equal(n, 1); /* the same value */
	assert_int_equal(db_exec(db, SQL_ROW_SET, DB_ARGS(db_i(5), db_u(2)), &n), ERR_OK);
	assert_int_equal(n, 0);
	db_close(&db);
}

static void insert_id_is_the_generated_or_the_given_one(void **state)
{
	(void)state;
	db_t *db = open_db();

	assert_int_equal(db_exec(db, SQL_AUTO_INSERT, DB_ARGS(db_s("a")), NULL), ERR_OK);
	assert_int_equal(db_insert_id(db), 1);
	assert_int_equal(insert_row(db, 1), ERR_OK);
	assert_int_equal(db_exec(db, SQL_ROW_SET, DB_ARGS(db_i(1000), db_u(1)), NULL), ERR_OK);
	assert_int_equal(db_exec(db, SQL_COUNTER_TAKE, DB_ARGS(db_i(10), db_u(1)), NULL), ERR_OK);
	assert_int_equal(db_insert_id(db), 1000);
	db_close(&db);
}

static void a_value_that_does_not_fit_is_refused(void **state)
{
	(void)state;
	db_t *db = open_db();

	assert_int_equal(
		db_exec(db, SQL_AUTO_INSERT, DB_ARGS(db_s("longer than twenty characters")), NULL),
		ERR_DB_FAILED);
	assert_int_equal(
		db_exec(db, SQL_AUTO_INSERT, DB_ARGS(db_s("bad \xff utf-8")), NULL), ERR_DB_FAILED);
	assert_int_equal(script(db, "INSERT INTO hb_row (id, i) VALUES (1, 9000000000000000001)"),
		ERR_DB_FAILED);
	db_rows_t *r = NULL;
	assert_int_equal(db_select(db, SQL_BROKEN, DB_NONE, &r), ERR_DB_FAILED);
	assert_null(r);
	assert_int_equal(insert_row(db, 1), ERR_OK); /* the connection is still good */
	db_close(&db);
}

static void servers_errors_have_their_meaning(void **state)
{
	(void)state;
	static const struct {
		unsigned number;
		err_t err;
		bool alive;
	} cases[] = {{1062, ERR_DB_DUPLICATE, true}, {1205, ERR_DB_RETRY, true},
		{1213, ERR_DB_RETRY, true}, {1020, ERR_DB_RETRY, true},
		{1290, ERR_CELL_UNAVAILABLE, true}, {1792, ERR_CELL_UNAVAILABLE, true},
		{1040, ERR_CELL_UNAVAILABLE, true}, {1146, ERR_DB_FAILED, true},
		{1053, ERR_DB_LOST, false}, {1927, ERR_DB_LOST, false}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		db_t *db = open_db();
		char sql[100];

		snprintf(sql, sizeof sql, "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = %u",
			cases[i].number);
		assert_int_equal(db_begin(db), ERR_OK);
		assert_int_equal(script(db, sql), cases[i].err);
		assert_true(db_alive(db) == cases[i].alive);
		db_rollback(db);
		db_close(&db);
	}
}

struct seen {
	char text[200];
};

static void on_row(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	struct seen *s = ctx;
	size_t n = strlen(s->text);

	n += (size_t)snprintf(s->text + n, sizeof s->text - n, "%u:", result);
	for (unsigned c = 0; c < cols; c++)
		n += (size_t)snprintf(s->text + n, sizeof s->text - n, "%s/%lu,",
			col[c] ? col[c] : "NULL", col[c] ? len[c] : 0);
}

static void a_script_hands_over_rows_with_their_statement(void **state)
{
	(void)state;
	static const char sql[] = "SELECT 1, NULL; INSERT INTO hb_row (id) VALUES (4), (5);"
				  "SELECT id FROM hb_row WHERE id = 9; SELECT id FROM hb_row";
	db_t *db = open_db();
	struct seen s = {{0}};

	assert_int_equal(db_script(db, sql, sizeof sql - 1, on_row, &s), ERR_OK);
	assert_string_equal(s.text, "0:1/1,NULL/0,3:4/1,3:5/1,");
	db_close(&db);
}

static void a_script_stops_at_its_first_error(void **state)
{
	(void)state;
	db_t *db = open_db();

	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(script(db, "INSERT INTO hb_row (id) VALUES (1);"
				    "INSERT INTO hb_none VALUES (1);"
				    "INSERT INTO hb_row (id) VALUES (2)"),
		ERR_DB_FAILED);
	db_rollback(db);
	assert_false(has_row(1));
	assert_false(has_row(2));
	assert_int_equal(insert_row(db, 3), ERR_OK);
	db_close(&db);
	assert_true(has_row(3));
}

static void a_duplicate_key_leaves_the_transaction_usable(void **state)
{
	(void)state;
	db_t *db = open_db();

	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(insert_row(db, 1), ERR_OK);
	assert_int_equal(insert_row(db, 1), ERR_DB_DUPLICATE);
	assert_int_equal(insert_row(db, 2), ERR_OK);
	assert_int_equal(db_commit(db), ERR_OK);
	db_close(&db);
	assert_true(has_row(1));
	assert_true(has_row(2));
}

static void after_an_error_nothing_of_the_transaction_is_kept(void **state)
{
	(void)state;
	db_t *db = open_db();

	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(insert_row(db, 1), ERR_OK);
	/* 1213 ends the transaction on the server; what follows would commit by itself. */
	assert_int_equal(script(db, "ROLLBACK; SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"),
		ERR_DB_RETRY);
	assert_int_equal(insert_row(db, 2), ERR_DB_RETRY);
	assert_int_equal(db_commit(db), ERR_DB_RETRY);
	assert_int_equal(insert_row(db, 3), ERR_OK); /* commit has rolled back */
	db_close(&db);
	assert_false(has_row(1));
	assert_false(has_row(2));
	assert_true(has_row(3));
}

static void waiting_for_a_lock_ends_in_retry(void **state)
{
	(void)state;
	db_t *a = open_db(), *b = open_db();
	int64_t start = clk_mono_ms();

	assert_int_equal(insert_row(a, 1), ERR_OK);
	assert_int_equal(db_begin(a), ERR_OK);
	assert_int_equal(db_exec(a, SQL_ROW_SET, DB_ARGS(db_i(1), db_u(1)), NULL), ERR_OK);
	assert_int_equal(db_begin(b), ERR_OK);
	assert_int_equal(insert_row(b, 2), ERR_OK);
	assert_int_equal(db_exec(b, SQL_ROW_SET, DB_ARGS(db_i(2), db_u(1)), NULL), ERR_DB_RETRY);
	assert_in_range(clk_mono_ms() - start, 500, 3000);
	assert_int_equal(db_commit(b), ERR_DB_RETRY);
	assert_int_equal(db_commit(a), ERR_OK);
	db_close(&a);
	db_close(&b);
	assert_false(has_row(2));
}

static void a_raised_epoch_is_kept_out_by_a_transaction_and_then_refuses(void **state)
{
	(void)state;
	db_target with = test_target;
	db_t *a = NULL, *b = open_db();

	with.epoch = 7;
	assert_int_equal(db_open(&with, &a), ERR_OK);
	assert_int_equal(db_begin(a), ERR_OK);
	assert_int_equal(script(b, "UPDATE cell_epoch SET epoch = 8"), ERR_DB_RETRY);
	assert_int_equal(insert_row(a, 1), ERR_OK);
	assert_int_equal(db_commit(a), ERR_OK);
	assert_false(life_stopping());
	assert_int_equal(script(b, "UPDATE cell_epoch SET epoch = 8"), ERR_OK);
	assert_int_equal(db_begin(a), ERR_CELL_UNAVAILABLE);
	assert_true(life_stopping());
	assert_int_equal(
		script(b, "UPDATE cell_epoch SET epoch = 9"), ERR_OK); /* no lock is left */
	db_close(&a);
	db_close(&b);
}

#define T(name) cmocka_unit_test_setup(name, make_tables),

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(values_of_every_kind_come_back_exactly, make_tables),
		cmocka_unit_test_setup(sums_are_exact, make_tables),
		cmocka_unit_test_setup(affected_rows_are_matched_rows, make_tables),
		cmocka_unit_test_setup(insert_id_is_the_generated_or_the_given_one, make_tables),
		cmocka_unit_test_setup(a_value_that_does_not_fit_is_refused, make_tables),
		cmocka_unit_test_setup(servers_errors_have_their_meaning, make_tables),
		cmocka_unit_test_setup(a_script_hands_over_rows_with_their_statement, make_tables),
		cmocka_unit_test_setup(a_script_stops_at_its_first_error, make_tables),
		cmocka_unit_test_setup(a_duplicate_key_leaves_the_transaction_usable, make_tables),
		cmocka_unit_test_setup(
			after_an_error_nothing_of_the_transaction_is_kept, make_tables),
		cmocka_unit_test_setup(waiting_for_a_lock_ends_in_retry, make_tables),
		DB_TESTS_LOST(T) DB_TESTS_POOL(T)
		/* Last, because it stops the program. */
		cmocka_unit_test_setup(
			a_raised_epoch_is_kept_out_by_a_transaction_and_then_refuses, make_tables),
	};

	logger_init("test_db", "", 0, LOGGER_ERROR);
	server_from_env("HB_TEST_MYSQL", true, &server);
	test_proxy = proxy_start(&server);
	test_target = (db_target){.host = "127.0.0.1",
		.port = proxy_port(test_proxy),
		.connect_ms = 1000,
		.io_ms = IO_MS,
		.lock_wait_s = 1};
	snprintf(test_target.user, sizeof test_target.user, "%s", server.user);
	snprintf(test_target.password, sizeof test_target.password, "%s", server.password);
	snprintf(test_target.database, sizeof test_target.database, "%s", server.name);
	int failures = cmocka_run_group_tests_name("db", tests, NULL, NULL);
	proxy_stop(&test_proxy);
	return failures;
}
