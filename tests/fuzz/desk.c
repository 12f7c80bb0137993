/* Amounts are compared with the limits as the default configuration has them, written out here once more, so
 * that a check which is missing in a handler is missed here. */
#include "tests/fuzz/desk.h"

#include "base/clk.h"
#include "base/parse.h"
#include "domain/claim.h"
#include "domain/issue.h"
#include "domain/packet.h"
#include "domain/session.h"
#include "domain/withdrawal.h"
#include "fcgi/rain.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

static const int64_t year_ms = INT64_C(31536000000), most_fen = 2000000;
static campaign_t demo;

void desk_begin(void)
{
	/* One prize in two draws, in rounds of a year: as long as a campaign's file may make them. */
	demo = (campaign_t){.name = "demo",
		.number = 7,
		.version = 1,
		.key_id = "k1",
		.starts_at_ms = INT64_C(1767225600000),
		.every_ms = year_ms,
		.lasts_ms = year_ms,
		.limit = CAMPAIGN_LIMIT_MAX,
		.expiry_ms = year_ms,
		.lease_fen = 100000,
		.prize = {{.amount_fen = 520, .ppm = CAMPAIGN_PPM / 2}},
		.prizes = 1};
}

/* ---- databases ---- */

err_t __wrap_db_pool_take(db_pool_t *p, db_t **out);
err_t __wrap_db_pool_take(db_pool_t *p, db_t **out)
{
	(void)p;
	(void)out;
	return ERR_CELL_UNAVAILABLE;
}

err_t __wrap_db_transact(db_pool_t *p, unsigned tries, db_tx_fn fn, void *ctx);
err_t __wrap_db_transact(db_pool_t *p, unsigned tries, db_tx_fn fn, void *ctx)
{
	(void)p;
	(void)ctx;
	FUZZ_CHECK(tries > 0 && fn);
	return ERR_CELL_UNAVAILABLE;
}

err_t __wrap_numbers_next(numbers_t *n, unsigned slot, uint64_t *out);
err_t __wrap_numbers_next(numbers_t *n, unsigned slot, uint64_t *out)
{
	(void)n;
	FUZZ_CHECK(slot < TOPOLOGY_SLOTS);
	*out = (uint64_t)100000 + slot;
	return ERR_OK;
}

/* ---- sending and withdrawing ---- */

static void amount_checked(int64_t fen)
{
	FUZZ_CHECK(fen >= 1 && fen <= most_fen);
}

err_t __wrap_packet_send(const packet_desk *d, const packet_order *o, packet_sent *out);
err_t __wrap_packet_send(const packet_desk *d, const packet_order *o, packet_sent *out)
{
	(void)out;
	FUZZ_CHECK(d->tx_tries > 0 && o->uid >= 1 && o->uid <= SESSION_UID_MAX);
	FUZZ_CHECK(o->count >= 1 && o->split >= 1 && o->scope >= PACKET_PUBLIC &&
		   o->scope <= PACKET_FANS);
	FUZZ_CHECK(o->key && strlen(o->key) >= 8 && strlen(o->key) <= 64);
	FUZZ_CHECK(parse_text_ok(o->greeting, strlen(o->greeting)) &&
		   parse_text_chars(o->greeting, strlen(o->greeting)) <= PACKET_GREETING_MAX_CHARS);
	FUZZ_CHECK(o->nonce_len <= PACKET_NONCE_MAX_BYTES && parse_text_ok(o->nonce, o->nonce_len));
	FUZZ_CHECK(!o->video_id || (*o->video_id && strlen(o->video_id) <= PACKET_VIDEO_MAX_BYTES));
	FUZZ_CHECK(o->invited_count <= PACKET_INVITED_MAX &&
		   (o->scope == PACKET_INVITED) == (o->invited_count > 0));
	for (size_t i = 0; i < o->invited_count; i++)
		FUZZ_CHECK(o->invited[i] >= 1 && o->invited[i] <= SESSION_UID_MAX);
	if (o->kind == PACKET_C2C) {
		amount_checked(o->total_fen);
		FUZZ_CHECK(o->total_fen >= o->count && !o->subsidy_id && !o->win);
	} else {
		FUZZ_CHECK(o->kind == PACKET_B2C && !o->subsidy_id == !!o->win);
		FUZZ_CHECK(!o->win || o->win->uid == o->uid);
	}
	return ERR_CELL_UNAVAILABLE;
}

err_t __wrap_packet_next_seed(
	const packet_desk *d, uint64_t uid, uint64_t *seed_id, uint8_t seed_hash[32]);
err_t __wrap_packet_next_seed(
	const packet_desk *d, uint64_t uid, uint64_t *seed_id, uint8_t seed_hash[32])
{
	(void)d;
	FUZZ_CHECK(uid >= 1 && uid <= SESSION_UID_MAX);
	*seed_id = 1;
	memset(seed_hash, 0, 32);
	return ERR_OK;
}

err_t __wrap_withdrawal_make(
	const withdrawal_desk *d, const withdrawal_order *o, withdrawal_row *out, bool *replayed);
