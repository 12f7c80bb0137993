/* The one source of luck is a mac of four numbers under a subkey of its own; its first half decides
 * the prize and its second half names the subsidy, so nothing has to be remembered to repeat a draw.
 * The key is the one that the campaign was applied with, by name: rotating the ring changes what is
 * sealed from then on, and no result. */
#include "domain/campaign.h"

#include "base/logger.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define CAMPAIGN_PURPOSE "rain"
/* Numbers of leased blocks never reach 2^46; 2^63 / 100000 is the end (lib/domain/numbers.h). */
static const uint64_t seq_first = UINT64_C(1) << 46, seq_count = UINT64_C(20000000000000);

typedef struct {
	const char *name;
	size_t offset;
	int64_t least, most;
} number_row;

#define NUMBER(field, least, most)                                                                 \
	{                                                                                          \
#field, offsetof(campaign_t, field), least, most                                   \
	}
static const int64_t time_max = INT64_C(253402300799000);
/* All integers of the config but the limit, as int64_t. */
static const number_row numbers[] = {
	NUMBER(starts_at_ms, 0, INT64_C(253402300799000)),
	NUMBER(ends_at_ms, 0, INT64_C(253402300799000)),
	NUMBER(every_ms, 1000, INT64_C(31536000000)),
	NUMBER(lasts_ms, 1000, INT64_C(31536000000)),
	NUMBER(expiry_ms, 1000, INT64_C(31536000000)),
	NUMBER(lease_fen, 1, INT64_C(1000000000000)),
};
enum { NUMBERS = sizeof(numbers) / sizeof(*numbers) };

void campaign_write(const campaign_t *c, jw_t *w)
{
	jw_obj(w, NULL);
	jw_str(w, "key", c->key_id);
	for (unsigned i = 0; i < NUMBERS; i++)
		jw_i64(w, numbers[i].name,
			*(const int64_t *)(const void *)((const char *)c + numbers[i].offset));
	jw_i64(w, "limit", c->limit);
	jw_arr(w, "prizes");
	for (unsigned i = 0; i < c->prizes; i++) {
		jw_obj(w, NULL);
		jw_i64(w, "amount_fen", c->prize[i].amount_fen);
		jw_i64(w, "ppm", c->prize[i].ppm);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_obj_end(w);
}

static bool read_int(const json_t *o, const char *name, int64_t least, int64_t most, int64_t *out)
{
	const json_t *v = json_object_get(o, name);

	if (!json_is_integer(v) || json_integer_value(v) < least || json_integer_value(v) > most)
		return false;
	*out = json_integer_value(v);
	return true;
}

static bool read_prizes(const json_t *list, campaign_t *c)
{
	size_t n = json_array_size(list);
	int64_t ppm, all = 0;

	if (n < 1 || n > CAMPAIGN_PRIZES_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(list, i);
		if (!read_int(
			    o, "amount_fen", 1, INT64_C(1000000000000), &c->prize[i].amount_fen) ||
			!read_int(o, "ppm", 1, CAMPAIGN_PPM, &ppm))
			return false;
		c->prize[i].ppm = (uint32_t)ppm;
		all += ppm;
	}
	c->prizes = (unsigned)n;
	return all <= CAMPAIGN_PPM;
}

static bool read_all(const json_t *o, campaign_t *c)
{
	const char *key = json_string_value(json_object_get(o, "key"));
	int64_t limit;

	if (!key || strlen(key) >= sizeof(c->key_id))
		return false;
	strcpy(c->key_id, key);
	for (unsigned i = 0; i < NUMBERS; i++)
		if (!read_int(o, numbers[i].name, numbers[i].least, numbers[i].most,
			    (int64_t *)(void *)((char *)c + numbers[i].offset)))
			return false;
	if (!read_int(o, "limit", 1, CAMPAIGN_LIMIT_MAX, &limit) || c->lasts_ms > c->every_ms)
		return false;
	c->limit = (unsigned)limit;
	return read_prizes(json_object_get(o, "prizes"), c);
}

err_t campaign_read(const char *json, size_t n, campaign_t *c)
{
	json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
	bool ok = json_is_object(o) && read_all(o, c);

	json_decref(o);
	return ok ? ERR_OK : ERR_CONFIG_INVALID;
}

bool campaign_round_of(const campaign_t *c, uint32_t number, campaign_round *round)
{
	/* Compared before anything is multiplied: the last rounds of a long one are beyond 64 bits. */
	const int64_t room = time_max - c->starts_at_ms - c->lasts_ms - c->expiry_ms;
	if (number == 0 || number > CAMPAIGN_ROUND_MAX || room < 0 ||
		number - 1 > room / c->every_ms)
		return false;
	int64_t start = c->starts_at_ms + (int64_t)(number - 1) * c->every_ms;
	if (c->ends_at_ms && start >= c->ends_at_ms)
		return false;
	*round = (campaign_round){number, start, start + c->lasts_ms};
	if (c->ends_at_ms && round->ends_at_ms > c->ends_at_ms)
		round->ends_at_ms = c->ends_at_ms;
	return true;
}

campaign_state campaign_at(const campaign_t *c, int64_t now_ms, campaign_round *round)
{
	int64_t past = now_ms - c->starts_at_ms;
	campaign_round r;

	if (c->ends_at_ms && now_ms >= c->ends_at_ms)
		return CAMPAIGN_ENDED;
	int64_t number = past < 0 ? 1 : past / c->every_ms + 1;
	if (number > CAMPAIGN_ROUND_MAX || !campaign_round_of(c, (uint32_t)number, &r))
		return CAMPAIGN_ENDED;
	if (now_ms >= r.ends_at_ms && !campaign_round_of(c, (uint32_t)number + 1, &r))
		return CAMPAIGN_ENDED;
	*round = r;
	return now_ms < r.starts_at_ms ? CAMPAIGN_NOT_STARTED : CAMPAIGN_RAINING;
}

/* From where the round would end without ends_at, so that moving that changes no win. */
int64_t campaign_expiry(const campaign_t *c, const campaign_round *round)
{
	return round->starts_at_ms + c->lasts_ms + c->expiry_ms;
}

static void put_u64(uint8_t *to, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		to[i] = (uint8_t)v;
}

static uint64_t get_u64(const uint8_t *from)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | from[i];
	return v;
}

