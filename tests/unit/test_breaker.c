/* breaker: on a clock that stands still but when a test moves it. */
#include "base/breaker.h"

#include "base/logger.h"
#include "base/metrics.h"
#include "tests/unit/unit.h"
#include <pthread.h>

static const breaker_conf usual = {.of = BREAKER_MEMCACHED,
	.window_ms = 8000,
	.min_calls = 10,
	.error_percent = 50,
	.slow_percent = 80,
	.slow_ms = 20,
	.open_ms = 1000,
	.probes = 3,
	.recover_ms = 10000};

static breaker_t *b;
static int64_t now_us;

static int start(void **state)
{
	(void)state;
	now_us = 3600000000;
	b = breaker_new(&usual);
	return 0;
}

static int end(void **state)
{
	(void)state;
	breaker_free(&b);
	assert_int_equal(metrics_get(METRICS_BREAKER_OPEN, BREAKER_MEMCACHED), 0);
	return 0;
}

static bool call(breaker_result r)
{
	breaker_ticket t;

	if (!breaker_take(b, now_us, &t))
		return false;
	breaker_give(b, &t, r, now_us);
	return true;
}

static void calls(unsigned n, breaker_result r)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(call(r));
}

static bool slow_call(void)
{
	breaker_ticket t;

	if (!breaker_take(b, now_us, &t))
		return false;
	breaker_give(b, &t, BREAKER_OK, now_us + 20000);
	return true;
}

static bool is_open(void)
{
	return metrics_get(METRICS_BREAKER_OPEN, BREAKER_MEMCACHED) == 1;
}

static int64_t held_percent(void)
{
	return metrics_get(METRICS_BREAKER_HELD_PERCENT, BREAKER_MEMCACHED);
}

static void it_opens_at_the_share_of_failures_and_not_before(void **state)
{
	(void)state;
	calls(100, BREAKER_OK);
	for (unsigned i = 0; i < 33; i++) {
		calls(2, BREAKER_FAILED);
		calls(1, BREAKER_OK);
	}
	assert_false(is_open()); /* 66 of 199 */
	for (unsigned i = 0; i < 66; i++) {
		assert_false(is_open());
		calls(3, BREAKER_FAILED);
		if (!is_open())
			calls(1, BREAKER_OK);
		else
			break;
	}
	assert_true(is_open());
	assert_int_equal(held_percent(), 100);
	const int64_t held = metrics_get(METRICS_BREAKER_HELD, BREAKER_MEMCACHED);
	assert_false(call(BREAKER_OK));
	assert_int_equal(metrics_get(METRICS_BREAKER_HELD, BREAKER_MEMCACHED), held + 1);
}

static void too_few_calls_are_no_judgement(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		calls(1, BREAKER_OK);
		calls(1, BREAKER_FAILED);
	}
	calls(1, BREAKER_FAILED);
	assert_false(is_open()); /* 5 of 9 */
	calls(1, BREAKER_FAILED);
	assert_true(is_open());
}

static void failures_in_a_row_are_enough_in_a_busy_window(void **state)
{
	(void)state;
	calls(10000, BREAKER_OK);
	calls(9, BREAKER_FAILED);
	calls(1, BREAKER_OK);
	calls(9, BREAKER_FAILED);
	assert_false(is_open());
	calls(1, BREAKER_FAILED);
	assert_true(is_open());
}

static void slow_calls_open_it_as_well(void **state)
{
	(void)state;
	calls(5, BREAKER_OK);
	for (unsigned i = 0; i < 19; i++)
		assert_true(slow_call());
	assert_false(is_open()); /* 19 of 24 are 79 % */
	assert_true(slow_call());
	assert_true(is_open());
}

static void what_is_older_than_the_window_does_not_count(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		calls(1, BREAKER_FAILED);
		calls(1, BREAKER_OK);
		now_us += 2000000;
	}
	assert_false(is_open()); /* never more than 4 of 8 within 8 s */
	for (unsigned i = 0; i < 2; i++) {
		calls(1, BREAKER_FAILED);
		calls(1, BREAKER_OK);
	}
	calls(1, BREAKER_FAILED);
	assert_true(is_open());
}

static void a_pause_longer_than_the_window_begins_it_anew(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		calls(1, BREAKER_OK);
		calls(1, BREAKER_FAILED);
	}
	now_us += 9000000;
	calls(5, BREAKER_FAILED);
	calls(1, BREAKER_OK);
	calls(3, BREAKER_FAILED);
	assert_false(is_open());
}

static void open_it(void)
{
	calls(10, BREAKER_FAILED);
	assert_true(is_open());
}