err_t __wrap_withdrawal_make(
	const withdrawal_desk *d, const withdrawal_order *o, withdrawal_row *out, bool *replayed)
{
	(void)d;
	amount_checked(o->amount_fen);
	FUZZ_CHECK(o->key && strlen(o->key) >= 8 && o->uid >= 1);
	*out = (withdrawal_row){.order_no = 100007,
		.uid = o->uid,
		.amount_fen = o->amount_fen,
		.state = STATES_WITHDRAWAL_PENDING,
		.created_at_ms = o->now_ms,
		.changed_at_ms = o->now_ms};
	*replayed = false;
	return ERR_OK;
}

/* ---- claiming ---- */

bool __wrap_claim_known(claim_service_t *s, uint64_t packet_id, uint64_t uid, claim_result *out);
bool __wrap_claim_known(claim_service_t *s, uint64_t packet_id, uint64_t uid, claim_result *out)
{
	(void)s;
	(void)out;
	FUZZ_CHECK(packet_id > 0 && uid >= 1);
	return false;
}

bool __wrap_claim_defers(const claim_service_t *s);
bool __wrap_claim_defers(const claim_service_t *s)
{
	(void)s;
	return false;
}

err_t __wrap_claim_open(claim_service_t *s, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t now_ms, int64_t *retry_ms, claim_result *out);
err_t __wrap_claim_open(claim_service_t *s, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t now_ms, int64_t *retry_ms, claim_result *out)
{
	(void)s;
	(void)out;
	FUZZ_CHECK(packet_id > 0 && uid >= 1 && relations == 0 && now_ms > 0);
	*retry_ms = 100;
	return ERR_PACKET_BUSY;
}

/* ---- partners: the other cell answers as it was asked ---- */

err_t __wrap_peer_new(const peer_target *t, peer_t **out);
err_t __wrap_peer_new(const peer_target *t, peer_t **out)
{
	(void)t;
	*out = NULL;
	return ERR_OK;
}

err_t __wrap_peer_post(peer_t *p, const char *path, unsigned slot, const char *body, size_t n,
	const char *traceparent, peer_answer *out);
err_t __wrap_peer_post(peer_t *p, const char *path, unsigned slot, const char *body, size_t n,
	const char *traceparent, peer_answer *out)
{
	issue_order o;
	jw_t w;
	(void)p;
	(void)traceparent;
	FUZZ_CHECK(slot < TOPOLOGY_SLOTS && strncmp(path, "/internal/v1/", 13) == 0);
	FUZZ_CHECK(issue_read(body, n, &o) == ERR_OK);
	amount_checked(o.s.amount_fen);
	FUZZ_CHECK(o.s.uid <= SESSION_UID_MAX && strcmp(o.campaign, "demo") == 0 &&
		   strcmp(o.s.issuer, "shop") == 0);
	if (o.s.subsidy_id == 0)
		o.s.subsidy_id = 100000 + o.s.uid % TOPOLOGY_SLOTS;
	*out = (peer_answer){.status = 200};
	jw_start_fixed(&w, out->body, sizeof out->body);
	issue_write(&w, &o);
	out->len = jw_end(&w);
	FUZZ_CHECK(out->len > 0);
	return ERR_OK;
}

/* ---- the rain ---- */

const campaign_t *rain_budget_campaign(const rain_budget_t *b, const char *name, size_t len)
{
	(void)b;
	return len == strlen(demo.name) && memcmp(name, demo.name, len) == 0 ? &demo : NULL;
}

const campaign_t *rain_budget_campaign_at(const rain_budget_t *b, unsigned i)
{
	(void)b;
	return i == 0 ? &demo : NULL;
}

bool rain_budget_known(const rain_budget_t *b)
{
	(void)b;
	return true;
}

bool rain_budget_spent(rain_budget_t *b, uint32_t campaign)
{
	(void)b;
	return campaign != demo.number;
}

bool rain_wins_pending(rain_wins_t *w, uint32_t campaign, uint32_t round, uint64_t uid, unsigned *k)
{
	(void)w;
	(void)k;
	FUZZ_CHECK(campaign == demo.number && round >= 1 && uid >= 1);
	return false;
}

/* A win is of a round that there is, and that is not to come. */
err_t rain_wins_submit(rain_wins_t *w, rain_ticket *t)
{
	(void)w;
	const int64_t now_ms = clk_wall_ms();
	amount_checked(t->win.amount_fen);
	FUZZ_CHECK(t->key.k < demo.limit && t->key.uid == t->win.uid);
	FUZZ_CHECK(t->since_ms <= now_ms && t->since_ms >= demo.starts_at_ms);
	FUZZ_CHECK((t->since_ms - demo.starts_at_ms) / demo.every_ms == t->key.round - 1);
	FUZZ_CHECK(t->win.expires_at_ms > now_ms);
	return ERR_DRAW_PENDING;
}

err_t __wrap_cache_count_by(
	cache_t *c, const char *key, unsigned by, uint32_t ttl_s, uint64_t *now);
err_t __wrap_cache_count_by(cache_t *c, const char *key, unsigned by, uint32_t ttl_s, uint64_t *now)
{
	(void)c;
	(void)now;
	FUZZ_CHECK(strlen(key) < 250 && by < 10 && ttl_s >= 1 && ttl_s <= 2592000);
	return ERR_CACHE_UNAVAILABLE;
}
