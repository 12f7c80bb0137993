/* How much of an interface a user may have: so many at once, then a rate; others and other interfaces are
 * not touched, and nobody is refused because many ask. */
#include "base/clk.h"
#include "base/keys.h"
#include "fcgi/user_rate.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <time.h>

enum { RATE = 20, BURST = 100, ALICE = 1001, BOB = 1002, USERS = 50000, THREADS = 4, EACH = 100 };
static const routes_id CLAIM = ROUTES_ID_packet_claim;

static int64_t began_us;

static int start(void **state)
{
	char why[256];
	conf_t *c;

	if (keys_init() != ERR_OK || conf_load(NULL, why, &c) != ERR_OK)
		return 1;
	*state = user_rate_new(c);
	began_us = clk_mono_us();
	conf_free(&c);
	return 0;
}

static int end(void **state)
{
	user_rate_t *u = *state;

	user_rate_free(&u);
	assert_null(u);
	return 0;
}

/* How many of `tries` at one moment are let in. */
static unsigned let_in(user_rate_t *u, routes_id route, uint64_t who, int64_t at_us, unsigned tries)
{
	unsigned in = 0;
	int64_t retry;

	for (unsigned i = 0; i < tries; i++)
		in += user_rate_check(u, route, who, at_us, &retry) == ERR_OK;
	return in;
}

static void a_burst_then_the_rate(void **state)
{
	assert_int_equal(let_in(*state, CLAIM, ALICE, began_us, 1000), BURST);
	assert_int_equal(let_in(*state, CLAIM, ALICE, began_us + 1000000, 1000), RATE);
	assert_int_equal(let_in(*state, CLAIM, ALICE, began_us + 1500000, 1000), RATE / 2);
	assert_int_equal(let_in(*state, CLAIM, ALICE, began_us + 3600000000, 1000), BURST);
}

static void who_is_refused_is_told_when(void **state)
{
	int64_t retry = 0;

	let_in(*state, CLAIM, ALICE, began_us, BURST);
	assert_int_equal(user_rate_check(*state, CLAIM, ALICE, began_us, &retry), ERR_RATE_LIMITED);
	assert_true(retry > 0 && retry <= 1000 / RATE);
	assert_int_equal(
		user_rate_check(*state, CLAIM, ALICE, began_us + retry * 1000, &retry), ERR_OK);
}

static void others_and_other_interfaces_are_not_touched(void **state)
{
	let_in(*state, CLAIM, ALICE, began_us, 1000);
	assert_int_equal(let_in(*state, CLAIM, BOB, began_us, 1000), BURST);
	assert_int_equal(let_in(*state, ROUTES_ID_packet_claims, ALICE, began_us, 1000), BURST);
}

static void nobody_is_counted_where_nobody_is_verified(void **state)
{
	assert_int_equal(let_in(*state, ROUTES_ID_callback, ALICE, began_us, 5000), 5000);
}

/* More users at one moment than there is room for are forgotten, and not refused. */
static void a_crowd_is_let_in(void **state)
{
	unsigned in = 0;

	for (unsigned round = 0; round < 10; round++)
		for (uint64_t uid = 0; uid < USERS * 8; uid += 1 + round % 2)
			in += let_in(*state, CLAIM, uid, began_us, 1) - 1;
	assert_int_equal(in, 0);
}

static void *hammer(void *u)
{
	return (void *)(uintptr_t)let_in(u, CLAIM, ALICE, began_us, EACH);
}

/* Threads that count the same user at once may lose a count or two, and never refuse one too many. */
static void threads_count_together(void **state)
{
	pthread_t thread[THREADS];
	unsigned in = 0;

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, *state), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *one;

		pthread_join(thread[i], &one);
		in += (unsigned)(uintptr_t)one;
	}
	assert_true(in >= BURST && in < BURST + BURST / 4);
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A million users take turns, so that nearly every request finds its line of the cache far away. */
static void it_costs_little(void **state)
{
	enum { CALLS = 2000000, MOST_NS = 600 }; /* of 60,000 that a claim takes */
	unsigned refused = 0;
	int64_t retry;
	const int64_t from_us = clk_mono_us(), from_ns = cpu_ns();

	for (uint64_t i = 0; i < CALLS; i++)
		refused += user_rate_check(*state, CLAIM, i * 7919 % 1000000, from_us + (int64_t)i,
				   &retry) != ERR_OK;
	const int64_t ns = (cpu_ns() - from_ns) / CALLS;

	print_message("# %lld ns of processor time a request\n", (long long)ns);
	assert_int_equal(refused, 0);
	assert_true(ns < MOST_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_burst_then_the_rate, start, end),
		cmocka_unit_test_setup_teardown(who_is_refused_is_told_when, start, end),
		cmocka_unit_test_setup_teardown(
			others_and_other_interfaces_are_not_touched, start, end),
		cmocka_unit_test_setup_teardown(
			nobody_is_counted_where_nobody_is_verified, start, end),
		cmocka_unit_test_setup_teardown(a_crowd_is_let_in, start, end),
		cmocka_unit_test_setup_teardown(threads_count_together, start, end),
		cmocka_unit_test_setup_teardown(it_costs_little, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
