/* The message is acknowledged once the transfer's row is there and, for one that finance makes, finance
 * was asked a first time: from then on the row itself makes callback, check and sweep push it, so an
 * outage of finance does not pile up messages. A credit needs no more than its row and the event that
 * was written with it. */
#include "domain/transfer.h"
#include "base/clk.h"
#include "base/logger.h"
#include "domain/credit.h"
#include "domain/flags.h"
#include "domain/packet.h"
#include "workers/role.h"

typedef struct {
	transfer_claim claim;
	unsigned payee_cell;
	int64_t now_ms, next_check_at_ms;
} adding;

static err_t add_tx(db_t *db, void *ctx)
{
	const adding *a = ctx;
	bool made;
	if (a->claim.kind == TRANSFER_CREDIT)
		return credit_begin(db, &a->claim, a->payee_cell, a->now_ms, a->next_check_at_ms);
	return transfer_add(db, &a->claim, a->now_ms, a->next_check_at_ms, &made);
}

static err_t handle_one(worker_t *w, const outbox_event *event)
{
	int64_t now_ms = clk_wall_ms();
	bool credit = event->packet_kind == PACKET_B2C;
	adding a = {.claim = {.claim_no = event->no,
			    .packet_id = event->packet_id,
			    .uid = event->uid,
			    .amount_fen = event->amount_fen,
			    .kind = credit ? TRANSFER_CREDIT : TRANSFER_FINANCE},
		.payee_cell = topology_cell_of_slot(w->p->topo, numbers_slot(event->uid))->number,
		.now_ms = now_ms,
		.next_check_at_ms = now_ms + orders_wait_ms(w->p->conf, 0)};
	err_t err = role_transact(w, add_tx, &a);
	return err == ERR_OK && !credit ? role_submit(w, FINANCE_TRANSFER, event->no) : err;
}

bool transfer_held(const worker_t *w)
{
	(void)w;
	return flags_off(FLAGS_TRANSFER_ASYNC, 0);
}

err_t transfer_handle(worker_t *w, const outbox_events *events)
{
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++) {
		role_follow(&events->event[i]);
		err = handle_one(w, &events->event[i]);
	}
	return err;
}
