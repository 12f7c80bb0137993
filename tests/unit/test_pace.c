/* Who is told when to ask again, and who asks too soon. */
#include "base/keys.h"
#include "fcgi/pace.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { FIRST_MS = 500, MAX_MS = 10000, NOW = 1000000 };

static int start(void **state)
{
	*state = pace_new(FIRST_MS, MAX_MS);
	return 0;
}

static int end(void **state)
{
	pace_t *p = *state;
	pace_free(&p);
	assert_null(p);
	return 0;
}

static void who_was_told_nothing_may_ask(void **state)
{
	int64_t retry = -1;
	assert_int_equal(pace_check(*state, 1, 2, NOW, &retry), ERR_OK);
	assert_int_equal(retry, -1);
}

/* Until it has done so as often as it may. */
static void ask_early(pace_t *p, uint64_t uid, uint64_t number, int64_t now)
{
	int64_t retry = -1;
	for (unsigned i = 0; i < PACE_EARLY_MAX; i++) {
		assert_int_equal(pace_check(p, uid, number, now, &retry), ERR_OK);
		assert_int_equal(pace_told(p, uid, number, 0, now), FIRST_MS); /* not longer */
	}
	assert_int_equal(retry, -1);
}

static void asking_before_half_of_the_interval_is_refused_with_the_rest(void **state)
{
	int64_t retry = 0;
	assert_int_equal(pace_told(*state, 1, 2, 0, NOW), FIRST_MS);
	ask_early(*state, 1, 2, NOW);
	assert_int_equal(pace_check(*state, 1, 2, NOW + 249, &retry), ERR_RATE_LIMITED);
	assert_int_equal(retry, 251);
	assert_int_equal(pace_check(*state, 1, 2, NOW + 250, &retry), ERR_OK);
	assert_int_equal(pace_told(*state, 1, 2, 0, NOW + 250), FIRST_MS + FIRST_MS / 2);
	assert_int_equal(pace_check(*state, 1, 2, NOW + 251, &retry), ERR_RATE_LIMITED); /* still */
}

static void another_user_or_number_is_not_slowed_down(void **state)
{
	int64_t retry;
	(void)pace_told(*state, 1, 2, 0, NOW);
	ask_early(*state, 1, 2, NOW);
	assert_int_equal(pace_check(*state, 2, 1, NOW, &retry), ERR_OK);
	assert_int_equal(pace_check(*state, 1, 3, NOW, &retry), ERR_OK);
	assert_int_equal(pace_check(*state, 3, 2, NOW, &retry), ERR_OK);
}

static void the_interval_grows_to_its_bound(void **state)
{
	int64_t now = NOW, last = 0, told = 0;
	for (int i = 0; i < 20; i++) {
		told = pace_told(*state, 1, 2, 0, now);
		assert_true(told > last || told == MAX_MS);
		assert_true(told <= MAX_MS);
		last = told;
		now += told;
	}
	assert_int_equal(told, MAX_MS);
}

static void what_waits_for_long_is_asked_for_rarely_at_once(void **state)
{
	assert_int_equal(pace_told(*state, 1, 2, 40000, NOW), 5000);
	assert_int_equal(pace_told(*state, 1, 3, 86400000, NOW), MAX_MS);
	assert_int_equal(pace_told(*state, 1, 4, -5000, NOW), FIRST_MS);
}

static void a_full_table_forgets_the_oldest_and_slows_nobody_wrongly(void **state)
{
	int64_t retry;
	for (uint64_t uid = 1; uid <= 200000; uid++)
		assert_int_equal(pace_told(*state, uid, 7, 0, NOW + (int64_t)uid), FIRST_MS);
	int slowed = 0;
	for (uint64_t uid = 199901; uid <= 200000; uid++) {
		for (unsigned i = 0; i < PACE_EARLY_MAX; i++)
			(void)!pace_check(*state, uid, 7, NOW + 200000, &retry);
		slowed += pace_check(*state, uid, 7, NOW + 200000, &retry) == ERR_RATE_LIMITED;
	}
	assert_true(slowed > 90);
	for (uint64_t uid = 300001; uid <= 301000; uid++)
		assert_int_equal(pace_check(*state, uid, 7, NOW + 200000, &retry), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
		CASE(who_was_told_nothing_may_ask),
		CASE(asking_before_half_of_the_interval_is_refused_with_the_rest),
		CASE(another_user_or_number_is_not_slowed_down),
		CASE(the_interval_grows_to_its_bound),
		CASE(what_waits_for_long_is_asked_for_rarely_at_once),
		CASE(a_full_table_forgets_the_oldest_and_slows_nobody_wrongly),
	};
	if (keys_init() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
