/* db: the pool, and db_transact. */
#include "base/clk.h"
#include "tests/unit/test_db.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static db_pool_t *open_pool(unsigned connections)
{
	db_pool_t *p = NULL;

	assert_int_equal(db_pool_new(&test_target, connections, 300, &p), ERR_OK);
	return p;
}

void the_pool_is_bounded_in_number_and_time(void **state)
{
	(void)state;
	db_pool_t *p = open_pool(2);
	db_t *a = NULL, *b = NULL, *c = NULL;

	assert_int_equal(db_pool_take(p, &a), ERR_OK);
	assert_int_equal(db_pool_take(p, &b), ERR_OK);
	int64_t start = clk_mono_ms();
	assert_int_equal(db_pool_take(p, &c), ERR_CELL_UNAVAILABLE);
	assert_in_range(clk_mono_ms() - start, 250, 600);
	uint64_t thread = db_thread_id(a);
	db_pool_give(p, &a);
	assert_null(a);
	assert_int_equal(db_pool_take(p, &c), ERR_OK);
	assert_int_equal(db_thread_id(c), thread); /* the same one */
	db_pool_give(p, &b);
	db_pool_give(p, &c);
	db_pool_free(&p);
}

struct waiter {
	db_pool_t *pool;
	err_t result;
	int64_t took_ms;
};

static void *take_and_give(void *ctx)
{
	struct waiter *w = ctx;
	int64_t start = clk_mono_ms();
	db_t *db = NULL;

	w->result = db_pool_take(w->pool, &db);
	w->took_ms = clk_mono_ms() - start;
	db_pool_give(w->pool, &db);
	return NULL;
}

void a_waiting_thread_gets_what_is_given_back(void **state)
{
	(void)state;
	db_pool_t *p = open_pool(1);
	struct waiter w = {.pool = p};
	pthread_t thread;
	db_t *a = NULL;

	assert_int_equal(db_pool_take(p, &a), ERR_OK);
	assert_int_equal(pthread_create(&thread, NULL, take_and_give, &w), 0);
	usleep(100000);
	db_pool_give(p, &a);
	pthread_join(thread, NULL);
	assert_int_equal(w.result, ERR_OK);
	assert_in_range(w.took_ms, 50, 290);
	db_pool_free(&p);
}

void an_unreachable_server_does_not_hold_every_caller(void **state)
{
	(void)state;
	enum { THREADS = 8 };
	db_pool_t *p = open_pool(THREADS);
	struct waiter w[THREADS];
	pthread_t thread[THREADS];
	db_t *db = NULL;
	unsigned slow = 0;

	proxy_set(test_proxy, PROXY_FROZEN);
	assert_int_equal(db_pool_take(p, &db), ERR_CELL_UNAVAILABLE); /* eats the time-out */
	usleep(250000); /* longer than it is left alone */
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct waiter){.pool = p};
		assert_int_equal(pthread_create(&thread[i], NULL, take_and_give, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(w[i].result, ERR_CELL_UNAVAILABLE);
		slow += w[i].took_ms > 100;
	}
	assert_int_equal(slow, 1);
	proxy_set(test_proxy, PROXY_PASS);
	usleep(250000);
	assert_int_equal(db_pool_take(p, &db), ERR_OK);
	db_pool_give(p, &db);
	db_pool_free(&p);
}

void connections_closed_by_the_server_are_replaced_unnoticed(void **state)
{
	(void)state;
	db_pool_t *p = open_pool(3);
	db_t *db[3] = {NULL};

	for (int i = 0; i < 3; i++)
		assert_int_equal(db_pool_take(p, &db[i]), ERR_OK);
	for (int i = 0; i < 3; i++)
		db_pool_give(p, &db[i]);
	proxy_cut(test_proxy);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(db_pool_take(p, &db[i]), ERR_OK);
		assert_int_equal(insert_row(db[i], i), ERR_OK);
	}
	for (int i = 0; i < 3; i++)
		db_pool_give(p, &db[i]);
	db_pool_free(&p);
}

void what_is_left_open_is_rolled_back(void **state)
{
	(void)state;
	db_pool_t *p = open_pool(1);
	db_t *db = NULL;

	assert_int_equal(db_pool_take(p, &db), ERR_OK);
	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(insert_row(db, 1), ERR_OK);
	db_pool_give(p, &db);
	assert_int_equal(db_pool_take(p, &db), ERR_OK);
	assert_int_equal(insert_row(db, 2), ERR_OK);
	db_pool_give(p, &db);
	db_pool_free(&p);
	assert_false(has_row(1));
	assert_true(has_row(2));
}

