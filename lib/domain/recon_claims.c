/* A claim is the only order without a row that a sweep would push: its transfer is made by whoever takes its
 * message (docs/decisions.md, 4), and the outbox forgets the message once RabbitMQ has it. So what RabbitMQ loses
 * is seen here only. No index has the times of claims: envelopes are walked by their numbers, from the first that
 * could be claimed at the time, a page in one statement. */
#include "domain/recon_claims.h"

#include "domain/recon_inner.h"

enum { ENVELOPES_PAGE = 500 };

/* Who was in its lane when the envelope expired claims a little later; an hour is plenty. */
static err_t first_envelope(db_t *db, const recon_window *window, uint64_t *after)
{
	db_rows_t *r;
	err_t err = db_select(
		db, SQL_RECON_CLAIMS_FIRST, DB_ARGS(db_i(window->from_ms - RECON_HOUR_MS)), &r);
	if (err != ERR_OK)
		return err;
	*after = db_rows_next(r) && !db_rows_null(r, 0) ? db_rows_u(r, 0) - 1 : INT64_MAX;
	db_rows_free(&r);
	return ERR_OK;
}

static err_t next_page(db_t *db, uint64_t after, uint64_t *last, uint64_t *count)
{
	db_rows_t *r;
	err_t err = db_select(
		db, SQL_RECON_CLAIMS_PAGE, DB_ARGS(db_u(after), db_u(ENVELOPES_PAGE)), &r);
	if (err != ERR_OK)
		return err;
	BUG_ON(!db_rows_next(r));
	*count = db_rows_u(r, 0);
	*last = *count ? db_rows_u(r, 1) : after;
	db_rows_free(&r);
	return ERR_OK;
}

static err_t take_page(db_t *db, const recon_window *window, uint64_t after, uint64_t last,
	recon_claim_fn each, void *ctx)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_RECON_CLAIMS,
		DB_ARGS(db_u(after), db_u(last), db_i(window->from_ms), db_i(window->to_ms)), &r);
	if (err != ERR_OK)
		return err;
	while (err == ERR_OK && db_rows_next(r)) {
		recon_claim c = {.claim_no = db_rows_u(r, 0),
			.packet_id = db_rows_u(r, 1),
			.uid = db_rows_u(r, 2),
			.amount_fen = db_rows_i(r, 3),
			.claimed_at_ms = db_rows_i(r, 4),
			.sender = db_rows_u(r, 5),
			.packet_kind = (unsigned)db_rows_u(r, 6),
			.lost = db_rows_null(r, 7),
			.transfer_fen = db_rows_i(r, 7)};
		err = each(ctx, &c);
	}
	db_rows_free(&r);
	return err;
}

err_t recon_claims_walk(
	db_t *db, const recon_window *window, recon_claim_fn each, void *ctx, uint64_t *envelopes)
{
	uint64_t after, last = 0, count = ENVELOPES_PAGE;
	err_t err = first_envelope(db, window, &after);
	for (*envelopes = 0; err == ERR_OK && count == ENVELOPES_PAGE; *envelopes += count) {
		err = next_page(db, after, &last, &count);
		if (err == ERR_OK && count)
			err = take_page(db, window, after, last, each, ctx);
		after = last;
	}
	return err;
}

static err_t judge(void *ctx, const recon_claim *c)
{
	recon_work *w = ctx;
	if (c->lost && c->claimed_at_ms > w->began_ms - w->job->grace_ms) {
		w->sum.waiting++;
		return ERR_OK;
	}
	recon_diff found = {.thing = RECON_CLAIM,
		.no = c->claim_no,
		.kind = c->lost ? RECON_MISSING_THERE : RECON_AMOUNT,
		.has_ours = true,
		.ours = c->amount_fen,
		.has_theirs = !c->lost,
		.theirs = c->transfer_fen};
	return recon_found(w, &found);
}

err_t recon_claims(recon_work *w)
{
	return recon_claims_walk(w->job->db, &w->job->window, judge, w, &w->sum.here);
}

err_t recon_claim_window(db_t *db, uint64_t claim_no, recon_window *out)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_RECON_CLAIM_WINDOW,
		DB_ARGS(db_u(RECON_CLAIMS), db_u(RECON_CLAIM), db_u(claim_no)), &r);
	if (err != ERR_OK)
		return err;
	if (db_rows_next(r))
		*out = (recon_window){db_rows_i(r, 0), db_rows_i(r, 1)};
	else
		err = ERR_NOT_FOUND;
	db_rows_free(&r);
	return err;
}
