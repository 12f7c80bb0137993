/* Why: the shares are money and a promise of fairness. The vectors come from a second
 * implementation (tests/vectors/make_fairness.py); the statistics compare the positions with each
 * other and must reject the draw that is not shuffled, or they would prove nothing. */
#include "base/keys.h"
#include "base/parse.h"
#include "domain/split_draw.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { DRAWS = 12000, POSITIONS_MAX = 50, Z_LIMIT = 6 };

static uint8_t master[32]; /* printed, or given in HB_TEST_SEED */

static void seed_of(uint64_t draw, uint8_t seed[32])
{
	uint8_t text[32 + sizeof draw];
	memcpy(text, master, 32);
	memcpy(text + 32, &draw, sizeof draw);
	keys_sha256(text, sizeof text, seed);
}

static split_input input_of(uint64_t draw, split_kind kind, int64_t total, uint32_t count)
{
	split_input in = {.packet_id = 100001001,
		.total_fen = total,
		.count = count,
		.kind = kind,
		.nonce = "n",
		.nonce_len = 1};
	seed_of(draw, in.seed);
	return in;
}

static void assert_exact(const split_input *in)
{
	int64_t *shares = calloc(in->count, sizeof *shares);
	split_shares(in, shares);
	int64_t rest = in->total_fen;
	for (uint32_t i = 0; i < in->count; i++) {
		assert_true(shares[i] >= 1);
		assert_true(shares[i] <= rest);
		rest -= shares[i];
	}
	assert_int_equal(rest, 0);
	free(shares);
}

static void every_share_is_a_fen_and_the_sum_is_exact(void **state)
{
	(void)state;
	uint64_t draw = 0;
	for (uint32_t n = 2; n <= 50; n++) {
		const int64_t m = n;
		const int64_t totals[] = {m, m + 1, 2 * m - 1, 2 * m, 3 * m + 1, 100 * m, 99991};
		for (size_t t = 0; t < sizeof totals / sizeof *totals; t++) {
			for (unsigned i = 0; i < 10; i++) {
				const split_input in = input_of(draw++, SPLIT_LUCKY, totals[t], n);
				assert_exact(&in);
			}
			const split_input in = input_of(draw++, SPLIT_EQUAL, totals[t], n);
			assert_exact(&in);
		}
	}
}

static void the_edges_are_exact(void **state)
{
	(void)state;
	static const struct {
		int64_t total;
		uint32_t count;
	} edge[] = {{1, 1}, {200000, 1}, {2000, 2000}, {200000, 2000}, {100000, 100000},
		{INT64_MAX, 1}, {INT64_MAX, 2}, {INT64_MAX, 3}, {INT64_MAX, 2000}};
	for (unsigned i = 0; i < sizeof edge / sizeof *edge; i++)
		for (int k = SPLIT_LUCKY; k <= SPLIT_EQUAL; k++) {
			const split_input in =
				input_of(i, (split_kind)k, edge[i].total, edge[i].count);
			assert_exact(&in);
		}
}

static void equal_shares_differ_by_one_fen_at_most(void **state)
{
	(void)state;
	const split_input in = input_of(1, SPLIT_EQUAL, 10007, 10);
	int64_t shares[10];
	split_shares(&in, shares);
	unsigned more = 0;
	for (unsigned i = 0; i < 10; i++) {
		assert_true(shares[i] == 1000 || shares[i] == 1001);
		more += shares[i] == 1001;
	}
	assert_int_equal(more, 7);
}

static void every_field_changes_the_commitment_and_all_but_the_number_the_shares(void **state)
{
	(void)state;
	const split_input base = input_of(7, SPLIT_LUCKY, 100000, 20);
	split_input other[6];
	for (unsigned i = 0; i < 6; i++)
		other[i] = base;
	other[0].packet_id++;
	other[1].seed[31] ^= 1;
	other[2].total_fen++;
	other[3].count--;
	other[4].kind = SPLIT_EQUAL;
	other[5].nonce = "m";
	int64_t shares[20], changed[20];
	uint8_t commitment[32], moved[32];
	split_shares(&base, shares);
	split_commitment(&base, commitment);
	for (unsigned i = 0; i < 6; i++) {
		split_shares(&other[i], changed);
		split_commitment(&other[i], moved);
		assert_int_equal(memcmp(shares, changed, 19 * sizeof *shares) == 0, i == 0);
		assert_memory_not_equal(commitment, moved, 32);
	}
}

