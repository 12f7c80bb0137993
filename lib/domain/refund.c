/* Expiry and claims meet at the packet's row lock: whoever has it sees either an open packet or one
 * that is refunding, so no fen is both claimed and refunded. The lock is taken with SKIP LOCKED,
 * because a sweep has other packets to do meanwhile. */
#include "domain/refund.h"

#include "base/logger.h"
#include "domain/ledger.h"
#include "domain/outbox.h"
#include "domain/packet.h"
#include <string.h>

err_t refund_expired_packets(db_t *db, int64_t now_ms, unsigned limit, refund_cursor *at,
	uint64_t *packet_ids, size_t *count)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_REFUND_EXPIRED_PACKETS,
		DB_ARGS(db_u(STATES_PACKET_OPEN), db_u(STATES_PACKET_OPEN), db_i(now_ms),
			db_i(at->expires_at_ms), db_i(at->expires_at_ms), db_u(at->packet_id),
			db_u(limit)),
		&r);
	if (err != ERR_OK)
		return err;
	size_t n = 0;
	while (n < limit && db_rows_next(r)) {
		at->packet_id = packet_ids[n++] = db_rows_u(r, 0);
		at->expires_at_ms = db_rows_i(r, 1);
	}
	db_rows_free(&r);
	*count = n;
	return ERR_OK;
}

typedef struct {
	bool found;
	unsigned state;
	packet_kind kind;
	uint64_t sender, campaign;
	int64_t remaining_fen, expires_at_ms;
} packet_rest;

static err_t lock_packet(db_t *db, uint64_t packet_id, packet_rest *out)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_REFUND_LOCK_PACKET, DB_ARGS(db_u(packet_id)), &r);
	if (err != ERR_OK)
		return err;
	*out = (packet_rest){.found = db_rows_next(r)};
	if (out->found) {
		out->state = (unsigned)db_rows_u(r, 0);
		out->kind = (packet_kind)db_rows_u(r, 1);
		out->sender = db_rows_u(r, 2);
		out->remaining_fen = db_rows_i(r, 3);
		out->expires_at_ms = db_rows_i(r, 4);
		out->campaign = db_rows_u(r, 5);
	}
	db_rows_free(&r);
	return ERR_OK;
}

static err_t add_refund(db_t *db, const refund_order *r)
{
	err_t err = db_exec(db, SQL_REFUND_ADD,
		DB_ARGS(db_u(r->refund_no), db_u(r->packet_id), db_u(r->reason), db_u(r->claim_no),
			db_u(r->payment_no), db_u(r->payee), db_i(r->amount_fen),
			db_u(STATES_REFUND_PENDING), db_i(r->next_check_at_ms), db_i(r->now_ms),
			db_i(r->now_ms)),
		NULL);
	if (err != ERR_OK)
		return err;
	return outbox_number(db, OUTBOX_REFUND, r->refund_no, r->now_ms);
}

err_t refund_made(db_t *db, uint64_t packet_id, refund_reason reason, uint64_t claim_no, bool *made)
{
	uint64_t count;
	err_t err = db_select_number(db, SQL_REFUND_COUNT,
		DB_ARGS(db_u(packet_id), db_u(reason), db_u(claim_no)), &count);
	if (err == ERR_OK)
		*made = count > 0;
	return err;
}

/* What the packet's refunds come to with this one is bounded by its payment; that it is not more
 * than its own part of it follows from where the amount was read: the rest of the packet, the
 * transfer, the payment. */
static err_t within_payment(db_t *db, const refund_order *r)
{
	payment_row payment;
	uint64_t others;
	err_t err = payment_load(db, r->payment_no, &payment);
	if (err == ERR_OK)
		err = db_select_number(db, SQL_REFUND_SUM, DB_ARGS(db_u(r->packet_id)), &others);
	if (err != ERR_OK || (int64_t)others <= payment.amount_fen - r->amount_fen)
		return err;
	LOG(ERROR, "refund.too_much", {"packet_id", LOG_U(r->packet_id)},
		{"fen", LOG_I(r->amount_fen)}, {"other_refunds_fen", LOG_U(others)},
		{"payment_fen", LOG_I(payment.amount_fen)});
	return ERR_ORDER_CONFLICT;
}

