/* Why: the first thing that everybody asks about an envelope, and what its sender polls until the
 * payment has arrived; the poll is paced before the database is asked. */
#include "base/clk.h"
#include "domain/states.h"
#include "fcgi/handlers.h"
#include "fcgi/pace.h"
#include "fcgi/views.h"

typedef struct {
	packet_row packet;
	bool claimed;
	claim_row claim;
	transfer_end transfer;
} cover_data;

static err_t cover_read(app_call_t *c, db_t *db, cover_data *out)
{
	err_t e = packet_load(db, c->number, &out->packet);
	if (e != ERR_OK)
		return e;
	e = claim_find(db, c->number, c->uid, &out->claim);
	out->claimed = e == ERR_OK;
	if (!out->claimed)
		return e == ERR_NOT_FOUND ? ERR_OK : e;
	return views_transfer_end(db, out->claim.claim_no, &out->transfer);
}

err_t handle_packet_cover(app_call_t *c)
{
	const int64_t now_mono_ms = clk_mono_ms();
	err_t e = pace_check(c->app->pace, c->uid, c->number, now_mono_ms, &c->r->retry_after_ms);
	if (e != ERR_OK)
		return e;
	db_t *db;
	e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	cover_data d = {0};
	e = cover_read(c, db, &d);
	db_pool_give(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	views_packet(w, "packet", &d.packet, c->now_ms, VIEWS_COUNTS);
	jw_obj(w, "sender");
	jw_id(w, "uid", d.packet.sender);
	jw_obj_end(w);
	if (d.claimed)
		views_claim(w, "my_claim", &d.claim, d.transfer);
	else
		jw_null(w, "my_claim");
	if (d.packet.state == STATES_PACKET_UNPAID)
		jw_i64(w, "poll_after_ms",
			pace_told(c->app->pace, c->uid, c->number,
				c->now_ms - d.packet.created_at_ms, now_mono_ms));
	jw_obj_end(w);
	return ERR_OK;
}