struct locker {
	db_pool_t *pool;
	uint64_t first, second;
	pthread_barrier_t *both_hold_one;
	int runs;
	err_t result;
};

static err_t lock_two(db_t *db, void *ctx)
{
	struct locker *l = ctx;
	err_t e = db_exec(db, SQL_ROW_SET, DB_ARGS(db_i(1), db_u(l->first)), NULL);

	if (e != ERR_OK)
		return e;
	if (l->runs++ == 0)
		pthread_barrier_wait(l->both_hold_one);
	return db_exec(db, SQL_ROW_SET, DB_ARGS(db_i(1), db_u(l->second)), NULL);
}

static void *lock_two_thread(void *ctx)
{
	struct locker *l = ctx;

	l->result = db_transact(l->pool, 5, lock_two, l);
	return NULL;
}

void a_deadlock_is_run_again(void **state)
{
	(void)state;
	db_pool_t *p = open_pool(2);
	pthread_barrier_t barrier;
	struct locker a = {.pool = p, .first = 1, .second = 2, .both_hold_one = &barrier};
	struct locker b = {.pool = p, .first = 2, .second = 1, .both_hold_one = &barrier};
	pthread_t thread;
	db_t *db = open_db();

	assert_int_equal(insert_row(db, 1), ERR_OK);
	assert_int_equal(insert_row(db, 2), ERR_OK);
	db_close(&db);
	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, lock_two_thread, &a), 0);
	lock_two_thread(&b);
	pthread_join(thread, NULL);
	assert_int_equal(a.result, ERR_OK);
	assert_int_equal(b.result, ERR_OK);
	assert_true(a.runs + b.runs > 2); /* there was a deadlock */
	pthread_barrier_destroy(&barrier);
	db_pool_free(&p);
}

struct call {
	int runs, mutes;
	uint64_t id;
	err_t give;
};

/* Inserts its row; the key says whether an earlier run has done so. */
static err_t insert_once(db_t *db, void *ctx)
{
	struct call *c = ctx;
	err_t e;

	c->runs++;
	if (c->give == ERR_DB_RETRY)
		return c->give;
	e = insert_row(db, c->id);
	if (e == ERR_DB_DUPLICATE)
		e = ERR_OK;
	if (e == ERR_OK && c->mutes-- > 0)
		proxy_mute_after(test_proxy, "COMMIT");
	return e == ERR_OK ? c->give : e;
}

void tries_are_bounded(void **state)
{
	(void)state;
	db_pool_t *p = open_pool(1);
	struct call c = {.id = 1, .give = ERR_DB_RETRY};

	assert_int_equal(db_transact(p, 4, insert_once, &c), ERR_DB_RETRY);
	assert_int_equal(c.runs, 4);
	db_pool_free(&p);
}

void an_error_of_the_function_is_returned_and_rolled_back(void **state)
{
	(void)state;
	db_pool_t *p = open_pool(1);
	struct call c = {.id = 1, .give = ERR_BALANCE_TOO_LOW};

	assert_int_equal(db_transact(p, 4, insert_once, &c), ERR_BALANCE_TOO_LOW);
	assert_int_equal(c.runs, 1);
	db_pool_free(&p);
	assert_false(has_row(1));
}

static void *heal_after_commit_is_given_up(void *ctx)
{
	(void)ctx;
	usleep(2200000);
	proxy_set(test_proxy, PROXY_PASS);
	return NULL;
}

void an_unknown_commit_is_run_again_and_finds_its_effect(void **state)
{
	(void)state;
	db_pool_t *p = open_pool(2);
	struct call c = {.id = 1, .mutes = 1};
	pthread_t healer;

	assert_int_equal(pthread_create(&healer, NULL, heal_after_commit_is_given_up, NULL), 0);
	assert_int_equal(db_transact(p, 6, insert_once, &c), ERR_OK);
	pthread_join(healer, NULL);
	assert_int_equal(c.runs, 2);
	assert_true(has_row(1));
	db_pool_free(&p);
}

void a_server_that_stays_away_leaves_the_outcome_unknown(void **state)
{
	(void)state;
	db_pool_t *p = open_pool(2);
	struct call c = {.id = 1, .mutes = 1};
	int64_t start = clk_mono_ms();

	assert_int_equal(db_transact(p, 3, insert_once, &c), ERR_OUTCOME_UNKNOWN);
	assert_in_range(clk_mono_ms() - start, 900, 5000);
	assert_int_equal(c.runs, 1);
	proxy_set(test_proxy, PROXY_PASS);
	assert_true(has_row(1));
	db_pool_free(&p);
}
