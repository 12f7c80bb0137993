/* The packets' figures come from one statement each, which sees all of its tables at one moment. */
#include "domain/recon_live.h"

#include "domain/ledger.h"
#include "domain/states.h"

enum { PACKETS_PAGE = 500 };

static err_t account_sum(db_t *db, ledger_account account, unsigned owner, int64_t *fen)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_RECON_LIVE_ACCOUNT, DB_ARGS(db_u(account), db_u(owner)), &r);
	if (err != ERR_OK)
		return err;
	*fen = db_rows_next(r) ? db_rows_i(r, 0) : 0;
	db_rows_free(&r);
	return ERR_OK;
}

err_t recon_live_flow(db_t *from, db_t *to, recon_flow *flow)
{
	int64_t received = 0;
	err_t err = account_sum(to, LEDGER_DUE_FROM, flow->from->number, &received);
	if (err == ERR_OK)
		err = account_sum(from, LEDGER_DUE_TO, flow->to->number, &flow->out_fen);
	flow->in_fen = -received;
	return err;
}

/* NULL: as it should be. */
static const char *broken_rule(
	const recon_packet *p, int64_t taken_fen, int64_t taken, int64_t claims)
{
	bool paid_out = p->state == STATES_PACKET_EXHAUSTED ||
			p->state == STATES_PACKET_REFUNDING || p->state == STATES_PACKET_CLOSED;
	if (claims != taken || p->claimed_fen != taken_fen)
		return "its claims are not what the envelope says was taken";
	if (p->claimed_fen + p->refunded_fen > p->total_fen)
		return "claims and refunds are more than the total";
	if (p->claimed_fen + p->refunded_fen > p->paid_fen)
		return "claims and refunds are more than was paid";
	if (p->moved_fen > p->claimed_fen)
		return "more was transferred than claimed";
	if (paid_out && p->claimed_fen + p->refunded_fen != p->paid_fen)
		return "at its end, and claims and refunds are not what was paid";
	return NULL;
}

err_t recon_live_page(
	db_t *db, uint64_t *after, size_t most, recon_packet_fn each, void *ctx, size_t *count)
{
	db_rows_t *r;
	err_t err = db_select(
		db, SQL_RECON_LIVE_PACKETS, DB_ARGS(db_u(*after), db_u((uint64_t)most)), &r);
	if (err != ERR_OK)
		return err;
	for (*count = 0; db_rows_next(r); ++*count) {
		recon_packet p = {.packet_id = db_rows_u(r, 0),
			.state = (unsigned)db_rows_u(r, 1),
			.total_fen = db_rows_i(r, 2),
			.paid_fen = db_rows_i(r, 5),
			.claimed_fen = db_rows_i(r, 6),
			.moved_fen = db_rows_i(r, 8),
			.refunded_fen = db_rows_i(r, 9)};
		p.rule = broken_rule(&p, db_rows_i(r, 3), db_rows_i(r, 4), db_rows_i(r, 7));
		if (p.rule)
			each(ctx, &p);
		*after = p.packet_id;
	}
	db_rows_free(&r);
	return ERR_OK;
}

err_t recon_live_packets(db_t *db, recon_packet_fn each, void *ctx, uint64_t *count)
{
	uint64_t after = 0;
	size_t page = PACKETS_PAGE;
	for (*count = 0; page == PACKETS_PAGE; *count += page) {
		err_t err = recon_live_page(db, &after, PACKETS_PAGE, each, ctx, &page);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}
