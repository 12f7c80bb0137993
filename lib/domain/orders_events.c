/* What finance called back about: stored by hb-core with its outbox row, applied later by a worker,
 * by the function that check and sweep use. */
#include "domain/orders.h"

#include "base/clk.h"
#include "base/logger.h"
#include "domain/outbox.h"

typedef struct {
	const conf_t *conf;
	const char *event_id;
	const finance_event *e;
	uint64_t order_no;
	int64_t now_ms;
	bool repeated;
	finance_kind kind;
	bool unsettled; /* the order may be in a state that has to be settled (orders_settling) */
} event_ctx;

/* ERR_NOT_FOUND: a new event. */
static err_t event_same(db_t *db, const event_ctx *c)
{
	db_rows_t *r;
	err_t err = db_select(
		db, SQL_ORDERS_EVENT_FIND, DB_ARGS(db_u(c->e->order_no), db_s(c->event_id)), &r);
	if (err != ERR_OK)
		return err;
	if (!db_rows_next(r))
		err = ERR_NOT_FOUND;
	else if (db_rows_u(r, 0) != c->e->kind || db_rows_u(r, 1) != c->e->outcome ||
		 db_rows_i(r, 2) != c->e->amount_fen || db_rows_i(r, 3) != c->e->at_ms)
		err = ERR_ORDER_CONFLICT;
	db_rows_free(&r);
	return err;
}

static err_t event_outbox(db_t *db, const event_ctx *c)
{
	char payload[512];
	jw_t w;
	jw_start_fixed(&w, payload, sizeof payload);
	jw_arr(&w, NULL);
	jw_obj(&w, NULL);
	jw_i64(&w, "no", (int64_t)c->e->order_no);
	jw_str(&w, "e", c->event_id);
	outbox_write_trace(&w);
	jw_obj_end(&w);
	jw_arr_end(&w);
	size_t n = jw_end(&w);
	return outbox_add(db, OUTBOX_CALLBACK, c->e->order_no, c->now_ms, payload, n);
}

static err_t event_store_tx(db_t *db, void *ctx)
{
	event_ctx *c = ctx;
	orders_row row;
	err_t err = orders_load(db, c->e->kind, c->e->order_no, &row);
	if (err != ERR_OK)
		return err;
	err = event_same(db, c);
	c->repeated = err == ERR_OK;
	if (err != ERR_NOT_FOUND)
		return err;
	err = db_exec(db, SQL_ORDERS_EVENT_ADD,
		DB_ARGS(db_u(c->e->order_no), db_s(c->event_id), db_u(c->e->kind),
			db_u(c->e->outcome), db_i(c->e->amount_fen), db_i(c->e->at_ms),
			db_i(c->now_ms)),
		NULL);
	if (err == ERR_DB_DUPLICATE) /* another was faster: begin again and meet its row */
		return ERR_DB_RETRY;
	return err == ERR_OK ? event_outbox(db, c) : err;
}

err_t orders_event_store(const orders_desk *d, const char *event_id, const finance_event *e,
	int64_t now_ms, bool *repeated)
{
	event_ctx c = {.event_id = event_id, .e = e, .now_ms = now_ms};
	err_t err =
		db_transact(d->db, (unsigned)conf_i(d->conf, CONF_DB_TX_TRIES), event_store_tx, &c);
	if (err == ERR_OK)
		*repeated = c.repeated;
	return err;
}

static err_t event_handle_tx(db_t *db, void *ctx)
{
	event_ctx *c = ctx;
	db_rows_t *r;
	err_t err = db_select(
		db, SQL_ORDERS_EVENT_LOCK, DB_ARGS(db_u(c->order_no), db_s(c->event_id)), &r);
	if (err != ERR_OK)
		return err;
	bool found = db_rows_next(r), handled = found && !db_rows_null(r, 3);
	finance_kind kind = found ? (finance_kind)db_rows_u(r, 0) : 0;
	finance_answer a = {0};
	if (found) {
		a.outcome = (finance_outcome)db_rows_u(r, 1);
		a.amount_fen = db_rows_i(r, 2);
	}
	db_rows_free(&r);
	c->kind = kind;
	c->unsettled = a.outcome == FINANCE_REFUSED ||
		       (a.outcome == FINANCE_DONE && kind == FINANCE_PAYMENT);
	if (!found || handled)
		return found ? ERR_OK : ERR_NOT_FOUND;
	if (a.outcome == FINANCE_DONE && a.amount_fen == 0) { /* a callback must say how much */
		LOG(ERROR, "order.no_amount", {"kind", LOG_S(finance_kind_name(kind))},
			{"order_no", LOG_U(c->order_no)});
		return ERR_ORDER_CONFLICT;
	}
	err = orders_apply(db, kind, c->order_no, &a, c->conf, c->now_ms);
	if (err == ERR_OK)
		err = db_exec(db, SQL_ORDERS_EVENT_HANDLED,
			DB_ARGS(db_i(c->now_ms), db_u(c->order_no), db_s(c->event_id)), NULL);
	return err;
}

err_t orders_event_handle(
	const orders_desk *d, uint64_t order_no, const char *event_id, int64_t now_ms)
{
	event_ctx c = {
		.conf = d->conf, .event_id = event_id, .order_no = order_no, .now_ms = now_ms};
	err_t err = db_transact(
		d->db, (unsigned)conf_i(d->conf, CONF_DB_TX_TRIES), event_handle_tx, &c);
	if (err != ERR_OK || !c.unsettled)
		return err;
	/* What follows is the order's own business: what fails of it comes with its next check. */
	err = orders_check(d, c.kind, order_no);
	return err == ERR_FINANCE_UNAVAILABLE || err == ERR_ORDER_CONFLICT ? ERR_OK : err;
}
