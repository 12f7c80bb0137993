/* Why: who got what, in the order of claims, which never changes; so the index is the cursor. */
#include "domain/flags.h"
#include "domain/states.h"
#include "fcgi/cursor.h"
#include "fcgi/handlers.h"
#include "fcgi/views.h"

enum { LUCKIEST_NOBODY = -1 };

typedef struct {
	claim_row row[CURSOR_LIMIT_MAX + 1]; /* one more tells whether there is more */
	unsigned count;
	int64_t luckiest; /* index */
} claims_page;

/* Only an exhausted packet has a luckiest one: before, a larger share may still come. */
static err_t luckiest_find(db_t *db, const packet_row *p, int64_t *index)
{
	*index = LUCKIEST_NOBODY;
	if (p->state != STATES_PACKET_EXHAUSTED)
		return ERR_OK;
	db_rows_t *r;
	const err_t e = db_select(db, SQL_PACKET_LUCKIEST, DB_ARGS(db_u(p->packet_id)), &r);
	if (e != ERR_OK)
		return e;
	if (db_rows_next(r))
		*index = db_rows_i(r, 0);
	db_rows_free(&r);
	return ERR_OK;
}

static err_t claims_read(app_call_t *c, const cursor_t *at, claims_page *out)
{
	db_t *db;
	err_t e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	packet_row p;
	e = views_insider(c, db, &p);
	const uint32_t from = at->given ? (uint32_t)at->key[0] + 1 : 0;
	if (e == ERR_OK)
		e = claim_list(db, c->number, from, at->limit + 1, out->row, &out->count);
	if (e == ERR_OK)
		e = luckiest_find(db, &p, &out->luckiest);
	db_pool_give(c->app->db, &db);
	return e;
}

err_t handle_packet_claims(app_call_t *c)
{
	cursor_t at;
	err_t e = cursor_read(c, &at);
	if (e != ERR_OK)
		return e;
	if (flags_off_at(FLAGS_CLAIM_DETAILS, c->route->id, c->uid))
		return views_degraded_list(c, FLAGS_CLAIM_DETAILS);
	claims_page *page = arena_alloc(c->r->arena, sizeof *page);
	e = claims_read(c, &at, page);
	if (e != ERR_OK)
		return e;
	const bool more = page->count > at.limit;
	const unsigned shown = more ? at.limit : page->count;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_arr(w, "data");
	for (unsigned i = 0; i < shown; i++) {
		const claim_row *row = &page->row[i];
		jw_obj(w, NULL);
		jw_id(w, "uid", row->uid);
		jw_money(w, "amount", row->amount_fen);
		jw_i64(w, "index", row->index);
		jw_time(w, "claimed_at", row->claimed_at_ms);
		jw_bool(w, "luckiest", row->index == page->luckiest);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	cursor_write(c, more, shown ? page->row[shown - 1].index : 0, 0);
	jw_obj_end(w);
	return ERR_OK;
}
