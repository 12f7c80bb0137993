/* Within a cell the database compares: each rule is a statement that gives the differences only,
 * page by page. Between cells no statement can: the legs that one side booked for the other are read
 * in order of time, and the other side is asked for the counterparts of each page. What was sent a
 * short time ago may still be on its way; what was received must have been sent, always. */
#include "domain/id_array.h"
#include "domain/ledger.h"
#include "domain/recon_inner.h"

#include <stdlib.h>

static const struct {
	recon_thing thing;
	sql_id rule;
	bool by_campaign; /* once for each of them */
} rules[] = {
	{RECON_LEASE, SQL_RECON_LEASES, true},
	{RECON_LEASE, SQL_RECON_LEASES_UNBOOKED, false},
	{RECON_LEASE, SQL_RECON_LEASES_SETTLED, false},
	{RECON_LEASE, SQL_RECON_LEASES_RETURNED, true},
	{RECON_SUBSIDY, SQL_RECON_SUBSIDIES, true},
	{RECON_PACKET, SQL_RECON_SUBSIDIES_SPENT, true},
	{RECON_SUBSIDY, SQL_RECON_SUBSIDIES_EXPIRED, true},
	{RECON_PACKET, SQL_RECON_PACKETS_EXPIRED, true},
	{RECON_CREDIT, SQL_RECON_CREDITS, true},
	{RECON_CREDIT, SQL_RECON_CREDITS_UNBOOKED, false},
	{RECON_WALLET, SQL_RECON_WALLETS, false},
	{RECON_CAMPAIGN, SQL_RECON_CAMPAIGNS, false},
	{RECON_USABLE, SQL_RECON_USABLE, false},
};
enum { RULES = sizeof rules / sizeof *rules };

static err_t take_rows(
	recon_work *w, recon_thing thing, db_rows_t *r, uint64_t *after, size_t *count)
{
	err_t err = ERR_OK;
	for (*count = 0; err == ERR_OK && db_rows_next(r); ++*count) {
		recon_diff d = {.thing = thing,
			.no = *after = db_rows_u(r, 0),
			.kind = (unsigned)db_rows_i(r, 1),
			.has_ours = !db_rows_null(r, 2),
			.has_theirs = !db_rows_null(r, 3),
			.ours = db_rows_i(r, 2),
			.theirs = db_rows_i(r, 3)};
		err = recon_found(w, &d);
	}
	return err;
}

static err_t run_rule(recon_work *w, unsigned rule, uint64_t campaign)
{
	const recon_window *at = &w->job->window;
	const unsigned skip = rules[rule].by_campaign ? 0 : 2;
	uint64_t after = 0;
	size_t count = RECON_PAGE;
	err_t err = ERR_OK;
	while (err == ERR_OK && count == RECON_PAGE) {
		const db_val v[] = {db_u(campaign), db_u(campaign), db_i(at->from_ms),
			db_i(at->to_ms), db_u(after), db_u(RECON_PAGE)};
		db_rows_t *r;
		err = db_select(
			w->job->db, rules[rule].rule, v + skip, sizeof v / sizeof *v - skip, &r);
		if (err != ERR_OK)
			return err;
		err = take_rows(w, rules[rule].thing, r, &after, &count);
		db_rows_free(&r);
	}
	return err;
}

static err_t run_campaign(recon_work *w, uint64_t campaign)
{
	err_t err = ERR_OK;
	for (unsigned i = 0; i < RULES && err == ERR_OK; i++)
		if (rules[i].by_campaign)
			err = run_rule(w, i, campaign);
	return err;
}

static err_t run_rules(recon_work *w)
{
	uint64_t campaign = 0;
	size_t count = RECON_PAGE;
	err_t err = ERR_OK;
	for (unsigned i = 0; i < RULES && err == ERR_OK; i++)
		if (!rules[i].by_campaign)
			err = run_rule(w, i, 0);
	while (err == ERR_OK && count == RECON_PAGE) {
		db_rows_t *r;
		err = db_select(w->job->db, SQL_RECON_CAMPAIGN_NUMBERS,
			DB_ARGS(db_u(campaign), db_u(RECON_PAGE)), &r);
		if (err != ERR_OK)
			return err;
		for (count = 0; err == ERR_OK && db_rows_next(r); count++)
			err = run_campaign(w, campaign = db_rows_u(r, 0));
		db_rows_free(&r);
	}
	return err;
}

typedef struct {
	uint64_t no;
	int64_t fen, at_ms;
	unsigned kind; /* of booking */
} leg;

/* One direction: legs on our `account` for the cell `peer`, whose counterparts stand on its
 * `counter` account under our number. */
typedef struct {
	recon_work *w;
	const topology_cell *peer;
	db_t *db; /* the peer's */
	ledger_account account, counter;
	bool may_wait;
	leg leg[RECON_PAGE];
	size_t count;
} direction;

