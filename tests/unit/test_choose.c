/* choose: who takes a cell over. */
#include "tests/unit/unit.h"
#include "units/choose.h"

enum { MEMBERS = 3 };
#define IS(position)                                                                               \
	{                                                                                          \
		true, true, true, position                                                         \
	}
#define BROKEN(position)                                                                           \
	{                                                                                          \
		true, true, false, position                                                        \
	}
#define RESTARTED(position)                                                                        \
	{                                                                                          \
		true, false, true, position                                                        \
	}
#define SILENT                                                                                     \
	{                                                                                          \
		false, false, false, ""                                                            \
	}

static const struct {
	const char *name;
	choose_member m[MEMBERS];
	unsigned n;
	int preferred, doubt, chosen, with_loss;
} cases[] = {
	{"nobody is left", {SILENT}, 0, -1, -1, -1, -1},
	{"the only one", {IS("0-1-5")}, 1, -1, -1, 0, 0},
	{"the fullest", {IS("0-1-5"), IS("0-1-6")}, 2, -1, -1, 1, 1},
	{"the first among equals", {IS("0-1-5"), IS("0-1-5"), IS("0-1-4")}, 3, -1, -1, 0, 0},
	{"the preferred among equals", {IS("0-1-5"), IS("0-1-5")}, 2, 1, -1, 1, 1},
	{"the preferred lacks a commit", {IS("0-1-5"), IS("0-1-6")}, 2, 0, -1, 1, 1},
	{"one is silent", {IS("0-1-5"), SILENT}, 2, -1, 1, 0, 0},
	{"one was restarted, though it has most", {RESTARTED("0-1-9"), IS("0-1-5")}, 2, -1, 0, 0,
		0},
	{"the fullest cannot apply", {BROKEN("0-1-6"), IS("0-1-5")}, 2, -1, -1, -1, 1},
	{"one that cannot apply has no more", {BROKEN("0-1-5"), IS("0-1-5")}, 2, 0, -1, 1, 1},
	{"nobody can apply", {BROKEN("0-1-5"), SILENT}, 2, -1, 1, -1, -1},
	{"positions of two domains that do not contain each other",
		{IS("0-1-5,1-1-1"), IS("0-1-4,1-1-2")}, 2, -1, -1, -1, -1},
	{"a malformed position contains nothing", {IS("x"), IS("0-1-5")}, 2, 0, -1, -1, -1},
};

static void one(void **state)
{
	const size_t i = (size_t)(uintptr_t)*state;

	assert_int_equal(choose_doubt(cases[i].m, cases[i].n), cases[i].doubt);
	assert_int_equal(choose(cases[i].m, cases[i].n, cases[i].preferred), cases[i].chosen);
	assert_int_equal(
		choose_with_loss(cases[i].m, cases[i].n, cases[i].preferred), cases[i].with_loss);
}

int main(void)
{
	struct CMUnitTest tests[UNIT_COUNT(cases)] = {0};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++)
		tests[i] = (struct CMUnitTest){.name = cases[i].name,
			.test_func = one,
			.initial_state = (void *)(uintptr_t)i};
	return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
