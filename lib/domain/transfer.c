/* A transfer row is made by the transfer worker and not by the claim, so that the claim's
 * transaction stays short; it is copied from the claim's own row, never from a message. */
#include "domain/transfer.h"

#include "base/logger.h"
#include "domain/orders.h"

err_t transfer_add(db_t *db, const transfer_claim *c, int64_t now_ms, int64_t next_check_at_ms)
{
	uint64_t made = 0;
	err_t err = db_exec(db, SQL_TRANSFER_ADD,
		DB_ARGS(db_u(TRANSFER_FINANCE), db_u(STATES_TRANSFER_PENDING),
			db_i(next_check_at_ms), db_i(now_ms), db_i(now_ms), db_u(c->packet_id),
			db_u(c->uid), db_u(c->claim_no), db_i(c->amount_fen)),
		&made);
	if (err == ERR_OK)
		return made == 1 ? ERR_OK : ERR_ORDER_CONFLICT;
	if (err != ERR_DB_DUPLICATE)
		return err;
	db_rows_t *same;
	err = db_select(db, SQL_TRANSFER_SAME,
		DB_ARGS(db_u(c->claim_no), db_u(c->packet_id), db_u(c->uid), db_i(c->amount_fen)),
		&same);
	if (err != ERR_OK)
		return err;
	if (db_rows_count(same) == 0)
		err = ERR_ORDER_CONFLICT;
	db_rows_free(&same);
	return err;
}

err_t transfer_apply(db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms)
{
	static const orders_states states = {
		STATES_TRANSFER_PENDING, STATES_TRANSFER_DONE, STATES_TRANSFER_REFUSED};
	db_rows_t *r;
	unsigned to;
	bool changed;
	err_t err = db_select(db, SQL_TRANSFER_LOCK, DB_ARGS(db_u(order_no)), &r);
	if (err != ERR_OK)
		return err;
	bool found = db_rows_next(r);
	orders_row row = {.kind = FINANCE_TRANSFER, .order_no = order_no};
	if (found) {
		row.state = (unsigned)db_rows_u(r, 0);
		row.amount_fen = db_rows_i(r, 1);
	}
	db_rows_free(&r);
	if (!found)
		return ERR_NOT_FOUND;
	err = orders_judge(&row, &states, a, &to);
	if (err != ERR_OK || to == 0)
		return err;
	if (to == STATES_TRANSFER_REFUSED)
		LOG(WARN, "transfer.refused", {"order_no", LOG_U(order_no)},
			{"reason", LOG_S(a->reason)});
	return states_change(db, STATES_TRANSFER, order_no, STATES_TRANSFER_PENDING, to,
		STATES_BY_CALLBACK, now_ms, now_ms, &changed);
}

err_t transfer_state(db_t *db, uint64_t order_no, unsigned *state)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_TRANSFER_STATE, DB_ARGS(db_u(order_no)), &r);
	if (err != ERR_OK)
		return err;
	if (db_rows_next(r))
		*state = (unsigned)db_rows_u(r, 0);
	else
		err = ERR_NOT_FOUND;
	db_rows_free(&r);
	return err;
}