static err_t judge(direction *d, const leg *l, const int64_t *theirs)
{
	recon_work *w = d->w;
	if (theirs && *theirs == -l->fen)
		return ERR_OK;
	if (!theirs && d->may_wait && l->at_ms > w->began_ms - w->job->grace_ms) {
		w->sum.waiting++;
		return ERR_OK;
	}
	recon_diff found = {.thing = RECON_CELLS,
		.no = l->no,
		.kind = theirs ? RECON_AMOUNT : RECON_MISSING_THERE,
		.has_ours = true,
		.ours = l->fen,
		.has_theirs = theirs != NULL,
		.theirs = theirs ? *theirs : 0};
	return recon_found(w, &found);
}

static int by_number(const void *a, const void *b)
{
	const leg *x = a, *y = b;
	return (x->no > y->no) - (x->no < y->no);
}

/* Both in the order of numbers; the peer may have more than one under a number, which is too many. */
static err_t compare_page(direction *d)
{
	uint64_t no[RECON_PAGE];
	db_rows_t *r;
	qsort(d->leg, d->count, sizeof *d->leg, by_number);
	for (size_t i = 0; i < d->count; i++)
		no[i] = d->leg[i].no;
	char *nos = id_array(no, d->count);
	err_t err = db_select(d->db, SQL_RECON_CELL_COUNTERLEGS,
		DB_ARGS(db_s(nos), db_u(d->counter), db_u(d->w->job->cell->number)), &r);
	free(nos);
	if (err != ERR_OK)
		return err;
	bool more = db_rows_next(r);
	for (size_t i = 0; i < d->count && err == ERR_OK; i++) {
		int64_t theirs = 0;
		bool there = false;
		for (; more && db_rows_u(r, 0) == d->leg[i].no; more = db_rows_next(r)) {
			theirs += db_rows_i(r, 1);
			there = true;
		}
		err = judge(d, &d->leg[i], there ? &theirs : NULL);
	}
	db_rows_free(&r);
	d->w->sum.there += d->count;
	return err;
}

static err_t compare_cells(direction *d)
{
	const recon_window *at = &d->w->job->window;
	leg last = {.at_ms = at->from_ms};
	err_t err = ERR_OK;
	do {
		db_rows_t *r;
		err = db_select(d->w->job->db, SQL_RECON_CELL_LEGS,
			DB_ARGS(db_u(d->account), db_u(d->account), db_u(d->peer->number),
				db_u(d->peer->number), db_i(last.at_ms), db_i(at->to_ms),
				db_i(last.at_ms), db_u(last.kind), db_u(last.kind), db_u(last.no),
				db_u(RECON_PAGE)),
			&r);
		if (err != ERR_OK)
			return err;
		for (d->count = 0; db_rows_next(r); d->count++)
			d->leg[d->count] = last = (leg){db_rows_u(r, 0), db_rows_i(r, 1),
				db_rows_i(r, 2), (unsigned)db_rows_u(r, 3)};
		db_rows_free(&r);
		d->w->sum.here += d->count;
		size_t count = d->count;
		if (count)
			err = compare_page(d);
		d->count = count;
	} while (err == ERR_OK && d->count == RECON_PAGE);
	return err;
}

static err_t compare_with(recon_work *w, const topology_cell *peer, db_t *db)
{
	direction *d = calloc(1, sizeof *d);
	BUG_ON(!d);
	d->w = w;
	d->peer = peer;
	d->db = db;
	d->account = LEDGER_DUE_FROM;
	d->counter = LEDGER_DUE_TO;
	err_t err = compare_cells(d);
	if (err == ERR_OK) {
		d->account = LEDGER_DUE_TO;
		d->counter = LEDGER_DUE_FROM;
		d->may_wait = true;
		err = compare_cells(d);
	}
	free(d);
	return err;
}

static err_t count_left(recon_work *w)
{
	const recon_window *at = &w->job->window;
	db_rows_t *r;
	err_t err = db_select(
		w->job->db, SQL_RECON_LEFT, DB_ARGS(db_i(at->from_ms), db_i(at->to_ms)), &r);
	if (err != ERR_OK)
		return err;
	w->sum.left = db_rows_next(r) ? db_rows_u(r, 0) : 0;
	db_rows_free(&r);
	return ERR_OK;
}

/* The connections first: while a cell cannot be reached the run is over before it has walked over everything
 * in vain, as it will be tried again and again. */
err_t recon_b2c(recon_work *w)
{
	const topology_t *t = w->job->topo;
	db_t *peer[TOPOLOGY_CELLS_MAX] = {0};
	err_t err = ERR_OK;
	for (unsigned c = 0; c < t->cell_count && err == ERR_OK; c++)
		err = w->job->peer(w->job->ctx, &t->cell[c], &peer[c]);
	if (err == ERR_OK)
		err = run_rules(w);
	if (err == ERR_OK)
		err = count_left(w);
	if (err == ERR_OK)
		err = recon_wins(w);
	for (unsigned c = 0; c < t->cell_count && err == ERR_OK; c++)
		err = compare_with(w, &t->cell[c], peer[c]);
	for (unsigned c = 0; c < t->cell_count; c++)
		db_close(&peer[c]);
	return err;
}
