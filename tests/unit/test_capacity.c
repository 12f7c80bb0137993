/* The expected traffic: no interface is forgotten, limits follow from two numbers, and what is too small
 * to carry it is named. */
#include "domain/capacity.h"
#include "domain/db_users.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* One cell with one member, at which so many of each kind listen. */
static topology_t with_programs(unsigned core, unsigned query, unsigned rain)
{
	topology_t t = {.cell_count = 1};

	t.cell[0].member_count = 1;
	t.cell[0].member[0].core_count = core;
	t.cell[0].member[0].query_count = query;
	t.cell[0].member[0].rain_count = rain;
	return t;
}

/* capacity_check's answer and what it wrote. */
static bool checked_with(const conf_t *c, const topology_t *t, char out[1024])
{
	size_t n;
	char *text;
	FILE *to = open_memstream(&text, &n);
	const bool right = capacity_check(c, t, to);

	assert_int_equal(fclose(to), 0);
	snprintf(out, 1024, "%s", text);
	free(text);
	return right;
}

static bool checked(const conf_t *c, char out[1024])
{
	const topology_t t = with_programs(2, 1, 1);

	return checked_with(c, &t, out);
}

static void whoever_opens_connections_is_given_them(void **state)
{
	static const char *const many[] = {"worker.threads", "16", "claim.executors", "8", NULL};
	conf_t *c = configured(defaults), *more = configured(many);
	topology_t t = with_programs(4, 2, 3);
	const topology_member *m = &t.cell[0].member[0];

	(void)state;
	assert_int_equal(db_users_open(c, &t, m, DB_USERS_hb_core), 4 * (12 + 1 + 1));
	assert_int_equal(db_users_open(c, &t, m, DB_USERS_hb_query), 2 * (12 + 1));
	assert_int_equal(db_users_open(c, &t, m, DB_USERS_hb_rain), 3 * 2);
	assert_int_equal(db_users_open(more, &t, m, DB_USERS_hb_core), 4 * (12 + 8 + 1));
	for (unsigned id = 0; id < DB_USERS_COUNT; id++) {
		const int64_t open = db_users_open(more, &t, m, (db_users_id)id);

		assert_true(open > 0 && open <= db_users_given(more, &t, (db_users_id)id));
		assert_int_equal(db_users_named(db_users_name((db_users_id)id)), id);
	}
	conf_free(&c);
	conf_free(&more);
}

static void programs_for_whom_a_member_has_too_few_are_named(void **state)
{
	char out[1024];
	conf_t *c = configured(defaults);
	topology_t t = with_programs(2, 2, 1);

	(void)state;
	assert_true(checked_with(c, &t, out));
	t = with_programs(2, 4, 1);
	assert_false(checked_with(c, &t, out));
	assert_string_equal(out,
		"db.member_connections is 288, but hb_core needs 120, hb_query needs 52, hb_worker "
		"needs "
		"96, hb_rain needs 16, hb_age needs 8, hbctl and replicas 16: 308\n");
	conf_free(&c);
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
	char out[1024], why[256], path[] = "/tmp/test_capacity.XXXXXX";
	conf_t *c = configured(more), *set;
	const int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	(void)state;
	assert_non_null(f);
	assert_false(checked(c, out));
	capacity_print_config(c, f);
	fputs("capacity: { c2c_per_s = 3000; };\n", f);
	assert_int_equal(fclose(f), 0);
	if (conf_load(path, why, &set) != ERR_OK)
		fail_msg("%s", why);
	unlink(path);
	assert_int_equal(conf_set(set, "db.member_connections", "2000", why), ERR_OK);
	assert_true(checked(set, out));
	conf_free(&c);
	conf_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_interface_expects_something),
		cmocka_unit_test(twice_the_packets_are_twice_the_limits),
		cmocka_unit_test(little_traffic_still_has_the_least_limit),
		cmocka_unit_test(limits_of_users_and_addresses_can_be_taken_away),
		cmocka_unit_test(no_interface_takes_all_of_a_program),
		cmocka_unit_test(whoever_opens_connections_is_given_them),
		cmocka_unit_test(programs_for_whom_a_member_has_too_few_are_named),
		cmocka_unit_test(the_defaults_carry_their_own_traffic),
		cmocka_unit_test(what_is_too_small_is_named),
		cmocka_unit_test(what_it_says_to_set_is_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
