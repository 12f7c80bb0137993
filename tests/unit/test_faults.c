/* Faults strike as often as told, and the same orders again with the same seed. */
#include "sim/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ORDERS = 2000, FIRST = 7001 };

static unsigned strikes(uint64_t seed, const char *json, char *pattern)
{
	char why[128];
	faults_t *f = faults_new(seed);
	unsigned hits = 0;
	assert_int_equal(faults_apply(f, json, strlen(json), why), ERR_OK);
	for (unsigned i = 0; i < ORDERS; i++) {
		bool hit = faults_hit(f, FINANCE_TRANSFER, FAULTS_TIMEOUT, FIRST + i);
		pattern[i] = hit ? '1' : '0';
		hits += hit;
	}
	faults_free(&f);
	return hits;
}

#define TIMEOUT_30 "{\"transfer\":{\"timeout_after_success\":30}}"

static void probability_is_kept_and_the_seed_repeats_it(void **state)
{
	static char one[ORDERS], two[ORDERS], other[ORDERS];
	(void)state;
	unsigned hits = strikes(5, TIMEOUT_30, one);
	assert_in_range(hits, ORDERS * 25 / 100, ORDERS * 35 / 100);
	assert_int_equal(strikes(5, TIMEOUT_30, two), hits);
	assert_memory_equal(one, two, ORDERS);
	strikes(6, TIMEOUT_30, other);
	assert_memory_not_equal(one, other, ORDERS);
	assert_int_equal(strikes(5, "{\"all\":{\"timeout_after_success\":100}}", one), ORDERS);
	assert_int_equal(strikes(5, "{\"refund\":{\"timeout_after_success\":100}}", one), 0);
}

static void an_order_is_not_struck_for_ever(void **state)
{
	faults_t *f = faults_new(1);
	char why[128];
	(void)state;
	assert_int_equal(faults_set(f, "transfer.timeout_after_success=90", why), ERR_OK);
	for (unsigned i = 0; i < 50; i++) {
		unsigned tries = 0;
		while (faults_hit(f, FINANCE_TRANSFER, FAULTS_TIMEOUT, FIRST + i))
			assert_true(++tries < 500);
	}
	faults_free(&f);
}

static void a_mark_says_the_same_however_often_it_is_asked(void **state)
{
	faults_t *f = faults_new(1);
	char why[128];
	unsigned marked = 0;
	(void)state;
	assert_int_equal(faults_set(f, "refund.statement_missing=30", why), ERR_OK);
	for (unsigned i = 0; i < ORDERS; i++) {
		bool first = faults_marks(f, FINANCE_REFUND, FAULTS_STATEMENT_MISSING, FIRST + i);
		marked += first;
		for (unsigned again = 0; again < 5; again++)
			assert_int_equal(faults_marks(f, FINANCE_REFUND, FAULTS_STATEMENT_MISSING,
						 FIRST + i),
				first);
		assert_false(faults_marks(f, FINANCE_REFUND, FAULTS_STATEMENT_TWICE, FIRST + i));
	}
	assert_in_range(marked, ORDERS * 25 / 100, ORDERS * 35 / 100);
	faults_free(&f);
}

static void seed_in_the_change_starts_over(void **state)
{
	static char one[ORDERS], two[ORDERS];
	(void)state;
	strikes(9, TIMEOUT_30, one);
	strikes(1, "{\"seed\":9,\"transfer\":{\"timeout_after_success\":30}}", two);
	assert_memory_equal(one, two, ORDERS);
}

static void reset_brings_back_the_defaults(void **state)
{
	faults_t *f = faults_new(1);
	char why[128];
	(void)state;
	assert_int_equal(faults_set(f, "all.settle_ms=777", why), ERR_OK);
	assert_int_equal(faults_get(f, FINANCE_REFUND, FAULTS_SETTLE_MS), 777);
	assert_int_equal(faults_get(f, FINANCE_TRANSFER, FAULTS_SETTLE_MS), 777);
	const char *json = "{\"reset\":true,\"refund\":{\"outage\":3}}";
	assert_int_equal(faults_apply(f, json, strlen(json), why), ERR_OK);
	assert_int_equal(faults_get(f, FINANCE_REFUND, FAULTS_SETTLE_MS), 50);
	assert_int_equal(faults_get(f, FINANCE_TRANSFER, FAULTS_SETTLE_MS), 0);
	assert_int_equal(faults_get(f, FINANCE_REFUND, FAULTS_OUTAGE), 3);
	faults_free(&f);
}

static void a_bad_change_changes_nothing(void **state)
{
	static const char *const bad[] = {"", "[]", "{\"transfer\":{\"refuse\":101}}",
		"{\"transfer\":{\"refuse\":-1}}", "{\"transfer\":{\"refuse\":\"5\"}}",
		"{\"transfer\":{\"refuze\":5}}", "{\"transfers\":{\"refuse\":5}}",
		"{\"transfer\":5}", "{\"seed\":-1}", "{\"seed\":\"1\"}", "{\"reset\":1}",
		"{\"payment\":{\"refuse\":5},\"nobody\":{\"refuse\":5}}"};
	static const char *const bad_text[] = {"", "refuse=5", "transfer.refuse", "all.refuse=101",
		"all.refuse=x", "nobody.refuse=5", "transfer.refuse=-5"};
	faults_t *f = faults_new(1);
	char why[128];
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (faults_apply(f, bad[i], strlen(bad[i]), why) == ERR_OK)
			fail_msg("%s", bad[i]);
	for (size_t i = 0; i < sizeof bad_text / sizeof bad_text[0]; i++)
		assert_int_equal(faults_set(f, bad_text[i], why), ERR_INVALID_FIELD);
	for (finance_kind k = FINANCE_PAYMENT; k <= FINANCE_WITHDRAWAL; k++)
		assert_int_equal(faults_get(f, k, FAULTS_REFUSE), 0);
	faults_free(&f);
}

static void what_is_shown_can_be_sent_back(void **state)
{
	faults_t *f = faults_new(42), *g = faults_new(1);
	arena_t *a = arena_new(65536);
	char why[128];
	jw_t w;
	(void)state;
	assert_int_equal(faults_set(f, "refund.delay_ms=12", why), ERR_OK);
	jw_start(&w, a);
	faults_write(f, &w);
	size_t n = jw_end(&w);
	assert_int_equal(faults_apply(g, w.buf, n, why), ERR_OK);
	assert_int_equal(faults_get(g, FINANCE_REFUND, FAULTS_DELAY_MS), 12);
	assert_non_null(strstr(w.buf, "\"seed\":42"));
	arena_free(&a);
	faults_free(&f);
	faults_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probability_is_kept_and_the_seed_repeats_it),
		cmocka_unit_test(an_order_is_not_struck_for_ever),
		cmocka_unit_test(a_mark_says_the_same_however_often_it_is_asked),
		cmocka_unit_test(seed_in_the_change_starts_over),
		cmocka_unit_test(reset_brings_back_the_defaults),
		cmocka_unit_test(a_bad_change_changes_nothing),
		cmocka_unit_test(what_is_shown_can_be_sent_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
