/* campaign: draws are what an independent script computes, odds are what they say, rounds touch
 * where they should. */
#include "domain/campaign.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"

#include <jansson.h>

#define KEY_2 "k2 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\n"

static keys_ring_t *seal;
static json_t *vectors;
static campaign_t campaign;

static keys_ring_t *load(const char *text)
{
	const char *dir = files_dir();
	keys_ring_t *r = NULL;

	assert_int_equal(keys_load(files_write(dir, "k", 0400, text), &r), ERR_OK);
	files_remove_dir(dir);
	return r;
}

static int64_t number(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static void draws_are_what_the_script_computes(void **state)
{
	size_t i, wins = 0;
	json_t *row;

	(void)state;
	json_array_foreach (json_object_get(vectors, "draws"), i, row) {
		campaign_round round = {.number = (uint32_t)number(row, "round")};
		token_win win = {0};
		bool won;
		campaign.number = (uint32_t)number(row, "campaign");
		assert_int_equal(campaign_draw(&campaign, seal, &round,
					 (uint64_t)number(row, "uid"), (unsigned)number(row, "k"),
					 (unsigned)number(row, "cell"), &won, &win),
			ERR_OK);
		assert_int_equal(won, number(row, "fen") > 0);
		if (!won)
			continue;
		wins++;
		char id[24];
		snprintf(id, sizeof(id), "%llu", (unsigned long long)win.subsidy_id);
		assert_int_equal(win.amount_fen, number(row, "fen"));
		assert_string_equal(id, json_string_value(json_object_get(row, "subsidy_id")));
		assert_string_equal(
			win.out_order_no, json_string_value(json_object_get(row, "out_order_no")));
	}
	assert_true(wins > 10);
}

static void a_rotated_ring_changes_no_result_and_one_without_the_key_says_so(void **state)
{
	const char *key = json_string_value(json_object_get(vectors, "key"));
	campaign_round round = {.number = 1};
	char text[256];
	token_win a, b;
	bool won_a, won_b;

	(void)state;
	snprintf(text, sizeof(text), KEY_2 "k1 %s\n", key);
	keys_ring_t *rotated = load(text), *dropped = load(KEY_2);
	for (unsigned k = 0; k < 100; k++) {
		assert_int_equal(
			campaign_draw(&campaign, seal, &round, 1001, k, 1, &won_a, &a), ERR_OK);
		assert_int_equal(
			campaign_draw(&campaign, rotated, &round, 1001, k, 1, &won_b, &b), ERR_OK);
		assert_int_equal(won_a, won_b);
		if (won_a)
			assert_int_equal(a.subsidy_id, b.subsidy_id);
	}
	assert_int_equal(campaign_draw(&campaign, dropped, &round, 1001, 0, 1, &won_a, &a),
		ERR_CONFIG_INVALID);
	keys_free(&rotated);
	keys_free(&dropped);
}

/* 200,000 draws: within five standard deviations, or the function is not what the odds say. */
static void odds_are_what_they_say(void **state)
{
	enum { USERS = 20000, DRAWS = 10 };
	unsigned count[CAMPAIGN_PRIZES_MAX] = {0};
	campaign_round round = {.number = 3};
	token_win win;
	bool won;

	(void)state;
	for (uint64_t uid = 1; uid <= USERS; uid++)
		for (unsigned k = 0; k < DRAWS; k++) {
			assert_int_equal(
				campaign_draw(&campaign, seal, &round, uid, k, 1, &won, &win),
				ERR_OK);
			for (unsigned i = 0; won && i < campaign.prizes; i++)
				count[i] += win.amount_fen == campaign.prize[i].amount_fen;
		}
	for (unsigned i = 0; i < campaign.prizes; i++) {
		double p = campaign.prize[i].ppm / 1e6, n = (double)USERS * DRAWS;
		double off = count[i] - n * p, variance = n * p * (1 - p);
		if (off * off > 25 * variance)
			fail_msg("prize %u: %u of %.0f, expected %.0f", i, count[i], n, n * p);
	}
}

static void rounds_begin_and_end_where_the_rules_say(void **state)
{
	campaign_t c = {.starts_at_ms = 100000,
		.ends_at_ms = 175000,
		.every_ms = 30000,
		.lasts_ms = 10000,
		.expiry_ms = 5000};
	const struct {
		int64_t at_ms;
		campaign_state state;
		uint32_t number;
		int64_t ends_at_ms;
	} rows[] = {
		{0, CAMPAIGN_NOT_STARTED, 1, 110000},
		{99999, CAMPAIGN_NOT_STARTED, 1, 110000},
		{100000, CAMPAIGN_RAINING, 1, 110000},
		{109999, CAMPAIGN_RAINING, 1, 110000},
		{110000, CAMPAIGN_NOT_STARTED, 2, 140000},
		{130000, CAMPAIGN_RAINING, 2, 140000},
		{160000, CAMPAIGN_RAINING, 3, 170000},
		{170000, CAMPAIGN_ENDED, 0, 0},
		{175000, CAMPAIGN_ENDED, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		campaign_round r = {0};
		assert_int_equal(campaign_at(&c, rows[i].at_ms, &r), rows[i].state);
		assert_int_equal(r.number, rows[i].number);
		assert_int_equal(r.ends_at_ms, rows[i].ends_at_ms);
	}
	campaign_round r;
	c.ends_at_ms = 165000;
	assert_int_equal(campaign_at(&c, 164999, &r), CAMPAIGN_RAINING);
	assert_int_equal(r.ends_at_ms, 165000);
	assert_int_equal(campaign_expiry(&c, &r), 160000 + 10000 + 5000);
	assert_false(campaign_round_of(&c, 4, &r));
	assert_false(campaign_round_of(&c, 0, &r));
	c.ends_at_ms = 0;
	c.lasts_ms = c.every_ms;
	assert_int_equal(campaign_at(&c, 129999, &r), CAMPAIGN_RAINING);
	assert_int_equal(r.number, 1);
	assert_int_equal(campaign_at(&c, 130000, &r), CAMPAIGN_RAINING);
	assert_int_equal(r.number, 2);
}

/* Rounds are numbers that strangers send; the last ones of a long one lie beyond all time. */
static void no_round_lies_beyond_what_can_be_counted_or_shown(void **state)
{
	const int64_t end_ms = INT64_C(253402300800000); /* of the year 9999 */
	campaign_t c = {.starts_at_ms = INT64_C(1767225600000),
		.every_ms = INT64_C(31536000000),
		.lasts_ms = INT64_C(31536000000),
		.expiry_ms = INT64_C(31536000000)};
	campaign_round r;
	uint32_t last = 0;

	(void)state;
	for (uint32_t number = 1; number < 10000; number++)
		if (campaign_round_of(&c, number, &r)) {
			assert_int_equal(number, last + 1);
			assert_true(campaign_expiry(&c, &r) < end_ms);
			last = number;
		}
	assert_in_range(last, 7000, 9000);
	/* Its start, counted in 64 bits, would be in August 2026. */
	assert_false(campaign_round_of(&c, 584942419, &r));
	assert_false(campaign_round_of(&c, CAMPAIGN_ROUND_MAX, &r));
	assert_int_equal(campaign_at(&c, end_ms - 1, &r), CAMPAIGN_ENDED);
	c.starts_at_ms = end_ms - 1000;
	assert_int_equal(campaign_at(&c, 0, &r), CAMPAIGN_ENDED);
}

static void what_is_written_is_read_and_nothing_else(void **state)
{
	campaign_t back = {0};
	char text[4096];
	jw_t w;

	(void)state;
	jw_start_fixed(&w, text, sizeof(text));
	campaign_write(&campaign, &w);
	size_t n = jw_end(&w);
	assert_true(n > 0);
	assert_int_equal(campaign_read(text, n, &back), ERR_OK);
	back.number = campaign.number;
	memcpy(back.name, campaign.name, sizeof(back.name));
	assert_memory_equal(&back, &campaign, sizeof(back));
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(campaign_read(text, cut, &back), ERR_CONFIG_INVALID);
	char *ppm = strstr(text, "\"ppm\":250000");
	assert_non_null(ppm);
	memcpy(ppm, "\"ppm\":999999", 12);
	assert_int_equal(campaign_read(text, n, &back), ERR_CONFIG_INVALID);
}

static void set_up(void)
{
	const char *srcdir = getenv("srcdir");
	char path[512], key[128];
	json_t *prize;
	size_t i;

	snprintf(path, sizeof(path), "%s/tests/vectors/rain.json", srcdir ? srcdir : ".");
	vectors = json_load_file(path, 0, NULL);
	if (!vectors)
		fail_msg("%s cannot be read", path);
	snprintf(key, sizeof(key), "k1 %s\n", json_string_value(json_object_get(vectors, "key")));
	seal = load(key);
	campaign = (campaign_t){.number = 1,
		.key_id = "k1",
		.every_ms = 1000,
		.lasts_ms = 1000,
		.expiry_ms = 1000,
		.lease_fen = 1000,
		.limit = 100};
	json_array_foreach (json_object_get(vectors, "prizes"), i, prize) {
		campaign.prize[i].amount_fen = number(prize, "fen");
		campaign.prize[i].ppm = (uint32_t)number(prize, "ppm");
		campaign.prizes++;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draws_are_what_the_script_computes),
		cmocka_unit_test(a_rotated_ring_changes_no_result_and_one_without_the_key_says_so),
		cmocka_unit_test(odds_are_what_they_say),
		cmocka_unit_test(rounds_begin_and_end_where_the_rules_say),
		cmocka_unit_test(no_round_lies_beyond_what_can_be_counted_or_shown),
		cmocka_unit_test(what_is_written_is_read_and_nothing_else),
	};

	assert_int_equal(keys_init(), ERR_OK);
	set_up();
	int failures = cmocka_run_group_tests_name("campaign", tests, NULL, NULL);
	keys_free(&seal);
	json_decref(vectors);
	return failures;
}
