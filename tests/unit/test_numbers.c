/* Numbers over a lease of the test's own: db_transact, db_exec and db_insert_id are defined here.
 */
#include "domain/numbers.h"
#include "tests/unit/unit.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct {
	pthread_mutex_t lock;
	uint64_t next;
	unsigned leases, slow_us;
	err_t fail;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .next = 1000};

static _Thread_local uint64_t inserted;

err_t db_exec(db_t *db, sql_id id, const db_val *v, size_t n, uint64_t *affected)
{
	(void)db;
	assert_int_equal(id, SQL_NUMBERS_LEASE);
	assert_int_equal(n, 1);
	pthread_mutex_lock(&fake.lock);
	fake.next += (uint64_t)v[0].i;
	inserted = fake.next;
	pthread_mutex_unlock(&fake.lock);
	*affected = 1;
	return ERR_OK;
}

uint64_t db_insert_id(const db_t *db)
{
	(void)db;
	return inserted;
}

err_t db_transact(db_pool_t *p, unsigned tries, db_tx_fn fn, void *ctx)
{
	(void)p;
	(void)tries;
	__atomic_add_fetch(&fake.leases, 1, __ATOMIC_SEQ_CST);
	if (fake.slow_us)
		usleep(fake.slow_us);
	return fake.fail ? fake.fail : fn(NULL, ctx);
}

static numbers_t *begin(int64_t block)
{
	numbers_t *n;

	fake.next = 1000;
	fake.leases = 0;
	fake.slow_us = 0;
	fake.fail = ERR_OK;
	assert_int_equal(numbers_new(NULL, 7, block, &n), ERR_OK);
	return n;
}

static void a_number_holds_cell_and_slot(void **state)
{
	numbers_t *n = begin(10);
	uint64_t v;

	(void)state;
	assert_int_equal(numbers_next(n, 42, &v), ERR_OK);
	assert_int_equal(v, 100007042);
	assert_int_equal(numbers_slot(v), 42);
	assert_int_equal(numbers_cell(v), 7);
	assert_int_equal(numbers_next(n, 999, &v), ERR_OK);
	assert_int_equal(v, 100107999);
	numbers_free(&n);
	assert_null(n);
}

static void numbers_rise_over_blocks(void **state)
{
	numbers_t *n = begin(10);
	uint64_t v[95], last = 0;

	(void)state;
	assert_int_equal(numbers_take(n, 5, 95, v), ERR_OK);
	for (int i = 0; i < 95; i++) {
		assert_true(v[i] > last);
		last = v[i];
	}
	assert_in_range(fake.leases, 10, 11);
	numbers_free(&n);
}

static void a_spare_block_is_leased_before_it_is_needed(void **state)
{
	numbers_t *n = begin(10);
	uint64_t v[10];

	(void)state;
	assert_int_equal(numbers_take(n, 5, 5, v), ERR_OK);
	assert_int_equal(fake.leases, 1);
	assert_int_equal(numbers_take(n, 5, 1, v), ERR_OK);
	assert_int_equal(fake.leases, 2);
	fake.fail = ERR_CELL_UNAVAILABLE; /* what is in hand lasts */
	assert_int_equal(numbers_take(n, 5, 10, v), ERR_OK);
	assert_int_equal(numbers_take(n, 5, 4, v), ERR_OK);
	assert_int_equal(numbers_take(n, 5, 1, v), ERR_CELL_UNAVAILABLE);
	fake.fail = ERR_OUTCOME_UNKNOWN; /* of the lease, not of the caller's write */
	assert_int_equal(numbers_take(n, 5, 1, v), ERR_CELL_UNAVAILABLE);
	fake.fail = ERR_OK;
	assert_int_equal(numbers_take(n, 5, 1, v), ERR_OK);
	numbers_free(&n);
}

static void a_block_beyond_the_range_is_refused(void **state)
{
	numbers_t *n = begin(10);
	uint64_t v;

	(void)state;
	fake.next = UINT64_C(92233720368547) - 9;
	assert_int_equal(numbers_next(n, 999, &v), ERR_DB_FAILED);
	fake.next = UINT64_C(92233720368547) - 10;
	assert_int_equal(numbers_next(n, 999, &v), ERR_OK);
	assert_true(v <= INT64_MAX);
	numbers_free(&n);
}

enum { THREADS = 8, EACH = 5000 };
static numbers_t *shared;
static uint64_t taken[THREADS][EACH];
static err_t results[THREADS];

static void *take_many(void *arg)
{
	size_t t = (size_t)(uintptr_t)arg;

	for (int i = 0; i < EACH; i += 5)
		if (numbers_take(shared, 1, 5, &taken[t][i]))
			abort();
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void on_threads(void *(*fn)(void *))
{
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, fn, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

static void threads_never_share_a_number(void **state)
{
	uint64_t *all = &taken[0][0];

	(void)state;
	shared = begin(100);
	fake.slow_us = 200;
	on_threads(take_many);
	for (int t = 0; t < THREADS; t++)
		for (int i = 1; i < EACH; i++)
			assert_true(taken[t][i] > taken[t][i - 1]);
	qsort(all, (size_t)THREADS * EACH, sizeof(*all), by_value);
	for (int i = 1; i < THREADS * EACH; i++)
		assert_true(all[i] != all[i - 1]);
	numbers_free(&shared);
}

static void *take_one(void *arg)
{
	size_t t = (size_t)(uintptr_t)arg;

	results[t] = numbers_next(shared, 1, &taken[t][0]);
	return NULL;
}

static void those_who_wait_share_one_failure(void **state)
{
	(void)state;
	shared = begin(100);
	fake.slow_us = 200000;
	fake.fail = ERR_CELL_UNAVAILABLE;
	on_threads(take_one);
	for (int t = 0; t < THREADS; t++)
		assert_int_equal(results[t], ERR_CELL_UNAVAILABLE);
	assert_in_range(fake.leases, 1, 2); /* a thread may begin after the first has ended */
	numbers_free(&shared);
}

static void texts_are_strict(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_true(numbers_parse("9223372036854775807", &v));
	assert_true(numbers_parse("1", &v));
	assert_false(numbers_parse("0", &v));
	assert_false(numbers_parse("9223372036854775808", &v));
	assert_false(numbers_parse("01", &v));
	assert_false(numbers_parse("", &v));
	assert_false(numbers_parse("1 ", &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_holds_cell_and_slot),
		cmocka_unit_test(numbers_rise_over_blocks),
		cmocka_unit_test(a_spare_block_is_leased_before_it_is_needed),
		cmocka_unit_test(a_block_beyond_the_range_is_refused),
		cmocka_unit_test(threads_never_share_a_number),
		cmocka_unit_test(those_who_wait_share_one_failure),
		cmocka_unit_test(texts_are_strict),
	};

	return cmocka_run_group_tests_name("numbers", tests, NULL, NULL);
}
