/* A transfer row is made by the transfer worker and not by the claim, so that the claim's
 * transaction stays short; it is copied from the claim's own row, never from a message. */
#include "domain/transfer.h"

#include "domain/credit.h"
#include "domain/ledger.h"
#include "domain/packet.h"
#include "domain/payment.h"
#include "domain/refund.h"
#include <string.h>

/* By the stored number of the transfer's kind. */
static const packet_kind packet_kinds[] = {
	[TRANSFER_FINANCE] = PACKET_C2C, [TRANSFER_CREDIT] = PACKET_B2C};

err_t transfer_add(
	db_t *db, const transfer_claim *c, int64_t now_ms, int64_t next_check_at_ms, bool *made)
{
	uint64_t rows = 0;
	err_t err = db_exec(db, SQL_TRANSFER_ADD,
		DB_ARGS(db_u(c->kind), db_u(STATES_TRANSFER_PENDING), db_i(next_check_at_ms),
			db_i(now_ms), db_i(now_ms), db_u(c->packet_id), db_u(c->uid),
			db_u(c->claim_no), db_i(c->amount_fen), db_u(packet_kinds[c->kind])),
		&rows);
	*made = err == ERR_OK && rows == 1;
	if (*made || (err != ERR_OK && err != ERR_DB_DUPLICATE))
		return err;
	/* It is there, or there is no such claim; or both, when the claim has left since. */
	db_rows_t *same;
	err = db_select(db, SQL_TRANSFER_SAME,
		DB_ARGS(db_u(c->claim_no), db_u(c->packet_id), db_u(c->uid), db_i(c->amount_fen),
			db_u(c->kind)),
		&same);
	if (err != ERR_OK)
		return err;
	if (db_rows_count(same) == 0)
		err = ERR_ORDER_CONFLICT;
	db_rows_free(&same);
	return err;
}

typedef struct {
	orders_row row;
	uint64_t packet_id;
} transfer_row;

static err_t lock_transfer(db_t *db, uint64_t order_no, transfer_row *out)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_TRANSFER_LOCK, DB_ARGS(db_u(order_no)), &r);
	if (err != ERR_OK)
		return err;
	if (db_rows_next(r))
		*out = (transfer_row){.row = {.kind = FINANCE_TRANSFER,
					      .order_no = order_no,
					      .state = (unsigned)db_rows_u(r, 0),
					      .amount_fen = db_rows_i(r, 1),
					      .uid = db_rows_u(r, 2)},
			.packet_id = db_rows_u(r, 3)};
	else
		err = ERR_NOT_FOUND;
	db_rows_free(&r);
	return err;
}

err_t transfer_apply(db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms)
{
	static const orders_states states = {STATES_TRANSFER, STATES_TRANSFER_PENDING,
		STATES_TRANSFER_DONE, STATES_TRANSFER_REFUSED,
		{STATES_TRANSFER_WALLET, STATES_TRANSFER_RETURNED}};
	transfer_row t;
	bool done;
	err_t err = lock_transfer(db, order_no, &t);
	return err == ERR_OK ? orders_word(db, &t.row, &states, a, now_ms, &done) : err;
}

static err_t return_to_sender(db_t *db, const orders_settling *s, const transfer_row *t)
{
	payment_row payment;
	err_t err = payment_of_packet(db, t->packet_id, &payment);
	if (err != ERR_OK)
		return err;
	refund_order r = {.reason = REFUND_REFUSED_TRANSFER,
		.refund_no = s->fresh_no,
		.packet_id = t->packet_id,
		.claim_no = s->order_no,
		.payment_no = payment.order_no,
		.payee = payment.payer,
		.amount_fen = t->row.amount_fen,
		.now_ms = s->now_ms,
		.next_check_at_ms = s->next_check_at_ms};
	return refund_make(db, &r);
}

/* The booking is there once; the event goes out every time, because nobody knows whether the last
 * one arrived. */
static err_t give_to_wallet(db_t *db, const orders_settling *s, const transfer_row *t)
{
	const topology_cell *cell = topology_cell_of_slot(s->d->topo, numbers_slot(t->row.uid));
	bool booked;
	err_t err = ledger_book(db, LEDGER_BY_REFUSED_OUT, s->order_no, 0, cell->number,
		t->row.amount_fen, s->now_ms, &booked);
	return err == ERR_OK
		       ? credit_event(db, s->order_no, t->row.uid, t->row.amount_fen, s->now_ms)
		       : err;
}

err_t transfer_settle(db_t *db, const orders_settling *s, bool *handed)
{
	transfer_row t;
	bool returning, booked = false;
	err_t err = lock_transfer(db, s->order_no, &t);
	if (err != ERR_OK || t.row.state != STATES_TRANSFER_REFUSED)
		return err;
	err = refund_made(db, t.packet_id, REFUND_REFUSED_TRANSFER, s->order_no, &returning);
	if (err == ERR_OK && !returning)
		err = ledger_booked(db, LEDGER_BY_REFUSED_OUT, s->order_no, &booked);
	if (err != ERR_OK)
		return err;
	bool to_sender = strcmp(conf_s(s->d->conf, CONF_ORDER_REFUSED_TRANSFER), "sender") == 0;
	*handed = returning || (to_sender && !booked);
	return *handed ? return_to_sender(db, s, &t) : give_to_wallet(db, s, &t);
}

err_t transfer_state(db_t *db, uint64_t order_no, transfer_kind *kind, unsigned *state)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_TRANSFER_STATE, DB_ARGS(db_u(order_no)), &r);
	if (err != ERR_OK)
		return err;
	if (db_rows_next(r)) {
		*state = (unsigned)db_rows_u(r, 0);
		*kind = (transfer_kind)db_rows_u(r, 1);
	} else {
		err = ERR_NOT_FOUND;
	}
	db_rows_free(&r);
	return err;
}

transfer_end transfer_end_of(transfer_kind kind, unsigned state)
{
	switch (state) {
	case STATES_TRANSFER_DONE:
		return kind == TRANSFER_CREDIT ? TRANSFER_END_WALLET : TRANSFER_END_DONE;
	case STATES_TRANSFER_WALLET:
		return TRANSFER_END_WALLET;
	case STATES_TRANSFER_RETURNED:
		return TRANSFER_END_RETURNED;
	default:
		return TRANSFER_END_PENDING;
	}
}

const char *transfer_end_name(transfer_end e)
{
	static const char *const name[] = {"pending", "done", "wallet", "returned"};
	return name[e];
}
