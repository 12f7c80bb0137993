/* Why: both lists live in the user's own cell and go by time, newest first: numbers do not rise with
 * time over several processes and cells, since each leases blocks of its own. One row more than a
 * page tells whether there is more. */
#include "domain/flags.h"
#include "domain/packet.h"
#include "fcgi/cursor.h"
#include "fcgi/handlers.h"
#include "fcgi/views.h"

_Static_assert((int)CURSOR_LIMIT_MAX < (int)PACKET_LIST_MAX, "a page and one more are read");

err_t handle_sent(app_call_t *c)
{
	cursor_t at;
	err_t e = cursor_read(c, &at);
	if (e != ERR_OK)
		return e;
	packet_row *row = arena_alloc(c->r->arena, (at.limit + 1) * sizeof *row);
	unsigned count = 0;
	db_t *db;
	e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	e = packet_list_sent(db, c->uid, at.given ? (int64_t)at.key[0] : INT64_MAX,
		at.given ? at.key[1] : INT64_MAX, at.limit + 1, row, &count);
	db_pool_give(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	const bool more = count > at.limit;
	const unsigned shown = more ? at.limit : count;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_arr(w, "data");
	for (unsigned i = 0; i < shown; i++)
		views_packet(w, NULL, &row[i], c->now_ms, VIEWS_COUNTS);
	jw_arr_end(w);
	const packet_row *last = shown ? &row[shown - 1] : NULL;
	cursor_write(c, more, last ? (uint64_t)last->created_at_ms : 0, last ? last->packet_id : 0);
	jw_obj_end(w);
	return ERR_OK;
}

static err_t received_read(app_call_t *c, const cursor_t *at, db_rows_t **out)
{
	const uint64_t time = at->given ? at->key[0] : INT64_MAX;
	const uint64_t claim_no = at->given ? at->key[1] : INT64_MAX;
	db_t *db;
	err_t e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	e = db_select(db, SQL_RECEIVED_PAGE,
		DB_ARGS(db_u(c->uid), db_u(time), db_u(time), db_u(claim_no), db_u(at->limit + 1)),
		out);
	db_pool_give(c->app->db, &db);
	return e;
}

err_t handle_received(app_call_t *c)
{
	cursor_t at;
	err_t e = cursor_read(c, &at);
	if (e != ERR_OK)
		return e;
	if (flags_off_at(FLAGS_RECEIVED_LIST, c->route->id, c->uid))
		return views_degraded_list(c, FLAGS_RECEIVED_LIST);
	db_rows_t *r;
	e = received_read(c, &at, &r);
	if (e != ERR_OK)
		return e;
	uint64_t claim_no = 0, time = 0;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_arr(w, "data");
	for (unsigned i = 0; i < at.limit && db_rows_next(r); i++) {
		claim_no = db_rows_u(r, 0);
		time = db_rows_u(r, 5);
		jw_obj(w, NULL);
		jw_id(w, "claim_no", claim_no);
		jw_id(w, "packet_id", db_rows_u(r, 1));
		jw_obj(w, "sender");
		jw_id(w, "uid", db_rows_u(r, 2));
		jw_obj_end(w);
		jw_str(w, "kind", packet_kind_name((packet_kind)db_rows_u(r, 3)));
		jw_money(w, "amount", db_rows_i(r, 4));
		jw_time(w, "claimed_at", (int64_t)time);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	cursor_write(c, db_rows_count(r) > at.limit, time, claim_no);
	jw_obj_end(w);
	db_rows_free(&r);
	return ERR_OK;
}
