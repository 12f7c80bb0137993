/* gtid: which position contains which. */
#include "tests/unit/unit.h"
#include "units/gtid.h"

static const struct {
	const char *name, *have, *want;
	bool covers;
} cases[] = {
	{"the start is contained in anything", "", "", true},
	{"the start is contained in a position", "0-1-5", "", true},
	{"nothing does not contain a position", "", "0-1-5", false},
	{"equal positions contain each other", "0-1-5", "0-1-5", true},
	{"more contains less", "0-1-6", "0-1-5", true},
	{"less does not contain more", "0-1-4", "0-1-5", false},
	{"the server that wrote does not matter", "0-2-6", "0-1-5", true},
	{"sequences are numbers, not texts", "0-1-10", "0-1-9", true},
	{"sequences use all 64 bits", "0-1-18446744073709551614", "0-1-18446744073709551615",
		false},
	{"every domain must be there", "0-1-5", "0-1-5,1-1-1", false},
	{"domains may stand in any order", "1-7-3,0-1-5", "0-1-5,1-2-3", true},
	{"further domains do no harm", "0-1-5,1-7-3", "1-1-1", true},
	{"a malformed wish is not contained", "0-1-5", "0-1", false},
	{"a malformed position contains nothing", "0-1-5,x", "0-1-5", false},
	{"a trailing comma is malformed", "0-1-5,", "0-1-5", false},
};

static void one(void **state)
{
	const size_t i = (size_t)(uintptr_t)*state;

	assert_int_equal(gtid_covers(cases[i].have, cases[i].want), cases[i].covers);
}

static void what_is_missing_is_counted_over_all_domains(void **state)
{
	(void)state;
	assert_int_equal(gtid_missing("0-1-5", "0-1-5"), 0);
	assert_int_equal(gtid_missing("0-1-9", "0-2-5"), 0);
	assert_int_equal(gtid_missing("", "0-1-5"), 5);
	assert_int_equal(gtid_missing("0-1-3", "0-2-5,1-1-7"), 9);
}

int main(void)
{
	struct CMUnitTest tests[UNIT_COUNT(cases) + 1] = {0};

	tests[UNIT_COUNT(cases)] =
		(struct CMUnitTest)cmocka_unit_test(what_is_missing_is_counted_over_all_domains);

	for (size_t i = 0; i < UNIT_COUNT(cases); i++)
		tests[i] = (struct CMUnitTest){.name = cases[i].name,
			.test_func = one,
			.initial_state = (void *)(uintptr_t)i};
	return cmocka_run_group_tests_name("gtid", tests, NULL, NULL);
}
