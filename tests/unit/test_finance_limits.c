/* How much of finance a program takes at once. Lower bounds of time only: the machine may be slow. */
#include "base/clk.h"
#include "store/finance_limits.h"
#include "tests/unit/unit.h"
#include <pthread.h>

static finance_limits_t *two_of_each(unsigned per_s, int64_t wait_ms)
{
	const finance_limits_conf c = {.in_flight = {2, 2, 2, 2, 2},
		.per_s = per_s,
		.wait_ms = wait_ms,
		.rest_after = 3,
		.rest_ms = 200};
	return finance_limits_new(&c);
}

static void what_has_no_place_in_time_is_turned_away_and_holds_no_other_operation(void **state)
{
	(void)state;
	finance_limits_t *l = two_of_each(100000, 50);
	assert_int_equal(finance_limits_take(l, FINANCE_OP_PAYMENT), ERR_OK);
	assert_int_equal(finance_limits_take(l, FINANCE_OP_PAYMENT), ERR_OK);
	int64_t start = clk_mono_ms();
	assert_int_equal(finance_limits_take(l, FINANCE_OP_PAYMENT), ERR_TIMEOUT);
	assert_true(clk_mono_ms() - start >= 49);
	assert_int_equal(finance_limits_take(l, FINANCE_OP_QUERY), ERR_OK);
	finance_limits_give(l, FINANCE_OP_PAYMENT, true);
	assert_int_equal(finance_limits_take(l, FINANCE_OP_PAYMENT), ERR_OK);
	finance_limits_free(&l);
	assert_null(l);
}

static void *take_one(void *ctx)
{
	return finance_limits_take(ctx, FINANCE_OP_REFUND) == ERR_OK ? ctx : NULL;
}

static void a_place_that_comes_free_goes_to_who_waits(void **state)
{
	(void)state;
	finance_limits_t *l = two_of_each(100000, 60000);
	pthread_t id;
	void *got = NULL;
	assert_int_equal(finance_limits_take(l, FINANCE_OP_REFUND), ERR_OK);
	assert_int_equal(finance_limits_take(l, FINANCE_OP_REFUND), ERR_OK);
	assert_int_equal(pthread_create(&id, NULL, take_one, l), 0);
	finance_limits_give(l, FINANCE_OP_REFUND, true);
	assert_int_equal(pthread_join(id, &got), 0);
	assert_ptr_equal(got, l);
	finance_limits_free(&l);
}

static void calls_are_spread_evenly_also_after_a_pause(void **state)
{
	(void)state;
	finance_limits_t *l = two_of_each(100, 60000);
	for (unsigned round = 0; round < 2; round++) {
		int64_t start = clk_mono_ms();
		for (unsigned i = 0; i < 20; i++) {
			assert_int_equal(finance_limits_take(l, FINANCE_OP_QUERY), ERR_OK);
			finance_limits_give(l, FINANCE_OP_QUERY, true);
		}
		assert_true(clk_mono_ms() - start >= 185); /* 19 gaps of 10 ms */
		clk_sleep_ms(300); /* what was not used meanwhile is not saved up */
	}
	finance_limits_free(&l);
}

static void call(finance_limits_t *l, unsigned times, bool answered)
{
	for (unsigned i = 0; i < times; i++) {
		assert_int_equal(finance_limits_take(l, FINANCE_OP_QUERY), ERR_OK);
		finance_limits_give(l, FINANCE_OP_QUERY, answered);
	}
}

static void a_finance_that_does_not_answer_is_left_alone_and_one_call_tries_it(void **state)
{
	(void)state;
	finance_limits_t *l = two_of_each(100000, 60000);
	call(l, 2, false);
	call(l, 1, true); /* in a row is what counts */
	call(l, 2, false);
	int64_t start = clk_mono_ms();
	call(l, 1, false);
	assert_int_equal(finance_limits_take(l, FINANCE_OP_REFUND), ERR_TIMEOUT);
	while (finance_limits_take(l, FINANCE_OP_REFUND) != ERR_OK)
		clk_sleep_ms(5);
	assert_true(clk_mono_ms() - start >= 100); /* 200, less up to half */
	assert_int_equal(finance_limits_take(l, FINANCE_OP_REFUND), ERR_TIMEOUT);
	finance_limits_give(l, FINANCE_OP_REFUND, false); /* in vain: it rests again */
	assert_int_equal(finance_limits_take(l, FINANCE_OP_REFUND), ERR_TIMEOUT);
	while (finance_limits_take(l, FINANCE_OP_REFUND) != ERR_OK)
		clk_sleep_ms(5);
	finance_limits_give(l, FINANCE_OP_REFUND, true);
	call(l, 50, true);
	finance_limits_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			what_has_no_place_in_time_is_turned_away_and_holds_no_other_operation),
		cmocka_unit_test(a_place_that_comes_free_goes_to_who_waits),
		cmocka_unit_test(calls_are_spread_evenly_also_after_a_pause),
		cmocka_unit_test(
			a_finance_that_does_not_answer_is_left_alone_and_one_call_tries_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
