/* Why: the one hot request. Without a grant nothing is asked of the database here: the claim
 * service answers from its batch. A grant names viewer and sender, so it is checked against the
 * packet's own sender, which is read for the few requests that bring one. */
#include "domain/packet.h"
#include "domain/session.h"
#include "fcgi/handlers.h"
#include "fcgi/views.h"
#include <string.h>

typedef struct {
	const char *grant;
} claim_body;

static const http_field claim_fields[] = {
	{"relation_grant", HTTP_F_TEXT, false, offsetof(claim_body, grant), 0, HTTP_BODY_MAX_BYTES,
		NULL},
};

static const char *const outcome_name[] = {
	[CLAIM_CLAIMED] = "claimed",
	[CLAIM_ALREADY] = "already_claimed",
	[CLAIM_EXHAUSTED] = "exhausted",
	[CLAIM_EXPIRED] = "expired",
	[CLAIM_NOT_OPEN] = "not_open",
	[CLAIM_NOT_ELIGIBLE] = "not_eligible",
};

static err_t packet_sender(db_pool_t *pool, uint64_t packet_id, uint64_t *sender)
{
	db_rows_t *r = NULL;
	db_t *db;
	err_t e = db_pool_take(pool, &db);

	if (e != ERR_OK)
		return e;
	e = db_select(db, SQL_CLAIM_PACKET_SENDER, DB_ARGS(db_u(packet_id)), &r);
	if (e == ERR_OK && !db_rows_next(r))
		e = ERR_NOT_FOUND;
	if (e == ERR_OK)
		*sender = db_rows_u(r, 0);
	db_rows_free(&r);
	db_pool_give(pool, &db);
	return e;
}

/* Whoever has the claim already needs no grant: a repeat may come when the first one's has expired. */
static err_t grant_missed(const app_call_t *c)
{
	claim_row row;
	db_t *db;
	err_t e = db_pool_take(c->app->db, &db);

	if (e != ERR_OK)
		return e;
	e = claim_find(db, c->number, c->uid, &row);
	db_pool_give(c->app->db, &db);
	return e == ERR_NOT_FOUND ? ERR_TOKEN_INVALID : e;
}

static err_t relations_of(app_call_t *c, const char *grant, unsigned *relations)
{
	session_relation relation;
	uint64_t sender;
	http_may_wait();
	err_t e = packet_sender(c->app->db, c->number, &sender);

	if (e == ERR_OK)
		e = session_grant_verify(
			c->app->p->grant_keys, grant, c->uid, sender, c->now_ms / 1000, &relation);
	if (e == ERR_OK)
		*relations = 1u << relation;
	return e == ERR_TOKEN_INVALID ? grant_missed(c) : e;
}

/* A claim that was just made has no transfer yet; one whose transfer has ended needs no question. */
static err_t transfer_ask(app_call_t *c, claim_result *result)
{
	db_t *db;

	if (result->outcome != CLAIM_ALREADY || result->transfer != TRANSFER_END_PENDING)
		return ERR_OK;
	http_may_wait();
	err_t e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	e = views_transfer_end(db, result->row.claim_no, &result->transfer);
	db_pool_give(c->app->db, &db);
	return e;
}

static err_t claim_answer(app_call_t *c, claim_result *result)
{
	const err_t e = transfer_ask(c, result);

	if (e != ERR_OK)
		return e;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_str(w, "outcome", outcome_name[result->outcome]);
	if (result->outcome == CLAIM_CLAIMED || result->outcome == CLAIM_ALREADY)
		views_claim(w, "claim", &result->row, result->transfer);
	else
		jw_null(w, "claim");
	jw_i64(w, "remaining_count", result->remaining_count);
	jw_obj_end(w);
	return ERR_OK;
}

/* Of a claim that the database was asked about. */
static err_t claim_first_answer(app_call_t *c, claim_result *result)
{
	const err_t e = claim_answer(c, result);

	if (e == ERR_OK && result->outcome != CLAIM_CLAIMED)
		http_may_wait(); /* learning reads the packet's claims */
	if (e == ERR_OK)
		claim_learn(c->app->claims, c->number, result);
	return e;
}

/* From memory; where the money is may still have to be asked. */
static err_t claim_late_answer(app_call_t *c, claim_result *result)
{
	const transfer_end knew = result->transfer;
	const err_t e = claim_answer(c, result);

	if (e == ERR_OK && result->transfer != knew)
		claim_transfer_end(c->app->claims, c->number, c->uid, result->transfer);
	return e;
}

/* A claim that waits in its lane, and the call that asked for it. */
typedef struct {
	claim_ticket ticket;
	app_call_t call;
} claim_wait;

static void claim_done(claim_ticket *t)
{
	http_resume(t->ctx);
}

static err_t claim_later(http_req_t *r)
{
	claim_wait *w = r->state;
	claim_result result;
	const err_t e = claim_collect(&w->ticket, &r->retry_after_ms, &result);

	if (e == ERR_NOT_FOUND)
		return views_not_found(&w->call);
	return e == ERR_OK ? claim_first_answer(&w->call, &result) : e;
}

static err_t claim_defer(const app_call_t *c, unsigned relations)
{
	claim_wait *w = arena_alloc(c->r->arena, sizeof(*w));

	w->call = *c;
	w->ticket.done = claim_done;
	w->ticket.ctx = c->r;
	c->r->state = w;
	c->r->later = claim_later;
	return claim_submit(c->app->claims, c->number, c->uid, relations, c->now_ms,
		&c->r->retry_after_ms, &w->ticket);
}

err_t handle_packet_claim(app_call_t *c)
{
	claim_body body = {0};
	claim_result result;
	unsigned relations = 0;
	err_t e = http_fields(
		c->r, claim_fields, sizeof(claim_fields) / sizeof(*claim_fields), &body);

	if (e == ERR_OK && !body.grant && claim_known(c->app->claims, c->number, c->uid, &result))
		return claim_late_answer(c, &result);
	if (e == ERR_OK && body.grant)
		e = relations_of(c, body.grant, &relations);
	if (e != ERR_OK)
		return e;
	if (claim_defers(c->app->claims))
		return claim_defer(c, relations);
	http_may_wait();
	e = claim_open(c->app->claims, c->number, c->uid, relations, c->now_ms,
		&c->r->retry_after_ms, &result);
	return e == ERR_OK ? claim_first_answer(c, &result) : e;
}
