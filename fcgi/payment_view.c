/* Why: the payer waits here for finance's word, so the answer says when to ask again. */
#include "base/clk.h"
#include "domain/payment.h"
#include "fcgi/handlers.h"
#include "fcgi/pace.h"

static err_t payment_read(app_call_t *c, payment_row *out)
{
	db_t *db;
	err_t e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	e = payment_load(db, c->number, out);
	db_pool_give(c->app->db, &db);
	return e == ERR_OK && out->payer != c->uid ? ERR_FORBIDDEN : e;
}

err_t handle_payment(app_call_t *c)
{
	const int64_t now_mono_ms = clk_mono_ms();
	err_t e = pace_check(c->app->pace, c->uid, c->number, now_mono_ms, &c->r->retry_after_ms);
	if (e != ERR_OK)
		return e;
	payment_row p;
	e = payment_read(c, &p);
	if (e != ERR_OK)
		return e;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_id(w, "order_no", p.order_no);
	jw_str(w, "state", states_shown(STATES_PAYMENT, p.state));
	jw_id(w, "packet_id", p.packet_id);
	jw_money(w, "amount", p.amount_fen);
	jw_str(w, "cashier_url",
		p.state == STATES_PAYMENT_PENDING && *p.cashier_url ? p.cashier_url : NULL);
	jw_time(w, "expires_at", p.expires_at_ms);
	if (!states_final(STATES_PAYMENT, p.state))
		jw_i64(w, "poll_after_ms",
			pace_told(c->app->pace, c->uid, c->number, c->now_ms - p.created_at_ms,
				now_mono_ms));
	jw_obj_end(w);
	return ERR_OK;
}
