/* Expiry and claims meet at the packet's row lock: whoever has it sees either an open packet or one
 * that is refunding, so no fen is both claimed and refunded. The lock is taken with SKIP LOCKED,
 * because a sweep has other packets to do meanwhile. */
#include "domain/refund.h"

#include "base/logger.h"
#include "domain/orders.h"
#include "domain/outbox.h"
#include "domain/packet.h"

err_t refund_expired_packets(db_t *db, int64_t now_ms, unsigned limit, refund_cursor *at,
	uint64_t *packet_ids, size_t *count)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_REFUND_EXPIRED_PACKETS,
		DB_ARGS(db_u(STATES_PACKET_OPEN), db_i(now_ms), db_i(at->expires_at_ms),
			db_i(at->expires_at_ms), db_u(at->packet_id), db_u(limit)),
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
	uint64_t sender;
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
	}
	db_rows_free(&r);
	return ERR_OK;
}

static err_t add_refund(db_t *db, const refund_expiry *x, const packet_rest *p)
{
	payment_row payment;
	char payload[64];
	jw_t w;
	err_t err = payment_of_packet(db, x->packet_id, &payment);
	if (err == ERR_OK)
		err = db_exec(db, SQL_REFUND_ADD,
			DB_ARGS(db_u(x->refund_no), db_u(x->packet_id), db_u(REFUND_EXPIRED),
				db_u(payment.order_no), db_u(p->sender), db_i(p->remaining_fen),
				db_u(STATES_REFUND_PENDING), db_i(x->next_check_at_ms),
				db_i(x->now_ms), db_i(x->now_ms)),
			NULL);
	if (err != ERR_OK)
		return err;
	jw_start_fixed(&w, payload, sizeof payload);
	jw_arr(&w, NULL);
	jw_obj(&w, NULL);
	jw_i64(&w, "no", (int64_t)x->refund_no);
	jw_obj_end(&w);
	jw_arr_end(&w);
	size_t n = jw_end(&w);
	return outbox_add(db, OUTBOX_REFUND, x->refund_no, x->now_ms, payload, n);
}

err_t refund_expire_packet(db_t *db, const refund_expiry *x, bool *expired)
{
	packet_rest p;
	bool changed;
	err_t err = lock_packet(db, x->packet_id, &p);
	if (err != ERR_OK)
		return err;
	if (!p.found || p.state != STATES_PACKET_OPEN || p.expires_at_ms > x->now_ms) {
		*expired = false;
		return ERR_OK;
	}
	if (p.kind != PACKET_C2C || p.remaining_fen <= 0) {
		LOG(ERROR, "refund.impossible", {"packet_id", LOG_U(x->packet_id)},
			{"remaining_fen", LOG_I(p.remaining_fen)});
		return ERR_INTERNAL;
	}
	err = add_refund(db, x, &p);
	if (err == ERR_OK)
		err = states_change(db, STATES_PACKET, x->packet_id, STATES_PACKET_OPEN,
			STATES_PACKET_REFUNDING, STATES_BY_EXPIRE, x->now_ms, p.expires_at_ms,
			&changed);
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

err_t refund_apply(db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms)
{
	static const orders_states states = {
		STATES_REFUND_PENDING, STATES_REFUND_DONE, STATES_REFUND_REFUSED};
	db_rows_t *r;
	unsigned to;
	bool changed;
	uint64_t packet_id = 0;
	refund_reason reason = 0;
	orders_row row = {.kind = FINANCE_REFUND, .order_no = order_no};
	err_t err = db_select(db, SQL_REFUND_LOCK, DB_ARGS(db_u(order_no)), &r);
	if (err != ERR_OK)
		return err;
	bool found = db_rows_next(r);
	if (found) {
		row.state = (unsigned)db_rows_u(r, 0);
		row.amount_fen = db_rows_i(r, 1);
		packet_id = db_rows_u(r, 2);
		reason = (refund_reason)db_rows_u(r, 3);
	}
	db_rows_free(&r);
	if (!found)
		return ERR_NOT_FOUND;
	err = orders_judge(&row, &states, a, &to);
	if (err != ERR_OK || to == 0)
		return err;
	if (to == STATES_REFUND_REFUSED)
		LOG(WARN, "refund.refused", {"order_no", LOG_U(order_no)},
			{"reason", LOG_S(a->reason)});
	err = states_change(db, STATES_REFUND, order_no, STATES_REFUND_PENDING, to,
		STATES_BY_CALLBACK, now_ms, now_ms, &changed);
	if (err == ERR_OK && to == STATES_REFUND_DONE && reason == REFUND_EXPIRED)
		err = close_packet(db, packet_id, now_ms);
	return err;
}