err_t refund_make(db_t *db, const refund_order *r)
{
	bool made;
	err_t err = refund_made(db, r->packet_id, r->reason, r->claim_no, &made);
	if (err != ERR_OK || made)
		return err;
	err = within_payment(db, r);
	if (err == ERR_OK)
		err = add_refund(db, r);
	/* Another was faster between the look and the insert: begin again and meet its row. */
	return err == ERR_DB_DUPLICATE ? ERR_DB_RETRY : err;
}

/* What nobody claimed of a b2c packet never left our books, so finance has no part in it. */
static err_t return_to_campaign(db_t *db, const refund_expiry *x, const packet_rest *p)
{
	bool changed;
	err_t err = ledger_book(db, LEDGER_BY_PACKET_EXPIRED, x->packet_id, p->campaign,
		p->campaign, p->remaining_fen, x->now_ms, &changed);
	if (err != ERR_OK)
		return err;
	return states_change(db, STATES_PACKET, x->packet_id, STATES_PACKET_OPEN,
		STATES_PACKET_CLOSED, STATES_BY_EXPIRE, x->now_ms, p->expires_at_ms, &changed);
}

static err_t refund_to_sender(db_t *db, const refund_expiry *x, const packet_rest *p)
{
	payment_row payment;
	bool changed;
	err_t err = payment_of_packet(db, x->packet_id, &payment);
	if (err != ERR_OK)
		return err;
	const refund_order r = {.reason = REFUND_EXPIRED,
		.refund_no = x->refund_no,
		.packet_id = x->packet_id,
		.payment_no = payment.order_no,
		.payee = p->sender,
		.amount_fen = p->remaining_fen,
		.now_ms = x->now_ms,
		.next_check_at_ms = x->next_check_at_ms};
	err = add_refund(db, &r);
	if (err != ERR_OK)
		return err;
	return states_change(db, STATES_PACKET, x->packet_id, STATES_PACKET_OPEN,
		STATES_PACKET_REFUNDING, STATES_BY_EXPIRE, x->now_ms, p->expires_at_ms, &changed);
}

err_t refund_expire_packet(db_t *db, const refund_expiry *x, bool *expired)
{
	packet_rest p;
	err_t err = lock_packet(db, x->packet_id, &p);
	if (err != ERR_OK)
		return err;
	if (!p.found || p.state != STATES_PACKET_OPEN || p.expires_at_ms > x->now_ms) {
		*expired = false;
		return ERR_OK;
	}
	if (p.remaining_fen <= 0) {
		LOG(ERROR, "refund.impossible", {"packet_id", LOG_U(x->packet_id)},
			{"remaining_fen", LOG_I(p.remaining_fen)});
		return ERR_INTERNAL;
	}
	err = p.kind == PACKET_B2C ? return_to_campaign(db, x, &p) : refund_to_sender(db, x, &p);
	if (err == ERR_OK)
		*expired = true;
	return err;
}

static err_t close_packet(db_t *db, uint64_t packet_id, int64_t now_ms)
{
	db_rows_t *r;
	bool changed;
	err_t err = db_select(db, SQL_REFUND_PACKET_EXPIRY, DB_ARGS(db_u(packet_id)), &r);
	if (err != ERR_OK)
		return err;
	bool found = db_rows_next(r);
	int64_t expires_at_ms = found ? db_rows_i(r, 0) : 0;
	db_rows_free(&r);
	if (!found) /* aged away already */
		return ERR_OK;
	return states_change(db, STATES_PACKET, packet_id, STATES_PACKET_REFUNDING,
		STATES_PACKET_CLOSED, STATES_BY_CALLBACK, now_ms, expires_at_ms, &changed);
}

