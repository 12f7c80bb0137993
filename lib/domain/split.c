/* Why: the usual "double mean" draw gives every position the same mean, but first and last openers
 * other odds of being the luckiest. So all shares are drawn at once and then shuffled, which makes
 * the positions exchangeable, and everything comes from one seed by a derivation that anyone can
 * repeat (docs/fairness.md is the specification, byte by byte; keep the two in step).
 *
 * The draw takes 1 … floor(2 × rest / k) - 1 for the next of k shares, whose mean is that of what
 * is left. It needs no other bound: for k ≥ 2 and rest ≥ k the upper end never exceeds rest - (k -
 * 1), so each of the k - 1 others still gets its fen. */
#include "domain/split.h"
#include "base/keys.h"
#include "domain/split_draw.h"
#include <string.h>

enum { NUMBER_BYTES = 8, FIELDS_BYTES = 8 + 4 + 1 + 32, BLOCK_WORDS = 4 };

static void put_be(uint8_t *out, uint64_t v, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0; v >>= 8)
		out[i] = (uint8_t)v;
}

static uint64_t get_be64(const uint8_t *in)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | in[i];
	return v;
}

/* What the client chooses, in fixed lengths: covered by the stream and by the commitment. */
static void fields(const split_input *in, uint8_t out[FIELDS_BYTES])
{
	put_be(out, (uint64_t)in->total_fen, 8);
	put_be(out + 8, in->count, 4);
	out[12] = (uint8_t)in->kind;
	keys_sha256(in->nonce, in->nonce_len, out + 13);
}

static void stream_start(split_stream *s, const split_input *in)
{
	keys_hmac_start(in->seed, &s->key);
	fields(in, s->fields);
	s->block = 0;
	s->used = BLOCK_WORDS;
}

static uint64_t stream_word(split_stream *s)
{
	if (s->used == BLOCK_WORDS) {
		uint8_t counter[4];
		put_be(counter, s->block++, sizeof counter);
		const keys_part parts[] = {
			{"hb-split-1", 10}, {s->fields, FIELDS_BYTES}, {counter, sizeof counter}};
		keys_hmac_with(&s->key, parts, 3, s->bytes);
		s->used = 0;
	}
	return get_be64(s->bytes + (size_t)8 * s->used++);
}

/* Uniform on 0 … m - 1: words from the incomplete last round of m are rejected. */
static uint64_t uniform(split_stream *s, uint64_t m)
{
	const uint64_t incomplete = (0 - m) % m; /* 2^64 mod m */
	uint64_t word;
	do
		word = stream_word(s);
	while (word > UINT64_MAX - incomplete);
	return word % m;
}

void split_draw(const split_input *in, split_stream *s, int64_t *shares)
{
	BUG_ON(in->count < 1 || in->total_fen < (int64_t)in->count);
	stream_start(s, in);
	if (in->kind == SPLIT_EQUAL) {
		for (uint32_t i = 0; i < in->count; i++)
			shares[i] =
				in->total_fen / in->count + (i < in->total_fen % in->count ? 1 : 0);
		return;
	}
	uint64_t rest = (uint64_t)in->total_fen;
	for (uint32_t i = 0; i + 1 < in->count; i++) {
		const uint64_t upper = 2 * rest / (in->count - i) - 1;
		const uint64_t share = 1 + uniform(s, upper);
		shares[i] = (int64_t)share;
		rest -= share;
	}
	shares[in->count - 1] = (int64_t)rest;
}

void split_shuffle(split_stream *s, int64_t *shares, uint32_t count)
{
	for (uint32_t i = count - 1; i > 0; i--) {
		const uint64_t j = uniform(s, (uint64_t)i + 1);
		const int64_t kept = shares[i];
		shares[i] = shares[j];
		shares[j] = kept;
	}
}

void split_shares(const split_input *in, int64_t *shares)
{
	split_stream s;
	split_draw(in, &s, shares);
	split_shuffle(&s, shares, in->count);
	keys_hmac_wipe(&s.key);
}

void split_commitment(const split_input *in, uint8_t out[32])
{
	uint8_t text[11 + 32 + NUMBER_BYTES + FIELDS_BYTES] = "hb-commit-1";
	memcpy(text + 11, in->seed, 32);
	put_be(text + 11 + 32, in->packet_id, NUMBER_BYTES);
	fields(in, text + 11 + 32 + NUMBER_BYTES);
	keys_sha256(text, sizeof text, out);
}

void split_seed_hash(const uint8_t seed[32], uint8_t out[32])
{
	uint8_t text[9 + 32] = "hb-seed-1";
	memcpy(text + 9, seed, 32);
	keys_sha256(text, sizeof text, out);
}
