/* The message is acknowledged once the transfer's row is there and finance was asked a first time:
 * from then on the row itself makes callback, check and sweep push it, so an outage of finance does
 * not pile up messages. */
#include "domain/transfer.h"
#include "base/clk.h"
#include "base/logger.h"
#include "workers/role.h"

typedef struct {
	const outbox_event *event;
	int64_t now_ms, next_check_at_ms;
} adding;

static err_t add_tx(db_t *db, void *ctx)
{
	const adding *a = ctx;
	transfer_claim c = {.claim_no = a->event->no,
		.packet_id = a->event->packet_id,
		.uid = a->event->uid,
		.amount_fen = a->event->amount_fen};
	return transfer_add(db, &c, a->now_ms, a->next_check_at_ms);
}

static err_t handle_one(worker_t *w, const outbox_event *event)
{
	int64_t now_ms = clk_wall_ms();
	adding a = {.event = event,
		.now_ms = now_ms,
		.next_check_at_ms = now_ms + orders_wait_ms(w->p->conf, 0)};
	err_t err = role_transact(w, add_tx, &a);
	return err == ERR_OK ? role_submit(w, FINANCE_TRANSFER, event->no) : err;
}

err_t transfer_handle(worker_t *w, const outbox_events *events)
{
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++)
		err = handle_one(w, &events->event[i]);
	return err;
}
