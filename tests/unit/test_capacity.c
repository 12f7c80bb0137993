/* The expected traffic: no interface is forgotten, limits follow from two numbers, and what is too small
 * to carry it is named. */
#include "domain/capacity.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static conf_t *configured(const char *const *set)
{
	char why[256];
	conf_t *c;

	assert_int_equal(conf_load(NULL, why, &c), ERR_OK);
	for (; *set; set += 2)
		assert_int_equal(conf_set(c, set[0], set[1], why), ERR_OK);
	return c;
}

static const char *const defaults[] = {NULL};

static void every_interface_expects_something(void **state)
{
	conf_t *c = configured(defaults);

	(void)state;
	for (unsigned i = 0; i < ROUTES_COUNT; i++) {
		if (capacity_expected(c, i) == 0)
			fail_msg("capacity.def has no row for %s", routes_table[i].name);
		const bool verified = routes_table[i].auth == ROUTES_AUTH_USER;
		if (verified && capacity_of_user(c, i).per_s == 0)
			fail_msg("no limit for users of %s", routes_table[i].name);
	}
	conf_free(&c);
}

static void twice_the_packets_are_twice_the_limits(void **state)
{
	static const char *const twice[] = {
		"capacity.c2c_per_s", "400", "capacity.b2c_per_s", "200", NULL};
	conf_t *one = configured(defaults), *two = configured(twice);
	const routes_id id = ROUTES_ID_packet_claim;

	(void)state;
	assert_int_equal(capacity_expected(one, id), (200 + 100) * 15);
	assert_int_equal(capacity_of_cell(one, id).per_s, 4 * 4500);
	assert_int_equal(capacity_of_cell(two, id).per_s, 8 * 4500);
	assert_int_equal(capacity_of_cell(two, id).burst, 8 * 4500);
	assert_int_equal(capacity_of_address(two, id).per_s, 4 * 4500);
	assert_int_equal(capacity_of_user(two, id).per_s, capacity_of_user(one, id).per_s);
	conf_free(&one);
	conf_free(&two);
}

static void little_traffic_still_has_the_least_limit(void **state)
{
	static const char *const none[] = {"capacity.c2c_per_s", "0", "capacity.b2c_per_s", "0",
		"limits.least_per_s", "70", "limits.burst_ms", "1", NULL};
	conf_t *c = configured(none);

	(void)state;
	assert_int_equal(capacity_of_cell(c, ROUTES_ID_packet_send).per_s, 70);
	assert_int_equal(capacity_of_cell(c, ROUTES_ID_packet_send).burst, 1);
	conf_free(&c);
}

static void limits_of_users_and_addresses_can_be_taken_away(void **state)
{
	static const char *const off[] = {
		"limits.user_percent", "0", "limits.address_percent", "0", NULL};
	conf_t *c = configured(off);

	(void)state;
	for (unsigned i = 0; i < ROUTES_COUNT; i++) {
		assert_int_equal(capacity_of_user(c, i).per_s, 0);
		assert_int_equal(capacity_of_address(c, i).per_s, 0);
		assert_true(capacity_of_cell(c, i).per_s > 0);
	}
	conf_free(&c);
}

static void no_interface_takes_all_of_a_program(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUTES_COUNT; i++)
		for (unsigned n = 4; n < 100; n += 8) {
			const unsigned places = capacity_places(i, n, n);

			assert_true(places <= n / 2);
			assert_true(places > 0 || capacity_places(i, 1000, 1000) == 0);
		}
	assert_int_equal(capacity_places(ROUTES_ID_packet_claims, 48, 12), 4);
	assert_int_equal(capacity_places(ROUTES_ID_packet_send, 96, 12), 48);
	assert_int_equal(capacity_places(ROUTES_ID_packet_claim, 96, 12), 0);
}

/* capacity_check's answer and what it wrote. */
static bool checked(const conf_t *c, char out[1024])
{
	size_t n;
	char *text;
	FILE *to = open_memstream(&text, &n);
	const bool right = capacity_check(c, to);

	assert_int_equal(fclose(to), 0);
	snprintf(out, 1024, "%s", text);
	free(text);
	return right;
}

static void the_defaults_carry_their_own_traffic(void **state)
{
	char out[1024];
	conf_t *c = configured(defaults);

	(void)state;
	assert_true(checked(c, out));
	assert_string_equal(out, "");
	conf_free(&c);
}

static void what_is_too_small_is_named(void **state)
{
	static const char *const small[] = {"finance.transfers", "2", NULL};
	char out[1024];
	conf_t *c = configured(small);

	(void)state;
	assert_false(checked(c, out));
	assert_string_equal(
		out, "finance.transfers is 2, but 450 transfers/s to finance need 14\n");
	conf_free(&c);
}

static void what_it_says_to_set_is_enough(void **state)
{
	static const char *const more[] = {"capacity.c2c_per_s", "3000", NULL};
	char out[1024], line[256], why[256];
	size_t n;
	char *text, name[64];
	long long value;
	conf_t *c = configured(more);
	FILE *f = open_memstream(&text, &n);

	(void)state;
	assert_false(checked(c, out));
	capacity_print_config(c, f);
	assert_int_equal(fclose(f), 0);
	f = fmemopen(text, n, "r");
	while (fgets(line, sizeof line, f)) {
		char group[32], option[32];

		if (sscanf(line, "%31[^:]: { %31s = %lld; };", group, option, &value) != 3)
			continue;
		snprintf(name, sizeof name, "%s.%s", group, option);
		snprintf(out, sizeof out, "%lld", value);
		assert_int_equal(conf_set(c, name, out, why), ERR_OK);
	}
	fclose(f);
	free(text);
	assert_true(checked(c, out));
	conf_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_interface_expects_something),
		cmocka_unit_test(twice_the_packets_are_twice_the_limits),
		cmocka_unit_test(little_traffic_still_has_the_least_limit),
		cmocka_unit_test(limits_of_users_and_addresses_can_be_taken_away),
		cmocka_unit_test(no_interface_takes_all_of_a_program),
		cmocka_unit_test(the_defaults_carry_their_own_traffic),
		cmocka_unit_test(what_is_too_small_is_named),
		cmocka_unit_test(what_it_says_to_set_is_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
