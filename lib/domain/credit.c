/* No cell may write into another's database, so the money goes between them by messages that are sent
 * until they are answered, and each cell's books say what it owes (DUE_TO) or has received for the other
 * (DUE_FROM). The first event goes out with the transfer's row; the sweep sends it again, many in one
 * outbox row, which costs one commit however many wait for a cell that is away. */
#include "domain/credit.h"

#include "base/logger.h"
#include "base/metrics.h"
#include "domain/alert.h"
#include "domain/ledger.h"
#include "domain/orders.h"
#include "domain/outbox.h"
#include <stdlib.h>

enum { EVENT_BYTES = 160 }; /* {"no":…,"u":…,"a":…,"tp":…} of the longest numbers, and a comma */

static void event_write(jw_t *w, uint64_t claim_no, uint64_t uid, int64_t amount_fen)
{
	jw_obj(w, NULL);
	jw_i64(w, "no", (int64_t)claim_no);
	jw_i64(w, "u", (int64_t)uid);
	jw_i64(w, "a", amount_fen);
	outbox_write_trace(w);
	jw_obj_end(w);
}

err_t credit_event(db_t *db, uint64_t claim_no, uint64_t uid, int64_t amount_fen, int64_t now_ms)
{
	char payload[EVENT_BYTES + 2];
	jw_t w;
	jw_start_fixed(&w, payload, sizeof payload);
	jw_arr(&w, NULL);
	event_write(&w, claim_no, uid, amount_fen);
	jw_arr_end(&w);
	size_t n = jw_end(&w);
	return outbox_add(db, OUTBOX_CREDIT, claim_no, now_ms, payload, n);
}

static err_t campaign_of(db_t *db, uint64_t packet_id, uint64_t *campaign)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_CREDIT_CAMPAIGN, DB_ARGS(db_u(packet_id)), &r);
	if (err != ERR_OK)
		return err;
	if (db_rows_next(r))
		*campaign = db_rows_u(r, 0);
	else
		err = ERR_NOT_FOUND;
	db_rows_free(&r);
	return err;
}

err_t credit_begin(db_t *db, const transfer_claim *c, unsigned payee_cell, int64_t now_ms,
	int64_t next_check_at_ms)
{
	bool made, booked;
	uint64_t campaign;
	BUG_ON(c->kind != TRANSFER_CREDIT);
	err_t err = transfer_add(db, c, now_ms, next_check_at_ms, &made);
	if (err != ERR_OK || !made) /* booking and event came with the row */
		return err;
	err = campaign_of(db, c->packet_id, &campaign);
	if (err == ERR_OK)
		err = ledger_book(db, LEDGER_BY_CREDIT_OUT, c->claim_no, campaign, payee_cell,
			c->amount_fen, now_ms, &booked);
	return err == ERR_OK ? credit_event(db, c->claim_no, c->uid, c->amount_fen, now_ms) : err;
}

err_t credit_take(db_t *db, uint64_t claim_no, uint64_t uid, int64_t amount_fen,
	unsigned packet_cell, int64_t now_ms, bool *credited)
{
	err_t err = ledger_book(
		db, LEDGER_BY_CREDIT_IN, claim_no, packet_cell, uid, amount_fen, now_ms, credited);
	return err == ERR_OK ? outbox_number(db, OUTBOX_CREDITED, claim_no, now_ms) : err;
}

/* What an answer ends, by the kind of the transfer. */
static const struct {
	transfer_kind kind;
	unsigned from, to;
} ends[] = {
	{TRANSFER_CREDIT, STATES_TRANSFER_PENDING, STATES_TRANSFER_DONE},
	{TRANSFER_FINANCE, STATES_TRANSFER_REFUSED, STATES_TRANSFER_WALLET},
};

static err_t lock(db_t *db, uint64_t claim_no, unsigned *kind, unsigned *state)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_CREDIT_LOCK, DB_ARGS(db_u(claim_no)), &r);
	if (err != ERR_OK)
		return err;
	bool found = db_rows_next(r);
	*kind = found ? (unsigned)db_rows_u(r, 0) : 0;
	*state = found ? (unsigned)db_rows_u(r, 1) : 0;
	db_rows_free(&r);
	return found ? ERR_OK : ERR_NOT_FOUND;
}

