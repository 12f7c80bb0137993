/* How many are let in, and when the others shall come again. */
#include "domain/admission.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* A memcached in a variable. */
static uint64_t counted;
static char last_key[128];
static uint32_t last_ttl;
static err_t answer;

err_t cache_count(cache_t *c, const char *key, uint32_t ttl_s, uint64_t *now)
{
	(void)c;
	strcpy(last_key, key);
	last_ttl = ttl_s;
	if (answer == ERR_OK)
		*now = ++counted;
	return answer;
}

static const admission_conf conf = {.percent = 150, .floor = 64};
static cache_t *const cache = (cache_t *)&counted;

static int reset(void **state)
{
	(void)state;
	counted = 0;
	answer = ERR_OK;
	*last_key = 0;
	return 0;
}

static void as_many_as_one_and_a_half_times_what_remains(void **state)
{
	(void)state;
	assert_int_equal(admission_limit(&conf, 100), 150);
	assert_int_equal(admission_limit(&conf, 101), 151);
}

static void never_less_than_the_floor(void **state)
{
	(void)state;
	assert_int_equal(admission_limit(&conf, 42), 64);
	assert_int_equal(admission_limit(&conf, 0), 64);
}

static void the_limit_of_the_largest_packet_does_not_overflow(void **state)
{
	const admission_conf wide = {.percent = 10000, .floor = 1};

	(void)state;
	assert_int_equal(admission_limit(&wide, UINT32_MAX), (uint64_t)UINT32_MAX * 100);
}

static void retries_are_spread_between_50_and_300_ms(void **state)
{
	bool low = false, high = false;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		const int64_t ms = admission_retry_ms();
		assert_true(ms >= 50 && ms <= 300);
		low = low || ms < 60;
		high = high || ms > 290;
	}
	assert_true(low && high);
}

static void the_window_lets_in_up_to_the_limit(void **state)
{
	(void)state;
	for (int i = 0; i < 150; i++)
		assert_true(admission_window(&conf, cache, 3, 777, 100, 5999));
	assert_false(admission_window(&conf, cache, 3, 777, 100, 5999));
	assert_string_equal(last_key, "adm:3:777:5");
	assert_int_equal(last_ttl, 2);
}

static void every_second_packet_and_epoch_has_a_window_of_its_own(void **state)
{
	static const struct {
		uint64_t epoch, packet;
		int64_t now;
		const char *key;
	} rows[] = {
		{3, 777, 6000, "adm:3:777:6"},
		{4, 777, 6999, "adm:4:777:6"},
		{4, 778, 6999, "adm:4:778:6"},
	};

	(void)state;
	for (unsigned i = 0; i < UNIT_COUNT(rows); i++) {
		(void)admission_window(
			&conf, cache, rows[i].epoch, rows[i].packet, 100, rows[i].now);
		assert_string_equal(last_key, rows[i].key);
	}
}

static void without_memcached_everyone_is_let_in(void **state)
{
	(void)state;
	counted = 1000;
	answer = ERR_CACHE_UNAVAILABLE;
	assert_true(admission_window(&conf, cache, 3, 777, 1, 5999));
	assert_true(admission_window(&conf, NULL, 3, 777, 1, 5999));
}

static void a_packet_with_nothing_left_is_not_counted(void **state)
{
	(void)state;
	counted = 1000;
	assert_true(admission_window(&conf, cache, 3, 777, 0, 5999));
	assert_string_equal(last_key, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(as_many_as_one_and_a_half_times_what_remains, reset),
		cmocka_unit_test_setup(never_less_than_the_floor, reset),
		cmocka_unit_test_setup(the_limit_of_the_largest_packet_does_not_overflow, reset),
		cmocka_unit_test_setup(retries_are_spread_between_50_and_300_ms, reset),
		cmocka_unit_test_setup(the_window_lets_in_up_to_the_limit, reset),
		cmocka_unit_test_setup(
			every_second_packet_and_epoch_has_a_window_of_its_own, reset),
		cmocka_unit_test_setup(without_memcached_everyone_is_let_in, reset),
		cmocka_unit_test_setup(a_packet_with_nothing_left_is_not_counted, reset),
	};

	return cmocka_run_group_tests_name("admission", tests, NULL, NULL);
}