typedef struct {
	orders_row row;
	uint64_t packet_id, claim_no;
	refund_reason reason;
} refund_row;

static err_t lock_refund(db_t *db, uint64_t order_no, refund_row *out)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_REFUND_LOCK, DB_ARGS(db_u(order_no)), &r);
	if (err != ERR_OK)
		return err;
	if (db_rows_next(r))
		*out = (refund_row){.row = {.kind = FINANCE_REFUND,
					    .order_no = order_no,
					    .state = (unsigned)db_rows_u(r, 0),
					    .amount_fen = db_rows_i(r, 1),
					    .uid = db_rows_u(r, 5),
					    .payment_no = db_rows_u(r, 6)},
			.packet_id = db_rows_u(r, 2),
			.reason = (refund_reason)db_rows_u(r, 3),
			.claim_no = db_rows_u(r, 4)};
	else
		err = ERR_NOT_FOUND;
	db_rows_free(&r);
	return err;
}

/* What waited for the refund, however it ended. */
static err_t refund_over(db_t *db, const refund_row *f, int64_t now_ms)
{
	bool changed;
	switch (f->reason) {
	case REFUND_EXPIRED:
		return close_packet(db, f->packet_id, now_ms);
	case REFUND_LATE_PAYMENT:
		return states_change(db, STATES_PAYMENT, f->row.payment_no,
			STATES_PAYMENT_REFUNDING, STATES_PAYMENT_REFUNDED, STATES_BY_CALLBACK,
			now_ms, now_ms, &changed);
	case REFUND_REFUSED_TRANSFER:
		return states_change(db, STATES_TRANSFER, f->claim_no, STATES_TRANSFER_REFUSED,
			STATES_TRANSFER_RETURNED, STATES_BY_CALLBACK, now_ms, now_ms, &changed);
	}
	return ERR_INTERNAL;
}

err_t refund_apply(db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms)
{
	static const orders_states states = {STATES_REFUND, STATES_REFUND_PENDING,
		STATES_REFUND_DONE, STATES_REFUND_REFUSED, {STATES_REFUND_WALLET}};
	refund_row f;
	bool done = false;
	err_t err = lock_refund(db, order_no, &f);
	if (err == ERR_OK)
		err = orders_word(db, &f.row, &states, a, now_ms, &done);
	return err == ERR_OK && done ? refund_over(db, &f, now_ms) : err;
}

/* With these finance says that there is nothing to give back: our books and its books differ. */
static bool payment_denied(const char *reason)
{
	static const char *const reasons[] = {
		"PAYMENT_NOT_PAID", "ABOVE_PAYMENT", "PAYEE_NOT_PAYER"};
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (strcmp(reason, reasons[i]) == 0)
			return true;
	return false;
}

err_t refund_settle(db_t *db, const orders_settling *s, bool *handed)
{
	refund_row f;
	bool booked, changed;
	(void)handed;
	err_t err = lock_refund(db, s->order_no, &f);
	if (err != ERR_OK || f.row.state != STATES_REFUND_REFUSED)
		return err;
	if (payment_denied(s->a->reason)) {
		LOG(ERROR, "refund.payment_denied", {"order_no", LOG_U(s->order_no)},
			{"reason", LOG_S(s->a->reason)});
		return ERR_ORDER_CONFLICT;
	}
	err = ledger_book(db, LEDGER_BY_REFUND_WALLET, s->order_no, 0, f.row.uid, f.row.amount_fen,
		s->now_ms, &booked);
	if (err == ERR_OK)
		err = states_change(db, STATES_REFUND, s->order_no, STATES_REFUND_REFUSED,
			STATES_REFUND_WALLET, STATES_BY_CREDIT, s->now_ms, s->now_ms, &changed);
	return err == ERR_OK ? refund_over(db, &f, s->now_ms) : err;
}
