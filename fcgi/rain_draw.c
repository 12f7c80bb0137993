/* The routes of the rain. A draw that does not win asks nobody but memcached for its place in the
 * user's round, and that one draw in four (places.h), and takes nothing from the heap: it is what
 * millions do at the same second. memcached's answer takes less than waking another thread would,
 * so the draw waits for it where it is; one that does not come costs the cache's short time-out
 * once, and then nothing until its breaker tries again.
 *
 * Without memcached the place is chosen at random below the limit: whoever draws for ever sees the
 * same `limit` results for ever. */
#include "fcgi/handlers.h"
#include "fcgi/rain.h"

#include "base/metrics.h"
#include "domain/campaign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { KEY_BYTES = 80, COUNTER_MAX_S = 2592000 };

typedef enum { NONE, WON, LIMIT, BUDGET_SPENT, NOT_STARTED, ENDED, PENDING } outcome;
static const char *const outcome_name[] = {
	[NONE] = "none",
	[WON] = "won",
	[LIMIT] = "limit",
	[BUDGET_SPENT] = "budget_spent",
	[NOT_STARTED] = "not_started",
	[ENDED] = "ended",
};

typedef struct {
	int64_t draw, round; /* -1: not given */
} draw_body;

static const http_field draw_fields[] = {
	{"draw", HTTP_F_INT, false, offsetof(draw_body, draw), 0, CAMPAIGN_LIMIT_MAX - 1, NULL},
	{"round", HTTP_F_INT, false, offsetof(draw_body, round), 1, CAMPAIGN_ROUND_MAX, NULL},
};

/* One draw, and what of its campaign its answer needs. */
typedef struct {
	rain_ticket ticket;
	unsigned limit;
} draw_wait;

static err_t campaign_of(app_call_t *c, const campaign_t **out)
{
	rain_t *rain = c->app->rain;

	*out = rain_budget_campaign(rain->budget, c->name, c->name_len);
	if (*out)
		return ERR_OK;
	return rain_budget_known(rain->budget) ? ERR_NOT_FOUND : ERR_CELL_UNAVAILABLE;
}

static err_t draw_answer(
	http_req_t *r, outcome what, const win_key *key, unsigned limit, const rain_ticket *won)
{
	jw_t *w = &r->out;

	metrics_add(METRICS_RAIN_DRAWS, what, 1);
	jw_obj(w, NULL);
	jw_str(w, "outcome", outcome_name[what]);
	if (won) {
		jw_obj(w, "subsidy");
		jw_id(w, "subsidy_id", won->win.subsidy_id);
		jw_money(w, "amount", won->win.amount_fen);
		jw_str(w, "token", won->token);
		jw_time(w, "expires_at", won->win.expires_at_ms);
		jw_obj_end(w);
	} else {
		jw_null(w, "subsidy");
	}
	if (key) {
		jw_i64(w, "round", key->round);
		if (what == LIMIT)
			jw_null(w, "draw");
		else
			jw_i64(w, "draw", key->k);
		jw_i64(w, "draws_left", what == LIMIT ? 0 : (int64_t)limit - 1 - key->k);
	}
	jw_obj_end(w);
	return ERR_OK;
}

static err_t draw_later(http_req_t *r)
{
	const draw_wait *d = r->state;
	const rain_ticket *t = &d->ticket;

	if (t->error != ERR_OK) {
		metrics_add(METRICS_RAIN_DRAWS, PENDING, 1);
		return t->error;
	}
	return draw_answer(
		r, t->spent ? BUDGET_SPENT : WON, &t->key, d->limit, t->spent ? NULL : t);
}

static err_t draw_won(app_call_t *c, const campaign_t *campaign, const campaign_round *round,
	const win_key *key, const token_win *win)
{
	draw_wait *d = arena_alloc(c->r->arena, sizeof(*d));

	d->limit = campaign->limit;
	d->ticket.request = c->r;
	d->ticket.win = *win;
	d->ticket.key = *key;
	d->ticket.since_ms = round->starts_at_ms;
	c->r->state = d;
	c->r->later = draw_later;
	err_t e = rain_wins_submit(c->app->rain->wins, &d->ticket);
	if (e != ERR_OK)
		metrics_add(METRICS_RAIN_DRAWS, PENDING, 1);
	return e;
}

static err_t count_places(app_call_t *c, const campaign_t *campaign, const campaign_round *round,
	unsigned count, uint64_t *now)
{
	char key[KEY_BYTES];
	int64_t left_s = (round->ends_at_ms - c->now_ms) / 1000 + 60;

	snprintf(key, sizeof(key), "rk:%" PRIu32 ":%" PRIu32 ":%" PRIu64, campaign->number,
		round->number, c->uid);
	return cache_count_by(c->app->cache, key, count,
		(uint32_t)(left_s < COUNTER_MAX_S ? left_s : COUNTER_MAX_S), now);
}