static int64_t prize_at(const campaign_t *c, uint32_t ppm)
{
	for (unsigned i = 0; i < c->prizes; i++) {
		if (ppm < c->prize[i].ppm)
			return c->prize[i].amount_fen;
		ppm -= c->prize[i].ppm;
	}
	return 0;
}

err_t campaign_draw(const campaign_t *c, const keys_ring_t *seal, const campaign_round *round,
	uint64_t uid, unsigned k, unsigned cell_number, bool *won, token_win *win)
{
	uint8_t in[32], out[16];
	const keys_part part = {in, sizeof(in)};

	put_u64(in, c->number);
	put_u64(in + 8, round->number);
	put_u64(in + 16, uid);
	put_u64(in + 24, k);
	if (!keys_tag_as(seal, c->key_id, CAMPAIGN_PURPOSE, &part, 1, out))
		return ERR_CONFIG_INVALID;
	int64_t fen = prize_at(c, (uint32_t)(get_u64(out) % CAMPAIGN_PPM));
	*won = fen > 0;
	if (!*won)
		return ERR_OK;
	*win = (token_win){
		.uid = uid,
		.subsidy_id = (seq_first + get_u64(out + 8) % seq_count) * 100000 +
			      (uint64_t)cell_number * 1000 + uid % 1000,
		.campaign = c->number,
		.amount_fen = fen,
		.expires_at_ms = campaign_expiry(c, round),
	};
	snprintf(win->out_order_no, sizeof(win->out_order_no),
		"%" PRIu32 ".%" PRIu32 ".%u.%" PRIu64, c->number, round->number, k, uid);
	return ERR_OK;
}