static void after_its_time_as_many_probes_as_it_says_are_let_through(void **state)
{
	breaker_ticket t[4];

	(void)state;
	open_it();
	now_us += 999999;
	assert_false(call(BREAKER_OK));
	now_us++;
	for (unsigned i = 0; i < 3; i++)
		assert_true(breaker_take(b, now_us, &t[i]));
	assert_false(breaker_take(b, now_us, &t[3]));
	breaker_give(b, &t[0], BREAKER_UNUSED, now_us); /* its place is free again */
	assert_true(breaker_take(b, now_us, &t[0]));
	for (unsigned i = 0; i < 2; i++)
		breaker_give(b, &t[i], BREAKER_OK, now_us);
	assert_true(is_open());
	breaker_give(b, &t[2], BREAKER_OK, now_us);
	assert_false(is_open());
}

static void one_bad_probe_opens_it_for_its_whole_time(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		if (!is_open())
			open_it();
		now_us += 1000000;
		assert_true(call(BREAKER_OK));
		assert_true(i ? slow_call() : call(BREAKER_FAILED));
		now_us += 999999;
		assert_false(call(BREAKER_OK));
	}
}

static void recover(void)
{
	open_it();
	now_us += 1000000;
	calls(3, BREAKER_OK);
	assert_false(is_open());
}

static unsigned passed(unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		k += call(BREAKER_OK);
	return k;
}

static void then_a_growing_share_is_let_through(void **state)
{
	(void)state;
	recover();
	assert_int_equal(held_percent(), 90);
	assert_int_equal(passed(100), 10);
	now_us += 5000000;
	assert_int_equal(passed(100), 55);
	assert_int_equal(held_percent(), 45);
	now_us += 4999999;
	assert_int_equal(passed(100), 99);
	now_us++;
	assert_int_equal(passed(100), 100);
	assert_int_equal(held_percent(), 0);
}

static void a_recovery_is_judged_as_ever(void **state)
{
	unsigned made = 0;

	(void)state;
	recover();
	while (!is_open())
		made += call(BREAKER_FAILED);
	assert_int_equal(made, 10);
}

/* The window and the row are empty then, and so is what was under way before. */
static void what_comes_back_late_does_not_count(void **state)
{
	breaker_ticket t[12];

	(void)state;
	for (unsigned i = 0; i < 12; i++)
		assert_true(breaker_take(b, now_us, &t[i]));
	open_it();
	now_us += 1000000;
	assert_true(call(BREAKER_OK));
	breaker_give(b, &t[0], BREAKER_FAILED, now_us);
	calls(2, BREAKER_OK);
	assert_false(is_open());
	for (unsigned i = 1; i < 12; i++)
		breaker_give(b, &t[i], BREAKER_FAILED, now_us);
	assert_true(call(BREAKER_FAILED)); /* the first of its row */
	assert_false(is_open());
}

static void without_a_recovery_it_is_closed_at_once(void **state)
{
	breaker_conf c = usual;

	(void)state;
	breaker_free(&b);
	c.recover_ms = 0;
	c.slow_ms = 0;
	b = breaker_new(&c);
	open_it();
	now_us += 1000000;
	for (unsigned i = 0; i < 3; i++)
		assert_true(slow_call());
	assert_int_equal(passed(100), 100);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *hammer(void *ctx)
{
	const unsigned me = *(const unsigned *)ctx;

	for (unsigned i = 0; i < ROUNDS; i++) {
		const int64_t at_us = 3600000000 + (int64_t)i * 500;
		breaker_ticket t;

		if (breaker_take(b, at_us, &t))
			breaker_give(
				b, &t, i % 1000 < 400 && me ? BREAKER_FAILED : BREAKER_OK, at_us);
	}
	return NULL;
}

static void threads_never_leave_it_stuck(void **state)
{
	pthread_t thread[THREADS];
	unsigned me[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		me[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, &me[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < 100; i++) {
		now_us += 1000000;
		(void)call(BREAKER_OK);
	}
	assert_int_equal(passed(100), 100);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_opens_at_the_share_of_failures_and_not_before),
		T(too_few_calls_are_no_judgement),
		T(failures_in_a_row_are_enough_in_a_busy_window),
		T(slow_calls_open_it_as_well),
		T(what_is_older_than_the_window_does_not_count),
		T(a_pause_longer_than_the_window_begins_it_anew),
		T(after_its_time_as_many_probes_as_it_says_are_let_through),
		T(one_bad_probe_opens_it_for_its_whole_time),
		T(then_a_growing_share_is_let_through),
		T(a_recovery_is_judged_as_ever),
		T(what_comes_back_late_does_not_count),
		T(without_a_recovery_it_is_closed_at_once),
		T(threads_never_leave_it_stuck),
	};

	logger_init("test_breaker", "", 0, LOGGER_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
