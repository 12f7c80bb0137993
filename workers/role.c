/* What handlers and loops of several roles share. */
#include "workers/role.h"

void role_follow(const outbox_event *e)
{
	trace_begin(NULL, e && *e->traceparent ? e->traceparent : NULL);
}

err_t role_transact(worker_t *w, db_tx_fn fn, void *ctx)
{
	return db_transact(w->db, (unsigned)conf_i(w->p->conf, CONF_DB_TX_TRIES), fn, ctx);
}

err_t role_submit(worker_t *w, finance_kind kind, uint64_t order_no)
{
	return role_left_to_others(orders_submit(&w->desk, kind, order_no));
}

err_t role_left_to_others(err_t err)
{
	return err == ERR_FINANCE_UNAVAILABLE || err == ERR_ORDER_CONFLICT ? ERR_OK : err;
}

err_t role_submit_all(worker_t *w, finance_kind kind, const outbox_events *events)
{
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++) {
		role_follow(&events->event[i]);
		err = role_submit(w, kind, events->event[i].no);
	}
	return err;
}
