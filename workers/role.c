/* What handlers and loops of several roles share. */
#include "workers/role.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/alert.h"

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

typedef struct {
	const char *queue, *reason, *body;
	size_t n;
} parking;

static err_t park_tx(db_t *db, void *ctx)
{
	const parking *p = ctx;
	int64_t now_ms = clk_wall_ms();
	err_t err = db_exec(db, SQL_WORKER_PARK,
		DB_ARGS(db_s(p->queue), db_u(queue_event_named(p->queue)), db_s(p->reason),
			db_i(now_ms), db_b(p->body, p->n)),
		NULL);
	return err == ERR_OK ? alert_parked(db, db_insert_id(db), p->queue, p->reason, now_ms)
			     : err;
}

err_t role_park(worker_t *w, const char *queue, const char *why, const char *body, size_t n)
{
	parking p = {.queue = queue, .reason = why, .body = body, .n = n};
	err_t err = role_transact(w, park_tx, &p);
	if (err == ERR_OK) {
		METRICS_INC(PARKED);
		LOG(ERROR, "worker.parked", {"queue", LOG_S(queue)}, {"why", LOG_S(why)});
	}
	return err;
}
