/* The inbox brings a claim's row into the cell of its user. Messages come at least once, so adding
 * is idempotent by the primary key alone. */
#include "domain/received.h"

err_t received_add(db_t *db, const received_row *row)
{
	return db_exec(db, SQL_RECEIVED_ADD,
		DB_ARGS(db_u(row->uid), db_u(row->claim_no), db_u(row->packet_id),
			db_u(row->sender), db_u(row->packet_kind), db_i(row->amount_fen),
			db_i(row->claimed_at_ms)),
		NULL);
}

err_t received_list(
	db_t *db, uint64_t uid, uint64_t below, unsigned limit, received_row *rows, unsigned *count)
{
	db_rows_t *r;
	BUG_ON(limit > RECEIVED_LIST_MAX);
	err_t err =
		db_select(db, SQL_RECEIVED_LIST, DB_ARGS(db_u(uid), db_u(below), db_u(limit)), &r);
	if (err != ERR_OK)
		return err;
	unsigned n = 0;
	while (n < limit && db_rows_next(r))
		rows[n++] = (received_row){.uid = uid,
			.claim_no = db_rows_u(r, 0),
			.packet_id = db_rows_u(r, 1),
			.sender = db_rows_u(r, 2),
			.packet_kind = (unsigned)db_rows_u(r, 3),
			.amount_fen = db_rows_i(r, 4),
			.claimed_at_ms = db_rows_i(r, 5)};
	db_rows_free(&r);
	*count = n;
	return ERR_OK;
}