/* The user's next place in this round: *k ≥ limit when they have drawn all. */
static void next_place(
	app_call_t *c, const campaign_t *campaign, const campaign_round *round, unsigned *k)
{
	rain_t *rain = c->app->rain;
	uint32_t number = campaign->number, random;
	unsigned count;
	uint64_t now;

	if (rain_wins_pending(rain->wins, number, round->number, c->uid, k))
		return;
	if (places_next(rain->places, number, round->number, c->uid, campaign->limit, k, &count)) {
		/* When it cannot be told, those places are drawn again after a restart. */
		if (count > 0 && count_places(c, campaign, round, count, &now) != ERR_OK)
			METRICS_INC(RAIN_UNCOUNTED);
		return;
	}
	if (count_places(c, campaign, round, 1, &now) == ERR_OK) {
		*k = now > campaign->limit ? campaign->limit : (unsigned)now - 1;
		places_set(rain->places, number, round->number, c->uid, *k);
		return;
	}
	METRICS_INC(RAIN_UNCOUNTED);
	keys_random(&random, sizeof(random));
	*k = random % campaign->limit;
}

static err_t draw_in(app_call_t *c, const campaign_t *campaign, const campaign_round *round,
	const draw_body *body)
{
	token_win win;
	unsigned k = (unsigned)body->draw;
	bool won;

	if (body->draw < 0)
		next_place(c, campaign, round, &k);
	else if (k >= campaign->limit)
		return http_field_error_add(c->r, "draw", "range", "not below the round's limit");
	const win_key key = {c->uid, campaign->number, round->number, k};
	if (k >= campaign->limit)
		return draw_answer(c->r, LIMIT, &key, campaign->limit, NULL);
	err_t e = campaign_draw(campaign, c->app->p->seal_keys, round, c->uid, k,
		c->app->p->cell->number, &won, &win);
	if (e != ERR_OK)
		return e;
	return won ? draw_won(c, campaign, round, &key, &win)
		   : draw_answer(c->r, NONE, &key, campaign->limit, NULL);
}

/* A draw of a round that is over may be repeated for a while. */
static bool repeatable(
	app_call_t *c, const campaign_t *campaign, const draw_body *body, campaign_round *round)
{
	int64_t repeat_ms = conf_i(c->app->p->conf, CONF_RAIN_REPEAT_MS);

	return body->round > 0 && body->draw >= 0 &&
	       campaign_round_of(campaign, (uint32_t)body->round, round) &&
	       round->starts_at_ms <= c->now_ms && c->now_ms < round->ends_at_ms + repeat_ms;
}

err_t handle_rain_draw(app_call_t *c)
{
	const campaign_t *campaign;
	draw_body body = {-1, -1};
	campaign_round round;
	err_t e = campaign_of(c, &campaign);

	if (e == ERR_OK && c->r->body_len > 0)
		e = http_fields(
			c->r, draw_fields, sizeof(draw_fields) / sizeof(*draw_fields), &body);
	if (e != ERR_OK)
		return e;
	if (body.round > 0 && body.draw < 0)
		return http_field_error_add(
			c->r, "draw", "required", "a round is named with a draw");
	if (repeatable(c, campaign, &body, &round))
		return draw_in(c, campaign, &round, &body);
	campaign_state state = campaign_at(campaign, c->now_ms, &round);
	if (state == CAMPAIGN_RAINING && (body.round < 0 || body.round == round.number))
		return draw_in(c, campaign, &round, &body);
	return draw_answer(
		c->r, state == CAMPAIGN_NOT_STARTED ? NOT_STARTED : ENDED, NULL, 0, NULL);
}

static void put_campaign(app_call_t *c, const campaign_t *campaign)
{
	static const char *const state_name[] = {[CAMPAIGN_NOT_STARTED] = "not_started",
		[CAMPAIGN_RAINING] = "raining",
		[CAMPAIGN_ENDED] = "ended"};
	campaign_round round;
	jw_t *w = &c->r->out;
	campaign_state state = campaign_at(campaign, c->now_ms, &round);
	bool spent = state == CAMPAIGN_RAINING &&
		     rain_budget_spent(c->app->rain->budget, campaign->number);

	jw_obj(w, NULL);
	jw_str(w, "campaign", campaign->name);
	jw_str(w, "state", spent ? "budget_spent" : state_name[state]);
	jw_time(w, "server_time", c->now_ms);
	jw_time(w, "starts_at", campaign->starts_at_ms);
	if (campaign->ends_at_ms)
		jw_time(w, "ends_at", campaign->ends_at_ms);
	else
		jw_null(w, "ends_at");
	jw_i64(w, "limit", campaign->limit);
	if (state == CAMPAIGN_ENDED) {
		jw_null(w, "round");
	} else {
		jw_obj(w, "round");
		jw_i64(w, "number", round.number);
		jw_time(w, "starts_at", round.starts_at_ms);
		jw_time(w, "ends_at", round.ends_at_ms);
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

err_t handle_rain(app_call_t *c)
{
	const campaign_t *campaign;
	err_t e = campaign_of(c, &campaign);

	if (e == ERR_OK)
		put_campaign(c, campaign);
	return e;
}

/* Those that have not ended. A set that is replaced meanwhile may show one twice or not at all. */
err_t handle_rains(app_call_t *c)
{
	const rain_budget_t *budget = c->app->rain->budget;
	const campaign_t *campaign;
	campaign_round round;
	jw_t *w = &c->r->out;

	if (!rain_budget_known(budget))
		return ERR_CELL_UNAVAILABLE;
	jw_obj(w, NULL);
	jw_arr(w, "data");
	for (unsigned i = 0; (campaign = rain_budget_campaign_at(budget, i)); i++)
		if (campaign_at(campaign, c->now_ms, &round) != CAMPAIGN_ENDED)
			put_campaign(c, campaign);
	jw_arr_end(w);
	jw_obj_end(w);
	return ERR_OK;
}
