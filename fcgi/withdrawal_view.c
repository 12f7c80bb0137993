/* Why: the user waits here for finance's word, as a payer does. */
#include "base/clk.h"
#include "domain/states.h"
#include "domain/withdrawal.h"
#include "fcgi/handlers.h"
#include "fcgi/pace.h"
#include "fcgi/views.h"

static err_t withdrawal_read(app_call_t *c, withdrawal_row *out)
{
	db_t *db;
	err_t e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	e = withdrawal_load(db, c->number, out);
	db_pool_give(c->app->db, &db);
	return e == ERR_OK && out->uid != c->uid ? ERR_FORBIDDEN : e;
}

err_t handle_withdrawal(app_call_t *c)
{
	const int64_t now_mono_ms = clk_mono_ms();
	withdrawal_row row;
	err_t e = pace_check(c->app->pace, c->uid, c->number, now_mono_ms, &c->r->retry_after_ms);
	if (e == ERR_OK)
		e = withdrawal_read(c, &row);
	if (e != ERR_OK)
		return e;
	int64_t poll_ms = 0;
	if (!states_final(STATES_WITHDRAWAL, row.state))
		poll_ms = pace_told(c->app->pace, c->uid, c->number, c->now_ms - row.created_at_ms,
			now_mono_ms);
	views_withdrawal(&c->r->out, &row, poll_ms);
	return ERR_OK;
}
