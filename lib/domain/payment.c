/* Why: finance may tell the same thing by callback, check and sweep, at once and in any order. The
 * payment's row is locked first, so each word meets the outcome of the one before; payment and
 * packet change in one transaction, so a paid payment never stands beside a packet that is not
 * open. */
#include "domain/payment.h"
#include "base/logger.h"
#include "domain/check.h"
#include "domain/refund.h"
#include <stdio.h>

static err_t row_select(db_t *db, sql_id id, uint64_t number, payment_row *out)
{
	db_rows_t *r;
	err_t e = db_select(db, id, DB_ARGS(db_u(number)), &r);
	if (e != ERR_OK)
		return e;
	if (!db_rows_next(r)) {
		e = ERR_NOT_FOUND;
		goto out;
	}
	*out = (payment_row){.order_no = db_rows_u(r, 0),
		.packet_id = db_rows_u(r, 1),
		.payer = db_rows_u(r, 2),
		.amount_fen = db_rows_i(r, 3),
		.state = (unsigned)db_rows_u(r, 4),
		.expires_at_ms = db_rows_i(r, 5),
		.created_at_ms = db_rows_i(r, 6)};
	snprintf(out->cashier_url, sizeof out->cashier_url, "%s", db_rows_s(r, 7, NULL));
out:
	db_rows_free(&r);
	return e;
}

err_t payment_load(db_t *db, uint64_t order_no, payment_row *out)
{
	return row_select(db, SQL_PAYMENT_LOAD, order_no, out);
}

err_t payment_of_packet(db_t *db, uint64_t packet_id, payment_row *out)
{
	return row_select(db, SQL_PAYMENT_OF_PACKET, packet_id, out);
}

err_t payment_insert(db_t *db, const payment_row *p, int64_t next_check_at_ms)
{
	err_t e = db_exec(db, SQL_PAYMENT_INSERT,
		DB_ARGS(db_u(p->order_no), db_u(p->packet_id), db_u(p->payer), db_i(p->amount_fen),
			db_u(p->state), db_i(next_check_at_ms), db_i(p->expires_at_ms),
			db_i(p->created_at_ms), db_i(p->created_at_ms)),
		NULL);
	return e == ERR_OK ? check_add(db, FINANCE_PAYMENT, p->order_no, 0, p->created_at_ms) : e;
}

err_t payment_set_cashier(db_t *db, uint64_t order_no, const char *url)
{
	return db_exec(db, SQL_PAYMENT_SET_CASHIER, DB_ARGS(db_s(url), db_u(order_no)), NULL);
}

/* What each final word makes of payment and packet. */
typedef struct {
	unsigned payment, packet;
} verdict;

static const verdict verdicts[] = {
	[FINANCE_DONE] = {STATES_PAYMENT_PAID, STATES_PACKET_OPEN},
	[FINANCE_REFUSED] = {STATES_PAYMENT_CLOSED, STATES_PACKET_CLOSED},
	[FINANCE_CLOSED] = {STATES_PAYMENT_CLOSED, STATES_PACKET_CLOSED},
};

static err_t contradiction(const payment_row *p, const finance_answer *a, const char *event)
{
	LOG(ERROR, event, {"order_no", LOG_U(p->order_no)},
		{"state", LOG_S(states_shown(STATES_PAYMENT, p->state))},
		{"outcome", LOG_S(finance_outcome_name(a->outcome))});
	return ERR_ORDER_CONFLICT;
}

static err_t paid_late(db_t *db, const payment_row *p, int64_t now_ms)
{
	bool changed;
	LOG(WARN, "payment.late", {"order_no", LOG_U(p->order_no)}, {"fen", LOG_I(p->amount_fen)});
	err_t e = states_change(db, STATES_PAYMENT, p->order_no, STATES_PAYMENT_CLOSED,
		STATES_PAYMENT_REFUNDING, STATES_BY_CALLBACK, now_ms, now_ms, &changed);
	return e == ERR_OK ? check_add(db, FINANCE_PAYMENT, p->order_no, 0, now_ms) : e;
}

err_t payment_settle(db_t *db, const orders_settling *s, bool *handed)
{
	payment_row p;
	err_t e = row_select(db, SQL_PAYMENT_LOCK, s->order_no, &p);
	if (e != ERR_OK || p.state != STATES_PAYMENT_REFUNDING)
		return e;
	refund_order r = {.reason = REFUND_LATE_PAYMENT,
		.refund_no = s->fresh_no,
		.packet_id = p.packet_id,
		.payment_no = p.order_no,
		.payee = p.payer,
		.amount_fen = p.amount_fen,
		.now_ms = s->now_ms,
		.next_check_at_ms = s->next_check_at_ms};
	*handed = true;
	return refund_make(db, &r);
}

err_t payment_apply(
	db_t *db, uint64_t order_no, const finance_answer *a, int64_t packet_ttl_ms, int64_t now_ms)
{
	payment_row p;
	err_t e = row_select(db, SQL_PAYMENT_LOCK, order_no, &p);
	if (e != ERR_OK)
		return e;
	if (a->amount_fen != 0 && a->amount_fen != p.amount_fen)
		return contradiction(&p, a, "payment.other_amount");
	if (a->outcome == FINANCE_PENDING || a->outcome == FINANCE_NOT_KNOWN)
		return ERR_OK;
	const verdict v = verdicts[a->outcome];
	if (p.state == v.payment || p.state == STATES_PAYMENT_REFUNDING ||
		p.state == STATES_PAYMENT_REFUNDED) /* closed and paid: both were said */
		return ERR_OK;
	if (p.state == STATES_PAYMENT_CLOSED && a->outcome == FINANCE_DONE)
		return paid_late(db, &p, now_ms);
	if (p.state != STATES_PAYMENT_PENDING && p.state != STATES_PAYMENT_CLOSING)
		return contradiction(&p, a, "payment.other_word");
	bool changed;
	e = states_change(db, STATES_PAYMENT, order_no, p.state, v.payment, STATES_BY_CALLBACK,
		now_ms, now_ms, &changed);
	if (e != ERR_OK)
		return e;
	BUG_ON(!changed); /* the row is locked */
	const int64_t packet_at =
		v.packet == STATES_PACKET_OPEN ? now_ms + packet_ttl_ms : p.expires_at_ms;
	e = states_change(db, STATES_PACKET, p.packet_id, STATES_PACKET_UNPAID, v.packet,
		STATES_BY_CALLBACK, now_ms, packet_at, &changed);
	if (e == ERR_OK && !changed)
		return contradiction(&p, a, "payment.packet_not_unpaid");
	return e == ERR_OK && v.payment == STATES_PAYMENT_CLOSED
		       ? check_add_closed(db, order_no, 0, now_ms)
		       : e;
}
