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