err_t credit_done(db_t *db, uint64_t claim_no, int64_t now_ms)
{
	unsigned kind, state;
	bool changed;
	err_t err = lock(db, claim_no, &kind, &state);
	if (err != ERR_OK)
		return err;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		if (ends[i].kind != kind)
			continue;
		if (state == ends[i].to)
			return ERR_OK;
		if (state == ends[i].from)
			return states_change(db, STATES_TRANSFER, claim_no, state, ends[i].to,
				STATES_BY_CREDIT, now_ms, now_ms, &changed);
	}
	LOG(ERROR, "credit.not_wanted", {"claim_no", LOG_U(claim_no)}, {"kind", LOG_U(kind)},
		{"state", LOG_S(states_shown(STATES_TRANSFER, state))});
	return ERR_ORDER_CONFLICT;
}

/* The row's columns: order_no, payee, amount, tries, stuck. */
static err_t count_try(db_t *db, const conf_t *conf, const db_rows_t *r, int64_t now_ms)
{
	uint64_t order_no = db_rows_u(r, 0);
	unsigned tries = (unsigned)db_rows_u(r, 3) + 1;
	bool was_stuck = db_rows_u(r, 4) != 0;
	bool stuck = was_stuck || tries >= conf_i(conf, CONF_ORDER_STUCK_TRIES);
	if (stuck && !was_stuck) {
		METRICS_INC(ORDERS_STUCK);
		LOG(WARN, "order.stuck", {"kind", LOG_S("credit")}, {"order_no", LOG_U(order_no)},
			{"tries", LOG_U(tries)});
		err_t err = alert_stuck(db, "credit", order_no,
			states_shown(STATES_TRANSFER, STATES_TRANSFER_PENDING), tries, now_ms);
		if (err != ERR_OK)
			return err;
	}
	return db_exec(db, SQL_ORDERS_TRANSFER_TRY,
		DB_ARGS(db_u(stuck), db_i(now_ms + orders_wait_ms(conf, tries)), db_u(order_no),
			db_u(STATES_TRANSFER_PENDING), db_u(tries - 1)),
		NULL);
}

err_t credit_again(db_t *db, const conf_t *conf, unsigned limit, int64_t now_ms, unsigned *count)
{
	uint64_t first = 0;
	db_rows_t *r;
	jw_t w;
	unsigned n = 0;
	BUG_ON(limit == 0 || limit > CREDIT_AGAIN_MAX);
	err_t err = db_select(db, SQL_CREDIT_DUE,
		DB_ARGS(db_u(STATES_TRANSFER_PENDING), db_i(now_ms), db_u(TRANSFER_CREDIT),
			db_u(limit)),
		&r);
	if (err != ERR_OK)
		return err;
	size_t room = db_rows_count(r) * EVENT_BYTES + 3;
	char *payload = malloc(room);
	BUG_ON(!payload);
	jw_start_fixed(&w, payload, room);
	jw_arr(&w, NULL);
	for (; err == ERR_OK && db_rows_next(r); n++) {
		if (n == 0)
			first = db_rows_u(r, 0);
		event_write(&w, db_rows_u(r, 0), db_rows_u(r, 1), db_rows_i(r, 2));
		err = count_try(db, conf, r, now_ms);
	}
	jw_arr_end(&w);
	size_t len = jw_end(&w);
	db_rows_free(&r);
	if (err == ERR_OK && n > 0)
		err = outbox_add(db, OUTBOX_CREDIT, first, now_ms, payload, len);
	free(payload);
	if (err == ERR_OK)
		*count = n;
	return err;
}

err_t credit_push(db_t *db, uint64_t claim_no, int64_t now_ms, bool *pushed)
{
	unsigned kind, state;
	err_t err = lock(db, claim_no, &kind, &state);
	if (err == ERR_OK && kind != TRANSFER_CREDIT)
		err = ERR_NOT_FOUND;
	*pushed = err == ERR_OK && state == STATES_TRANSFER_PENDING;
	if (!*pushed)
		return err;
	err = db_exec(db, SQL_ORDERS_TRANSFER_PUSH,
		DB_ARGS(db_i(now_ms), db_u(claim_no), db_u(state)), NULL);
	return err == ERR_OK ? alert_stuck_clear(
				       db, "credit", claim_no, states_shown(STATES_TRANSFER, state))
			     : err;
}
