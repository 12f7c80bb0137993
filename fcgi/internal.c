/* The internal routes by which a partner's subsidy is issued over two cells. Whoever comes is one of
 * our own programs and has proved it; each step is one transaction and may come again. */
#include "base/signature.h"
#include "domain/issue.h"
#include "fcgi/handlers.h"
#include "store/peer.h"
#include <string.h>

typedef struct {
	app_call_t *c;
	issue_order o;
	issue_order out;
} step_tx;

static err_t question(app_call_t *c, issue_order *out)
{
	const http_req_t *r = c->r;
	char id[SIGNATURE_ID_BYTES];
	const err_t e = signature_verify(c->app->p->internal_keys, PEER_WHO, c->now_ms / 1000,
		conf_i(c->app->p->conf, CONF_PARTNER_SKEW_S), r->hb_signature, r->method, r->path,
		r->body, r->body_len, id);
	return e == ERR_OK ? issue_read(r->body, r->body_len, out) : e;
}

/* The answer is the question with what is known filled in. */
static err_t step(app_call_t *c, db_tx_fn run, step_tx *t)
{
	const err_t e = db_transact(
		c->app->db, (unsigned)conf_i(c->app->p->conf, CONF_DB_TX_TRIES), run, t);
	if (e != ERR_OK)
		return e;
	c->r->status = t->out.made ? 201 : 200;
	issue_write(&c->r->out, &t->out);
	return ERR_OK;
}

static err_t campaign_of(db_t *db, issue_order *o)
{
	const err_t e = subsidy_campaign(db, o->campaign, &o->s.campaign);
	return e == ERR_NOT_FOUND ? ERR_INVALID_FIELD : e;
}

static err_t track_run(db_t *db, void *ctx)
{
	step_tx *t = ctx;
	err_t e = campaign_of(db, &t->o);
	t->out = t->o;
	if (e == ERR_OK)
		e = subsidy_track(db, &t->o.s, t->c->now_ms, &t->out.s);
	return e;
}

err_t handle_tracking(app_call_t *c)
{
	step_tx t = {.c = c};
	err_t e = question(c, &t.o);
	if (e != ERR_OK)
		return e;
	if (subsidy_slot(t.o.s.issuer, t.o.s.out_order_no) != numbers_slot(c->number))
		return ERR_INVALID_REQUEST;
	/* Of the user's slot, but born here: unique wherever it is used. */
	e = numbers_next(c->app->numbers, numbers_slot(t.o.s.uid), &t.o.s.subsidy_id);
	return e == ERR_OK ? step(c, track_run, &t) : e;
}

static err_t grant_run(db_t *db, void *ctx)
{
	step_tx *t = ctx;
	err_t e = campaign_of(db, &t->o);
	t->out = t->o;
	if (e == ERR_OK)
		e = subsidy_grant(db, &t->o.s, t->c->now_ms, &t->out.s, &t->out.made);
	return e;
}

err_t handle_grant(app_call_t *c)
{
	step_tx t = {.c = c};
	const err_t e = question(c, &t.o);
	if (e != ERR_OK)
		return e;
	if (t.o.s.subsidy_id != c->number ||
		numbers_slot(t.o.s.subsidy_id) != numbers_slot(t.o.s.uid))
		return ERR_INVALID_REQUEST;
	return step(c, grant_run, &t);
}
