/* POST /v1/partner/subsidies: this program, of whatever cell, only leads the way: the number is
 * tracked in its own cell, then the subsidy granted in its user's (domain/issue.h). It asks no
 * database itself, so a cell that is down fails only the numbers and users that it keeps. */
#include "domain/partner.h"
#include "domain/issue.h"
#include "domain/session.h"
#include "domain/states.h"
#include "fcgi/gate.h"
#include "fcgi/handlers.h"
#include "fcgi/limited.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { PARTNER_RETRY_MS = 200 };

typedef struct {
	const char *out_order_no, *campaign;
	uint64_t uid;
	int64_t amount_fen, expires_at_ms;
} partner_body;

#define AT(member) offsetof(partner_body, member)
static const http_field partner_fields[] = {
	{"out_order_no", HTTP_F_TOKEN, true, AT(out_order_no), 1, TOKEN_OUT_ORDER_BYTES - 1, NULL},
	{"uid", HTTP_F_ID, true, AT(uid), 0, 0, NULL},
	{"amount", HTTP_F_MONEY, true, AT(amount_fen), 0, 0, NULL},
	{"campaign", HTTP_F_TOKEN, true, AT(campaign), 1, ISSUE_CAMPAIGN_BYTES - 1, NULL},
	{"expires_at", HTTP_F_TIME, true, AT(expires_at_ms), 0, 0, NULL},
};
#undef AT

static err_t body_read(app_call_t *c, partner_body *b)
{
	http_req_t *r = c->r;
	const conf_t *conf = c->app->p->conf;
	const int64_t most = conf_i(conf, CONF_SUBSIDY_MAX_FEN),
		      ttl_s = conf_i(conf, CONF_SUBSIDY_MAX_TTL_S);
	const err_t e =
		http_fields(r, partner_fields, sizeof partner_fields / sizeof *partner_fields, b);
	if (e != ERR_OK)
		return e;
	if (b->uid > SESSION_UID_MAX)
		return http_field_error_add(r, "uid", "range", "not a uid");
	if (strchr(b->out_order_no, '~'))
		return http_field_error_add(
			r, "out_order_no", "format", "may hold only A-Z a-z 0-9 . _ : -");
	if (b->expires_at_ms > c->now_ms + ttl_s * 1000)
		return http_field_error_add(r, "expires_at", "range", "is too far away");
	if (b->amount_fen < 1 || b->amount_fen > most) {
		r->detail = arena_printf(r->arena, "amount must be 1 to %lld fen", (long long)most);
		return ERR_AMOUNT_OUT_OF_RANGE;
	}
	return ERR_OK;
}

static issue_order order_of(const partner_caller *who, const partner_body *b)
{
	issue_order o = {.s = {.uid = b->uid,
				 .amount_fen = b->amount_fen,
				 .expires_at_ms = b->expires_at_ms,
				 .state = STATES_SUBSIDY_USABLE}};
	snprintf(o.s.issuer, sizeof o.s.issuer, "%s", who->name);
	snprintf(o.s.out_order_no, sizeof o.s.out_order_no, "%s", b->out_order_no);
	snprintf(o.campaign, sizeof o.campaign, "%s", b->campaign);
	return o;
}

static err_t issue(app_call_t *c, const issue_order *o, issue_order *granted)
{
	issue_order tracked;
	peer_t *peer;
	err_t e = app_peer(c->app, &peer);
	if (e == ERR_OK)
		e = issue_track(peer, o, c->r->traceparent, &tracked);
	if (e == ERR_OK)
		e = issue_grant(peer, &tracked, c->r->traceparent, granted);
	if (e == ERR_INVALID_FIELD)
		return http_field_error_add(
			c->r, "campaign", "unknown", "there is no such campaign");
	/* Only of a number that nobody knows: a repeat gets its answer. */
	if (e == ERR_SUBSIDY_EXPIRED)
		return http_field_error_add(c->r, "expires_at", "range", "is over already");
	if (e == ERR_BUDGET_SPENT)
		c->r->detail = "What the campaign has left for this user's cell is less";
	/* A problem of our own making is none of the partner's. */
	return e == ERR_OK || e == ERR_ORDER_CONFLICT || e == ERR_BUDGET_SPENT || err_retryable(e)
		       ? e
		       : ERR_INTERNAL;
}

static void answer_write(app_call_t *c, const issue_order *o)
{
	jw_t *w = &c->r->out;
	c->r->status = o->made ? 201 : 200;
	jw_obj(w, NULL);
	jw_id(w, "subsidy_id", o->s.subsidy_id);
	jw_str(w, "out_order_no", o->s.out_order_no);
	jw_id(w, "uid", o->s.uid);
	jw_money(w, "amount", o->s.amount_fen);
	jw_str(w, "campaign", o->campaign);
	jw_str(w, "state", subsidy_shown_state(&o->s, c->now_ms));
	jw_time(w, "expires_at", o->s.expires_at_ms);
	jw_obj_end(w);
}

/* FNV-1a. */
static uint64_t name_mix(const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return h;
}

static err_t serve(app_call_t *c)
{
	const http_req_t *r = c->r;
	partner_caller who;
	partner_body body = {0};
	err_t e = partner_verify(c->app->partners, c->now_ms / 1000,
		conf_i(c->app->p->conf, CONF_PARTNER_SKEW_S), r->hb_signature, r->method, r->path,
		r->body, r->body_len, &who);
	if (e == ERR_OK)
		e = gate_rate(c, name_mix(who.name));
	if (e == ERR_OK)
		e = body_read(c, &body);
	if (e != ERR_OK)
		return e;
	if (!partner_may(&who, body.campaign)) {
		c->r->detail = "The key is not good for this campaign";
		return ERR_FORBIDDEN;
	}
	const issue_order order = order_of(&who, &body);
	issue_order granted = {0};
	e = issue(c, &order, &granted);
	if (e == ERR_OK)
		answer_write(c, &granted);
	return e;
}

err_t handle_partner(app_call_t *c)
{
	static atomic_uint in_flight;
	const unsigned most = (unsigned)conf_i(c->app->p->conf, CONF_PARTNER_IN_FLIGHT);
	err_t e = ERR_RATE_LIMITED;
	if (atomic_fetch_add(&in_flight, 1) < most)
		e = serve(c);
	else {
		limited_count(LIMITED_PARTNER);
		c->r->retry_after_ms = PARTNER_RETRY_MS;
	}
	atomic_fetch_sub(&in_flight, 1);
	return e;
}
