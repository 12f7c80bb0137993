/* Alignment, zeroes, limits. */
#include "base/arena.h"
#include "tests/unit/unit.h"
#include <string.h>

static void memory_is_zeroed_and_aligned_after_reset(void **state)
{
	static const char zero[100];
	arena_t *a = arena_new(1 << 20);

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t n = 1; n <= 100; n++) {
			char *p = arena_alloc(a, n);

			assert_int_equal((uintptr_t)p % 16, 0);
			assert_memory_equal(p, zero, n);
			memset(p, 0xa5, n);
		}
		arena_reset(a);
	}
	arena_free(&a);
	assert_null(a);
}

static void pieces_do_not_overlap(void **state)
{
	arena_t *a = arena_new(1 << 20);
	char *p[500];

	(void)state;
	for (size_t i = 0; i < 500; i++) {
		p[i] = arena_alloc(a, i + 1);
		memset(p[i], (int)(i & 127), i + 1);
	}
	for (size_t i = 0; i < 500; i++)
		for (size_t j = 0; j <= i; j++)
			assert_int_equal(p[i][j], i & 127);
	arena_free(&a);
}

static void strings_are_copied(void **state)
{
	arena_t *a = arena_new(1 << 16);

	(void)state;
	assert_string_equal(arena_strdup(a, "hong"), "hong");
	assert_string_equal(arena_strndup(a, "hongbao", 4), "hong");
	assert_string_equal(arena_strdup(a, ""), "");
	assert_string_equal(arena_printf(a, "%s-%05d", "x", 42), "x-00042");
	for (int n = 254; n <= 257; n++)
		assert_int_equal(strlen(arena_printf(a, "%0*d", n, 7)), n);
	arena_free(&a);
}

static void exactly_the_limit(void)
{
	arena_t *a = arena_new(65536);

	arena_alloc(a, 65536 - 8192);
	arena_alloc(a, 8192);
	arena_free(&a);
}

static void over_the_limit(void)
{
	arena_t *a = arena_new(65536);

	arena_alloc(a, 65536 - 8192);
	arena_alloc(a, 8192);
	arena_alloc(a, 1);
}

static void the_limit_counts_again_after_reset(void)
{
	arena_t *a = arena_new(65536);

	for (int i = 0; i < 100; i++) {
		arena_alloc(a, 50000);
		arena_reset(a);
	}
	arena_free(&a);
}

static void the_limit_holds(void **state)
{
	(void)state;
	assert_false(unit_aborts(exactly_the_limit));
	assert_true(unit_aborts(over_the_limit));
	assert_false(unit_aborts(the_limit_counts_again_after_reset));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_and_aligned_after_reset),
		cmocka_unit_test(pieces_do_not_overlap),
		cmocka_unit_test(strings_are_copied),
		cmocka_unit_test(the_limit_holds),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
