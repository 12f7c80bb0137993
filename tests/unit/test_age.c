/* age: what is due with a range of packets, by time alone. */
#include "domain/age.h"
#include "domain/states.h"
#include "unit.h"

enum { WIDTH = 1000, BEGAN = 100000 };
static const age_times times = {
	.range_ms = 100, .after_ms = 1000, .readable_ms = 5000, .ranges_max = 5};

/* Four ranges of 1000 numbers, the first three begun one hour of theirs after the other. */
static void ranges_make(age_range r[4])
{
	for (unsigned i = 0; i < 4; i++)
		r[i] = (age_range){.from = i * WIDTH,
			.below = (i + 1) * WIDTH,
			.state = STATES_RANGE_OPEN,
			.began_at_ms = i < 3 ? BEGAN + 100 * (int64_t)i : 0,
			.changed_at_ms = BEGAN};
}

static void the_range_whose_numbers_are_given_begins_and_ends_by_time(void **state)
{
	age_range r[4];
	(void)state;
	ranges_make(r);
	/* number 2500: the third is the one */
	assert_int_equal(age_due(r, 4, 2, &times, 2500, BEGAN + 299), AGE_NOTHING);
	assert_int_equal(age_due(r, 4, 2, &times, 2500, BEGAN + 300), AGE_NEXT);
	assert_int_equal(age_due(r, 4, 3, &times, 2500, BEGAN + 900), AGE_NOTHING);
	/* its numbers are used up: the fourth is the one */
	assert_int_equal(age_due(r, 4, 3, &times, 3000, BEGAN + 300), AGE_BEGIN);
	/* there is none behind it to go on with */
	r[3].began_at_ms = BEGAN + 300;
	assert_int_equal(age_due(r, 4, 3, &times, 3000, BEGAN + 9000), AGE_NOTHING);
}

static void no_further_range_is_begun_when_there_are_too_many(void **state)
{
	age_times few = times;
	age_range r[4];
	(void)state;
	ranges_make(r);
	few.ranges_max = 4;
	assert_int_equal(age_due(r, 4, 2, &few, 2500, BEGAN + 300), AGE_CROWDED);
}

static void a_range_that_was_passed_unseen_begins_too(void **state)
{
	age_range r[4];
	(void)state;
	ranges_make(r);
	r[1].began_at_ms = 0;
	assert_int_equal(age_due(r, 4, 1, &times, 2500, BEGAN + 10), AGE_BEGIN);
}

static void a_range_closes_long_after_the_next_has_begun(void **state)
{
	age_range r[4];
	(void)state;
	ranges_make(r);
	assert_int_equal(age_due(r, 4, 0, &times, 2500, BEGAN + 1099), AGE_NOTHING);
	assert_int_equal(age_due(r, 4, 0, &times, 2500, BEGAN + 1100), AGE_CLOSE);
	/* numbers of it may still be given */
	assert_int_not_equal(age_due(r, 4, 0, &times, 999, BEGAN + 1100), AGE_CLOSE);
	/* nobody has seen the next one begin */
	r[1].began_at_ms = 0;
	assert_int_equal(age_due(r, 4, 0, &times, 2500, BEGAN + 9000), AGE_NOTHING);
}

static void a_closed_range_is_exported_and_leaves_when_it_was_readable_long_enough(void **state)
{
	age_range r[4];
	(void)state;
	ranges_make(r);
	r[0].state = STATES_RANGE_CLOSED;
	assert_int_equal(age_due(r, 4, 0, &times, 2500, 0), AGE_EXPORT);
	r[0].state = STATES_RANGE_EXPORTED;
	r[0].changed_at_ms = BEGAN + 7;
	assert_int_equal(age_due(r, 4, 0, &times, 2500, BEGAN + 5006), AGE_NOTHING);
	assert_int_equal(age_due(r, 4, 0, &times, 2500, BEGAN + 5007), AGE_LEAVE);
	r[0].state = STATES_RANGE_LEAVING;
	assert_int_equal(age_due(r, 4, 0, &times, 2500, 0), AGE_DROP);
	r[0].state = STATES_RANGE_GONE;
	assert_int_equal(age_due(r, 4, 0, &times, 2500, BEGAN * 9), AGE_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_range_whose_numbers_are_given_begins_and_ends_by_time),
		cmocka_unit_test(no_further_range_is_begun_when_there_are_too_many),
		cmocka_unit_test(a_range_that_was_passed_unseen_begins_too),
		cmocka_unit_test(a_range_closes_long_after_the_next_has_begun),
		cmocka_unit_test(
			a_closed_range_is_exported_and_leaves_when_it_was_readable_long_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
