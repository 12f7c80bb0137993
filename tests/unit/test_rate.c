/* How many messages a consumer takes: as many as the rate lets it, together where they wait. */
#include "tests/unit/unit.h"
#include "workers/rate.h"

enum { SECOND_US = 1000000 };

/* How many of `held` messages that always wait are taken in a second, and in how many batches. */
static unsigned taken_in(rate_t *r, unsigned held, int64_t from_us, int64_t us, unsigned *batches)
{
	unsigned taken = 0;
	int64_t wait_ms;
	for (int64_t at = from_us; at < from_us + us;) {
		const unsigned n = rate_take(r, held, at, &wait_ms);
		if (n == 0) {
			at += wait_ms * 1000;
			continue;
		}
		taken += n;
		++*batches;
		at += 1000; /* a transaction */
	}
	return taken;
}

static void without_a_rate_all_that_waits_is_taken_up_to_a_batch(void **state)
{
	rate_t r = rate_of(64, 0);
	int64_t wait_ms;
	(void)state;
	assert_int_equal(rate_take(&r, 10, 1, &wait_ms), 10);
	assert_int_equal(rate_take(&r, 1000, 1, &wait_ms), 64);
}

static void a_backlog_is_taken_at_the_rate_in_whole_batches(void **state)
{
	static const int64_t rates[] = {1, 7, 200, 2000, 20000};
	(void)state;
	for (unsigned i = 0; i < UNIT_COUNT(rates); i++) {
		rate_t r = rate_of(128, rates[i]);
		unsigned batches = 0, first = 0;
		taken_in(&r, 1000000, SECOND_US, SECOND_US, &first);
		const unsigned n = taken_in(&r, 1000000, 2 * SECOND_US, 10 * SECOND_US, &batches);
		assert_in_range(n, rates[i] * 10 - rates[i] / 10 - 1, rates[i] * 10 + 2 * r.batch);
		assert_true(batches <= n / r.batch + 1);
	}
}

static void a_slow_rate_does_not_make_the_first_wait_for_company(void **state)
{
	rate_t r = rate_of(128, 5);
	int64_t wait_ms = 0;
	(void)state;
	assert_int_equal(r.batch, 1);
	assert_int_equal(rate_take(&r, 100, SECOND_US, &wait_ms), 0);
	assert_in_range(wait_ms, 200, 201);
	assert_int_equal(rate_take(&r, 100, SECOND_US + wait_ms * 1000, &wait_ms), 1);
}

static void what_was_not_taken_is_not_saved_up(void **state)
{
	rate_t r = rate_of(128, 2000);
	unsigned batches = 0;
	(void)state;
	taken_in(&r, 128, SECOND_US, 1, &batches);
	const unsigned n = taken_in(&r, 100000, 3600LL * SECOND_US, SECOND_US / 10, &batches);
	assert_in_range(n, 128, 2 * 128 + 200 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_rate_all_that_waits_is_taken_up_to_a_batch),
		cmocka_unit_test(a_backlog_is_taken_at_the_rate_in_whole_batches),
		cmocka_unit_test(a_slow_rate_does_not_make_the_first_wait_for_company),
		cmocka_unit_test(what_was_not_taken_is_not_saved_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
