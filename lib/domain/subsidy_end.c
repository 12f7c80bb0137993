/* What nobody spent goes back. Expiry and spending meet at the subsidy's row lock; settling a lease
 * and recording something of it meet at the lease's. So no fen is both in a user's hands and in the
 * campaign's, whatever messages are late. */
#include "base/logger.h"
#include "domain/ledger.h"
#include "domain/states.h"
#include "domain/subsidy_row.h"

err_t subsidy_expired(
	db_t *db, int64_t now_ms, unsigned limit, subsidy_cursor *at, uint64_t *ids, size_t *count)
{
	db_rows_t *r;
	const err_t e = db_select(db, SQL_SUBSIDY_EXPIRED,
		DB_ARGS(db_u(STATES_SUBSIDY_USABLE), db_i(now_ms), db_i(at->expires_at_ms),
			db_i(at->expires_at_ms), db_u(at->subsidy_id), db_u(limit)),
		&r);
	if (e != ERR_OK)
		return e;
	size_t n = 0;
	while (n < limit && db_rows_next(r)) {
		at->subsidy_id = ids[n++] = db_rows_u(r, 0);
		at->expires_at_ms = db_rows_i(r, 1);
	}
	db_rows_free(&r);
	*count = n;
	return ERR_OK;
}

err_t subsidy_expire(db_t *db, uint64_t subsidy_id, int64_t now_ms, bool *expired)
{
	subsidy_row s;
	bool changed, booked;
	err_t e = subsidy_row_one(db, SQL_SUBSIDY_LOCK_FREE, DB_ARGS(db_u(subsidy_id)), &s);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	if (e == ERR_NOT_FOUND || s.state != STATES_SUBSIDY_USABLE || s.expires_at_ms > now_ms) {
		*expired = false;
		return ERR_OK;
	}
	e = states_change(db, STATES_SUBSIDY, subsidy_id, STATES_SUBSIDY_USABLE,
		STATES_SUBSIDY_EXPIRED, STATES_BY_EXPIRE, now_ms, s.expires_at_ms, &changed);
	BUG_ON(e == ERR_OK && !changed); /* the row is locked */
	if (e == ERR_OK)
		e = ledger_book(db, LEDGER_BY_SUBSIDY_EXPIRED, subsidy_id, s.campaign, s.campaign,
			s.amount_fen, now_ms, &booked);
	if (e == ERR_OK)
		*expired = true;
	return e;
}

err_t subsidy_leases_due(db_t *db, int64_t now_ms, unsigned limit, uint64_t *ids, size_t *count)
{
	db_rows_t *r;
	const err_t e = db_select(
		db, SQL_LEASE_DUE, DB_ARGS(db_u(STATES_LEASE_OPEN), db_i(now_ms), db_u(limit)), &r);
	if (e != ERR_OK)
		return e;
	for (*count = 0; *count < limit && db_rows_next(r);)
		ids[(*count)++] = db_rows_u(r, 0);
	db_rows_free(&r);
	return ERR_OK;
}

typedef struct {
	bool found;
	uint64_t campaign;
	int64_t amount_fen, settle_at_ms, recorded_fen;
	unsigned state;
} lease_row;

static err_t lease_lock(db_t *db, uint64_t lease_id, lease_row *out)
{
	db_rows_t *r;
	err_t e = db_select(db, SQL_LEASE_LOCK, DB_ARGS(db_u(lease_id)), &r);
	if (e != ERR_OK)
		return e;
	*out = (lease_row){.found = db_rows_next(r)};
	if (out->found) {
		out->campaign = db_rows_u(r, 0);
		out->amount_fen = db_rows_i(r, 1);
		out->state = (unsigned)db_rows_u(r, 2);
		out->settle_at_ms = db_rows_i(r, 3);
	}
	db_rows_free(&r);
	if (!out->found)
		return ERR_OK;
	e = db_select(db, SQL_LEASE_RECORDED, DB_ARGS(db_u(lease_id)), &r);
	if (e != ERR_OK)
		return e;
	BUG_ON(!db_rows_next(r));
	out->recorded_fen = db_rows_i(r, 0);
	db_rows_free(&r);
	return ERR_OK;
}

err_t subsidy_settle(
	db_t *db, uint64_t lease_id, int64_t now_ms, bool *settled, int64_t *returned_fen)
{
	lease_row l;
	bool changed, booked;
	err_t e = lease_lock(db, lease_id, &l);
	if (e != ERR_OK)
		return e;
	if (!l.found || l.state != STATES_LEASE_OPEN || l.settle_at_ms > now_ms) {
		*settled = false;
		return ERR_OK;
	}
	int64_t back_fen = l.amount_fen - l.recorded_fen;
	if (back_fen < 0) { /* reconciliation finds it as well; nothing is to go back */
		LOG(ERROR, "lease.overdrawn", {"lease_id", LOG_U(lease_id)},
			{"fen", LOG_I(-back_fen)});
		back_fen = 0;
	}
	e = states_change(db, STATES_LEASE, lease_id, STATES_LEASE_OPEN, STATES_LEASE_SETTLED,
		STATES_BY_SETTLE, now_ms, l.settle_at_ms, &changed);
	BUG_ON(e == ERR_OK && !changed); /* the row is locked */
	if (e == ERR_OK && back_fen > 0)
		e = ledger_book(db, LEDGER_BY_SETTLE, lease_id, l.campaign, l.campaign, back_fen,
			now_ms, &booked);
	if (e == ERR_OK)
		e = db_exec(db, SQL_LEASE_RETURNED, DB_ARGS(db_i(back_fen), db_u(lease_id)), NULL);
	if (e == ERR_OK) {
		*settled = true;
		*returned_fen = back_fen;
	}
	return e;
}
