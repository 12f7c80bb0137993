/* What a sweep looks for next: each kind in its turn, whatever lies behind one of them. */
#include "tests/unit/unit.h"
#include "workers/rounds.h"

enum { KINDS = 4, PAUSE_MS = 1000, NOW = 5000 };

static void an_idle_round_looks_at_each_kind_once(void **state)
{
	rounds_t r = ROUNDS_OF(KINDS);
	unsigned kind;
	(void)state;
	for (int64_t round = 0; round < 3; round++) {
		const int64_t at = NOW + round * PAUSE_MS;
		for (unsigned i = 0; i < KINDS; i++) {
			assert_true(rounds_take(&r, at, PAUSE_MS, &kind));
			assert_int_equal(kind, i);
		}
		assert_false(rounds_take(&r, at, PAUSE_MS, &kind));
		assert_false(rounds_take(&r, at + PAUSE_MS - 1, PAUSE_MS, &kind));
	}
}

/* Kind 1 always has another batch. */
static void a_pile_of_one_kind_keeps_the_others_waiting_for_one_batch(void **state)
{
	rounds_t r = ROUNDS_OF(KINDS);
	unsigned kind, looks[KINDS] = {0};
	(void)state;
	for (unsigned i = 0; i < 10 * KINDS; i++) {
		assert_true(rounds_take(&r, NOW, PAUSE_MS, &kind));
		looks[kind]++;
		if (kind == 1)
			rounds_more(&r);
	}
	for (unsigned k = 0; k < KINDS; k++)
		assert_int_equal(looks[k], 10);
}

static void when_no_kind_has_a_whole_batch_any_more_the_round_ends(void **state)
{
	rounds_t r = ROUNDS_OF(KINDS);
	unsigned kind, looks = 0;
	(void)state;
	assert_true(rounds_take(&r, NOW, PAUSE_MS, &kind));
	assert_int_equal(kind, 0);
	rounds_more(&r);
	while (rounds_take(&r, NOW, PAUSE_MS, &kind))
		looks++;
	assert_int_equal(looks, KINDS);
	assert_int_equal(kind, 0); /* the one that there was more of is the last */
}

/* While one thread has a batch in hand, the others go on from the kind behind it. */
static void nobody_waits_for_who_works(void **state)
{
	rounds_t r = ROUNDS_OF(KINDS);
	unsigned mine, others;
	(void)state;
	assert_true(rounds_take(&r, NOW, PAUSE_MS, &mine));
	for (unsigned i = 1; i < KINDS; i++) {
		assert_true(rounds_take(&r, NOW, PAUSE_MS, &others));
		assert_int_equal(others, i);
	}
	assert_false(rounds_take(&r, NOW, PAUSE_MS, &others));
	assert_true(rounds_take(&r, NOW + PAUSE_MS, PAUSE_MS, &others)); /* the next round */
	assert_int_equal(others, mine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_round_looks_at_each_kind_once),
		cmocka_unit_test(a_pile_of_one_kind_keeps_the_others_waiting_for_one_batch),
		cmocka_unit_test(when_no_kind_has_a_whole_batch_any_more_the_round_ends),
		cmocka_unit_test(nobody_waits_for_who_works),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