typedef void (*draw_fn)(const split_input *in, int64_t *shares);

static void draw_unshuffled(const split_input *in, int64_t *shares)
{
	split_stream s;
	split_draw(in, &s, shares);
}

typedef struct {
	double sum[POSITIONS_MAX], square[POSITIONS_MAX], fourth[POSITIONS_MAX],
		luckiest[POSITIONS_MAX];
} tally_t;

static void tally_draw(tally_t *t, const int64_t *shares, uint32_t n, double mean)
{
	int64_t most = 0;
	unsigned winners = 0;
	for (uint32_t i = 0; i < n; i++) {
		const double d = (double)shares[i] - mean;
		t->sum[i] += d;
		t->square[i] += d * d;
		t->fourth[i] += d * d * d * d;
		winners = shares[i] > most ? 1 : winners + (shares[i] == most);
		most = shares[i] > most ? shares[i] : most;
	}
	for (uint32_t i = 0; i < n; i++)
		if (shares[i] == most)
			t->luckiest[i] += 1.0 / winners;
}

typedef struct {
	double mean, spread, luck; /* the largest |z| of any position */
} deviation;

static double larger(double a, double b)
{
	return fabs(b) > a ? fabs(b) : a;
}

/* How far the positions are from each other, in standard errors. */
static deviation measure(draw_fn draw, split_kind kind, int64_t total, uint32_t n)
{
	tally_t t = {0};
	const double mean = (double)total / n;
	for (uint64_t i = 0; i < DRAWS; i++) {
		const split_input in = input_of(i + 1000, kind, total, n);
		int64_t shares[POSITIONS_MAX];
		draw(&in, shares);
		tally_draw(&t, shares, n, mean);
	}
	double square = 0, fourth = 0;
	for (uint32_t i = 0; i < n; i++) {
		square += t.square[i] / n / DRAWS;
		fourth += t.fourth[i] / n / DRAWS;
	}
	deviation z = {0};
	for (uint32_t i = 0; i < n; i++) {
		const double chance = 1.0 / n;
		z.mean = larger(z.mean, t.sum[i] / DRAWS / sqrt(square / DRAWS));
		z.spread = larger(z.spread,
			(t.square[i] / DRAWS - square) / sqrt((fourth - square * square) / DRAWS));
		z.luck = larger(z.luck,
			(t.luckiest[i] / DRAWS - chance) / sqrt(chance * (1 - chance) / DRAWS));
	}
	print_message(
		"# total %lld, %u shares: mean %.2f, spread %.2f, luck %.2f standard errors\n",
		(long long)total, n, z.mean, z.spread, z.luck);
	return z;
}

static void all_positions_are_alike(void **state)
{
	(void)state;
	static const struct {
		int64_t total;
		uint32_t n;
	} lot[] = {{10000, 2}, {10000, 3}, {10000, 10}, {25, 10}, {66670, 50}};
	for (unsigned i = 0; i < sizeof lot / sizeof *lot; i++) {
		const deviation z = measure(split_shares, SPLIT_LUCKY, lot[i].total, lot[i].n);
		assert_true(z.mean < Z_LIMIT);
		assert_true(z.spread < Z_LIMIT);
		assert_true(z.luck < Z_LIMIT);
	}
}

static void the_odd_fen_of_equal_shares_fall_anywhere(void **state)
{
	(void)state;
	const deviation z = measure(split_shares, SPLIT_EQUAL, 1003, 10);
	assert_true(z.mean < Z_LIMIT && z.luck < Z_LIMIT);
	const deviation unshuffled = measure(draw_unshuffled, SPLIT_EQUAL, 1003, 10);
	assert_true(unshuffled.mean > Z_LIMIT);
}

