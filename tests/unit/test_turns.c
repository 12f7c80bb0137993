/* Requests of one interface that are worked on at once: the others wait in order, not for ever, and do not
 * touch other interfaces. */
#include "fcgi/turns.h"
#include "tests/unit/unit.h"

#include <string.h>

enum { CONNECTIONS = 12, THREADS = 48, PLACES = 4, MANY = 4096, NOW = 1000000, WAIT_MS = 2000 };
static const routes_id DETAILS = ROUTES_ID_packet_claims, COVER = ROUTES_ID_packet_cover;

static http_req_t *resumed[MANY * 2];
static unsigned resumes;

static void note(http_req_t *r)
{
	resumed[resumes++] = r;
}

static int start(void **state)
{
	char why[256];
	conf_t *c;

	if (conf_load(NULL, why, &c) != ERR_OK)
		return 1;
	*state = turns_new(c, THREADS, CONNECTIONS, note);
	conf_free(&c);
	resumes = 0;
	return 0;
}

static int end(void **state)
{
	turns_t *t = *state;

	turns_free(&t);
	assert_null(t);
	return 0;
}

static void fill(turns_t *t)
{
	turns_ticket none;

	for (unsigned i = 0; i < PLACES; i++)
		assert_int_equal(turns_begin(t, DETAILS, NOW, &none), TURNS_NOW);
}

static void who_waits_is_resumed_in_order(void **state)
{
	http_req_t r[3];
	turns_ticket w[3];

	fill(*state);
	for (unsigned i = 0; i < 3; i++) {
		w[i].r = &r[i];
		assert_int_equal(turns_begin(*state, DETAILS, NOW + i, &w[i]), TURNS_LATER);
	}
	assert_int_equal(resumes, 0);
	for (unsigned i = 0; i < 3; i++) {
		turns_end(*state, DETAILS, NOW + 10);
		assert_int_equal(resumes, i + 1);
		assert_ptr_equal(resumed[i], &r[i]);
		assert_true(w[i].came);
	}
	/* These three and one of the first still work: one place is free. */
	turns_end(*state, DETAILS, NOW + 10);
	assert_int_equal(turns_begin(*state, DETAILS, NOW, &w[0]), TURNS_NOW);
	assert_int_equal(turns_begin(*state, DETAILS, NOW, &w[0]), TURNS_LATER);
}

static void other_interfaces_have_their_own(void **state)
{
	turns_ticket w;

	fill(*state);
	assert_int_equal(turns_begin(*state, COVER, NOW, &w), TURNS_NOW);
	assert_false(turns_bound(*state, ROUTES_ID_packet_claim));
	assert_true(turns_bound(*state, DETAILS));
}

static void who_waited_too_long_is_sent_away_by_the_next(void **state)
{
	http_req_t r[3];
	turns_ticket w[3] = {{.r = &r[0]}, {.r = &r[1]}, {.r = &r[2]}};

	fill(*state);
	assert_int_equal(turns_begin(*state, DETAILS, NOW, &w[0]), TURNS_LATER);
	assert_int_equal(turns_begin(*state, DETAILS, NOW + WAIT_MS, &w[1]), TURNS_LATER);
	assert_int_equal(resumes, 0);
	assert_int_equal(turns_begin(*state, DETAILS, NOW + WAIT_MS + 1, &w[2]), TURNS_LATER);
	assert_int_equal(resumes, 1);
	assert_ptr_equal(resumed[0], &r[0]);
	assert_false(w[0].came);
	turns_end(*state, DETAILS, NOW + 2 * WAIT_MS + 1);
	assert_int_equal(resumes, 3); /* one sent away, one whose turn it is */
	assert_false(w[1].came);
	assert_true(w[2].came);
}

static void too_many_do_not_even_wait(void **state)
{
	static turns_ticket w[MANY + 1];
	static http_req_t r;

	fill(*state);
	for (unsigned i = 0; i < MANY; i++) {
		w[i].r = &r;
		assert_int_equal(turns_begin(*state, DETAILS, NOW, &w[i]), TURNS_LATER);
	}
	assert_int_equal(turns_begin(*state, DETAILS, NOW, &w[MANY]), TURNS_NEVER);
	turns_end(*state, DETAILS, NOW);
	assert_int_equal(turns_begin(*state, DETAILS, NOW, &w[MANY]), TURNS_LATER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_waits_is_resumed_in_order, start, end),
		cmocka_unit_test_setup_teardown(other_interfaces_have_their_own, start, end),
		cmocka_unit_test_setup_teardown(
			who_waited_too_long_is_sent_away_by_the_next, start, end),
		cmocka_unit_test_setup_teardown(too_many_do_not_even_wait, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
