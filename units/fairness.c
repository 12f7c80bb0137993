/* hbctl fairness: recomputes the shares of a packet from its revealed seed, as docs/fairness.md
 * says; needs no configuration and no server, so that anybody can run it. */
#include "units/verb.h"

#include "base/parse.h"
#include "domain/split.h"
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USAGE                                                                                      \
	"fairness verify --seed HEX --packet N --total FEN --count N --split lucky|equal "         \
	"[--nonce TEXT] [--commitment HEX] [--seed-hash HEX] | --vectors FILE"

enum { COUNT_MAX = 100000, NONCE_MAX_BYTES = 64, HEX_BYTES = 65 };

/* What is given, as text; from the command line or from a vector. */
typedef struct {
	const char *seed, *packet, *total, *count, *split, *nonce, *commitment, *seed_hash;
	const char *vectors;
} given_t;

typedef struct {
	split_input in;
	int64_t *shares;
	char seed_hash[HEX_BYTES], commitment[HEX_BYTES];
} result_t;

static bool read_input(const given_t *g, split_input *in)
{
	uint64_t total, count;
	if (!g->seed || !g->packet || !g->total || !g->count || !g->split ||
		strlen(g->seed) != 64 || !parse_hex(g->seed, sizeof in->seed, in->seed) ||
		!parse_u64(g->packet, INT64_MAX, &in->packet_id) ||
		!parse_u64(g->total, INT64_MAX, &total) || !parse_u64(g->count, COUNT_MAX, &count))
		return false;
	in->kind = !strcmp(g->split, "lucky") ? SPLIT_LUCKY : SPLIT_EQUAL;
	if (in->kind == SPLIT_EQUAL && strcmp(g->split, "equal") != 0)
		return false;
	in->total_fen = (int64_t)total;
	in->count = (uint32_t)count;
	in->nonce = g->nonce ? g->nonce : "";
	in->nonce_len = strlen(in->nonce);
	return count >= 1 && total >= count && in->nonce_len <= NONCE_MAX_BYTES;
}

static void compute(result_t *r)
{
	uint8_t hash[32];
	r->shares = calloc(r->in.count, sizeof *r->shares);
	BUG_ON(!r->shares);
	split_shares(&r->in, r->shares);
	split_seed_hash(r->in.seed, hash);
	parse_to_hex(hash, sizeof hash, r->seed_hash);
	split_commitment(&r->in, hash);
	parse_to_hex(hash, sizeof hash, r->commitment);
}

/* What is not given is not compared. */
static bool same_hex(const char *given, const char *computed)
{
	return !given || !strcasecmp(given, computed);
}

static void print_line(const char *what, const char *given, const char *computed)
{
	printf("%s %s\n", what, !given ? computed : same_hex(given, computed) ? "ok" : "MISMATCH");
}

static void print_json(const result_t *r, bool ok)
{
	json_t *shares = json_array();
	for (uint32_t i = 0; i < r->in.count; i++)
		json_array_append_new(shares, json_integer(r->shares[i]));
	json_t *all = json_pack("{s:s,s:s,s:b,s:o}", "seed_hash", r->seed_hash, "commitment",
		r->commitment, "ok", ok, "shares", shares);
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

static int verify_one(const given_t *g)
{
	result_t r = {0};
	if (!read_input(g, &r.in))
		return verb_usage(USAGE);
	compute(&r);
	const bool ok =
		same_hex(g->commitment, r.commitment) && same_hex(g->seed_hash, r.seed_hash);
	if (verb_json()) {
		print_json(&r, ok);
	} else {
		for (uint32_t i = 0; i < r.in.count; i++)
			printf("%u\t%lld\n", i, (long long)r.shares[i]);
		print_line("seed hash", g->seed_hash, r.seed_hash);
		print_line("commitment", g->commitment, r.commitment);
	}
	free(r.shares);
	return ok ? VERB_DONE : VERB_FAILED;
}

static bool vector_ok(const json_t *v)
{
	char count[16];
	const json_t *shares = json_object_get(v, "shares");
	snprintf(count, sizeof count, "%lld",
		(long long)json_integer_value(json_object_get(v, "count")));
	const given_t g = {.seed = json_string_value(json_object_get(v, "seed")),
		.packet = json_string_value(json_object_get(v, "packet_id")),
		.total = json_string_value(json_object_get(v, "total")),
		.count = count,
		.split = json_string_value(json_object_get(v, "split")),
		.nonce = json_string_value(json_object_get(v, "nonce")),
		.commitment = json_string_value(json_object_get(v, "commitment")),
		.seed_hash = json_string_value(json_object_get(v, "seed_hash"))};
	result_t r = {0};
	if (!g.commitment || !g.seed_hash || !read_input(&g, &r.in) ||
		json_array_size(shares) != r.in.count)
		return false;
	compute(&r);
	bool ok = same_hex(g.commitment, r.commitment) && same_hex(g.seed_hash, r.seed_hash);
	for (uint32_t i = 0; i < r.in.count && ok; i++) {
		const char *share = json_string_value(json_array_get(shares, i));
		uint64_t fen;
		ok = share && parse_u64(share, INT64_MAX, &fen) && fen == (uint64_t)r.shares[i];
	}
	free(r.shares);
	return ok;
}

static int verify_vectors(const char *path)
{
	json_error_t why;
	json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	const json_t *vectors = json_object_get(file, "vectors");
	const size_t count = json_array_size(vectors);
	size_t bad = 0;
	if (count == 0) {
		fprintf(stderr, "hbctl: %s: %s\n", path, file ? "no vectors" : why.text);
		json_decref(file);
		return VERB_FAILED;
	}
	for (size_t i = 0; i < count; i++)
		if (!vector_ok(json_array_get(vectors, i))) {
			printf("vector %zu MISMATCH\n", i);
			bad++;
		}
	printf("%zu of %zu vectors ok\n", count - bad, count);
	json_decref(file);
	return bad ? VERB_FAILED : VERB_DONE;
}

int fairness_verb(int argc, char **argv)
{
	given_t g = {0};
	const struct {
		const char *name, **into;
	} row[] = {{"seed", &g.seed}, {"packet", &g.packet}, {"total", &g.total},
		{"count", &g.count}, {"split", &g.split}, {"nonce", &g.nonce},
		{"commitment", &g.commitment}, {"seed-hash", &g.seed_hash},
		{"vectors", &g.vectors}};
	enum { ROWS = sizeof row / sizeof *row };
	struct option option[ROWS + 1] = {0};
	for (unsigned i = 0; i < ROWS; i++)
		option[i] = (struct option){row[i].name, required_argument, NULL, (int)i};
	int at;
	optind = 0;
	while ((at = getopt_long(argc, argv, "+", option, NULL)) != -1) {
		if (at == '?')
			return verb_usage(USAGE);
		*row[at].into = optarg;
	}
	if (optind != argc)
		return verb_usage(USAGE);
	return g.vectors ? verify_vectors(g.vectors) : verify_one(&g);
}
