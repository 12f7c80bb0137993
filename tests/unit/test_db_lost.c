/* db: connections that break, and commits whose answer does not come. */
#include "base/clk.h"
#include "tests/unit/test_db.h"

#include <stdio.h>
#include <string.h>

void a_connection_lost_in_a_transaction_keeps_nothing(void **state)
{
	(void)state;
	db_t *db = open_db();

	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(insert_row(db, 1), ERR_OK);
	proxy_cut(test_proxy);
	assert_int_equal(insert_row(db, 2), ERR_DB_LOST);
	assert_false(db_alive(db));
	assert_int_equal(insert_row(db, 3), ERR_DB_LOST);
	assert_int_equal(db_commit(db), ERR_DB_LOST);
	assert_int_equal(insert_row(db, 4), ERR_DB_LOST);
	db_close(&db);
	for (uint64_t id = 1; id <= 4; id++)
		assert_false(has_row(id));
}

void a_killed_connection_is_lost(void **state)
{
	(void)state;
	db_t *a = open_db(), *b = open_db();
	char sql[40];

	assert_int_equal(db_begin(a), ERR_OK);
	assert_int_equal(insert_row(a, 1), ERR_OK);
	snprintf(sql, sizeof sql, "KILL %llu", (unsigned long long)db_thread_id(a));
	assert_int_equal(script(b, sql), ERR_OK);
	assert_int_equal(insert_row(a, 2), ERR_DB_LOST);
	db_rollback(a);
	db_close(&a);
	db_close(&b);
	assert_false(has_row(1));
}

void a_stopped_server_is_noticed_in_time(void **state)
{
	(void)state;
	db_t *db = open_db();
	int64_t start = clk_mono_ms();

	assert_int_equal(db_begin(db), ERR_OK);
	proxy_set(test_proxy, PROXY_FROZEN);
	assert_int_equal(insert_row(db, 1), ERR_DB_LOST);
	assert_in_range(clk_mono_ms() - start, 500, 3500);
	assert_false(db_alive(db));
	db_close(&db);
	assert_in_range(clk_mono_ms() - start, 500, 3600); /* closing does not wait */
	proxy_set(test_proxy, PROXY_PASS);
}

void a_commit_whose_answer_is_lost_is_unknown_and_done(void **state)
{
	(void)state;
	db_t *db = open_db();
	int64_t start = clk_mono_ms();

	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(insert_row(db, 1), ERR_OK);
	proxy_set(test_proxy, PROXY_NO_ANSWER);
	assert_int_equal(db_commit(db), ERR_OUTCOME_UNKNOWN);
	assert_in_range(clk_mono_ms() - start, 500, 3500);
	assert_false(db_alive(db));
	db_close(&db);
	proxy_set(test_proxy, PROXY_PASS);
	assert_true(has_row(1));
}

void a_commit_that_never_arrived_is_unknown_and_not_done(void **state)
{
	(void)state;
	db_t *db = open_db();

	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(insert_row(db, 1), ERR_OK);
	proxy_cut(test_proxy);
	assert_int_equal(db_commit(db), ERR_OUTCOME_UNKNOWN);
	db_close(&db);
	assert_false(has_row(1));
}

void a_lost_write_without_transaction_is_unknown(void **state)
{
	(void)state;
	db_rows_t *r = NULL;
	db_t *db = open_db();

	assert_int_equal(insert_row(db, 1), ERR_OK); /* prepared by now */
	proxy_set(test_proxy, PROXY_NO_ANSWER);
	assert_int_equal(insert_row(db, 2), ERR_OUTCOME_UNKNOWN);
	db_close(&db);
	proxy_set(test_proxy, PROXY_PASS);
	assert_true(has_row(2));
	db = open_db();
	assert_int_equal(db_select(db, SQL_ROW_RETURNING, DB_ARGS(db_u(3)), &r), ERR_OK);
	assert_true(db_rows_next(r) && db_rows_u(r, 0) == 3);
	db_rows_free(&r);
	proxy_set(test_proxy, PROXY_NO_ANSWER);
	assert_int_equal(
		db_select(db, SQL_ROW_RETURNING, DB_ARGS(db_u(4)), &r), ERR_OUTCOME_UNKNOWN);
	db_close(&db);
	proxy_set(test_proxy, PROXY_PASS);
	assert_true(has_row(4));
}

void a_lost_read_is_just_lost(void **state)
{
	(void)state;
	db_rows_t *r = NULL;
	db_t *db = open_db();

	proxy_cut(test_proxy);
	assert_int_equal(db_select(db, SQL_ROW_ALL, DB_NONE, &r), ERR_DB_LOST);
	assert_null(r);
	db_close(&db);
}

void connecting_to_a_stopped_server_ends_in_time(void **state)
{
	(void)state;
	int64_t start = clk_mono_ms();
	db_t *db = NULL;

	proxy_set(test_proxy, PROXY_FROZEN);
	assert_int_equal(db_open(&test_target, &db), ERR_CELL_UNAVAILABLE);
	assert_in_range(clk_mono_ms() - start, 500, 3500);
	assert_null(db);
	proxy_set(test_proxy, PROXY_PASS);
}