static void the_same_test_rejects_the_unshuffled_draw(void **state)
{
	(void)state;
	const deviation ten = measure(draw_unshuffled, SPLIT_LUCKY, 10000, 10);
	assert_true(ten.spread > Z_LIMIT);
	const deviation fifty = measure(draw_unshuffled, SPLIT_LUCKY, 66670, 50);
	assert_true(fifty.spread > Z_LIMIT);
	assert_true(fifty.luck > Z_LIMIT);
}

/* A draw on 1 … 2 × mean takes half a fen too much each time; of 2.5 fen each, the last one would
 * then get 1.9 on average. */
static void small_shares_do_not_starve_the_last_one_drawn(void **state)
{
	(void)state;
	int64_t last = 0;
	for (uint64_t i = 0; i < DRAWS; i++) {
		const split_input in = input_of(i, SPLIT_LUCKY, 25, 10);
		int64_t shares[10];
		draw_unshuffled(&in, shares);
		last += shares[9];
	}
	assert_true((double)last / DRAWS > 2.5);
}

static void vector_check(json_t *v)
{
	const char *seed, *packet, *total, *split, *nonce, *seed_hash, *commitment;
	json_t *shares;
	int count;
	assert_int_equal(
		json_unpack(v, "{s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:o}", "seed", &seed, "packet_id",
			&packet, "total", &total, "count", &count, "split", &split, "nonce", &nonce,
			"seed_hash", &seed_hash, "commitment", &commitment, "shares", &shares),
		0);
	split_input in = {.packet_id = strtoull(packet, NULL, 10),
		.total_fen = strtoll(total, NULL, 10),
		.count = (uint32_t)count,
		.kind = strcmp(split, "lucky") == 0 ? SPLIT_LUCKY : SPLIT_EQUAL,
		.nonce = nonce,
		.nonce_len = strlen(nonce)};
	assert_true(parse_hex(seed, 32, in.seed));
	uint8_t hash[32];
	char hex[65];
	split_seed_hash(in.seed, hash);
	parse_to_hex(hash, 32, hex);
	assert_string_equal(hex, seed_hash);
	split_commitment(&in, hash);
	parse_to_hex(hash, 32, hex);
	assert_string_equal(hex, commitment);
	int64_t *drawn = calloc(in.count, sizeof *drawn);
	split_shares(&in, drawn);
	assert_int_equal(json_array_size(shares), in.count);
	for (uint32_t i = 0; i < in.count; i++)
		assert_int_equal(
			drawn[i], strtoll(json_string_value(json_array_get(shares, i)), NULL, 10));
	free(drawn);
}

static void the_vectors_of_the_second_implementation_agree(void **state)
{
	(void)state;
	const char *top = getenv("srcdir");
	char path[4096];
	snprintf(path, sizeof path, "%s/tests/vectors/fairness.json", top ? top : ".");
	json_error_t why;
	json_t *file = json_load_file(path, 0, &why);
	assert_non_null(file);
	json_t *vectors = json_object_get(file, "vectors");
	assert_true(json_array_size(vectors) >= 16);
	for (size_t i = 0; i < json_array_size(vectors); i++)
		vector_check(json_array_get(vectors, i));
	json_decref(file);
}

static int start(void **state)
{
	(void)state;
	if (keys_init() != ERR_OK)
		return -1;
	const char *given = getenv("HB_TEST_SEED");
	if (!given || !parse_hex(given, sizeof master, master))
		keys_random(master, sizeof master);
	char hex[65];
	parse_to_hex(master, sizeof master, hex);
	print_message("# HB_TEST_SEED=%s\n", hex);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_share_is_a_fen_and_the_sum_is_exact),
		cmocka_unit_test(the_edges_are_exact),
		cmocka_unit_test(equal_shares_differ_by_one_fen_at_most),
		cmocka_unit_test(
			every_field_changes_the_commitment_and_all_but_the_number_the_shares),
		cmocka_unit_test(all_positions_are_alike),
		cmocka_unit_test(the_odd_fen_of_equal_shares_fall_anywhere),
		cmocka_unit_test(the_same_test_rejects_the_unshuffled_draw),
		cmocka_unit_test(small_shares_do_not_starve_the_last_one_drawn),
		cmocka_unit_test(the_vectors_of_the_second_implementation_agree),
	};
	return cmocka_run_group_tests_name("split", tests, start, NULL);
}
