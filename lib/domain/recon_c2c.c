/* Both sides are piles sorted by kind and number, walked side by side; what stands on one side only
 * is looked at more closely: a line without a row of the window may have its row in another state or
 * another window, and a row without a line may have moved just before or after midnight, or days before we
 * learned of it, so the statements of the days beside, and of those back to its beginning, are asked for those
 * few. Finance's clock and ours may differ. */
#include "domain/recon_inner.h"

#include "base/clk.h"
#include "base/logger.h"
#include "domain/numbers.h"
#include "domain/recon_pile.h"
#include "domain/statement.h"
#include "domain/states.h"
#include <stdlib.h>
#include <string.h>

enum {
	EDGE_MAX = 500000, /* rows without a line that may have one on another day, 20 MB */
	BACK_DAYS_MAX = 31,
};

/* `moved`: states that say finance moved the money; `waits`: that it may yet turn out. As bits. */
#define BIT(state) (1u << (state))
static const struct {
	finance_kind kind;
	recon_thing thing;
	unsigned done; /* the state whose rows are compared with the statement */
	unsigned moved, waits;
	sql_id page, find;
} rows[] = {
	{FINANCE_PAYMENT, RECON_PAYMENT, STATES_PAYMENT_PAID,
		BIT(STATES_PAYMENT_PAID) | BIT(STATES_PAYMENT_REFUNDING) |
			BIT(STATES_PAYMENT_REFUNDED),
		BIT(STATES_PAYMENT_PENDING) | BIT(STATES_PAYMENT_CLOSING), SQL_RECON_PAYMENTS,
		SQL_RECON_PAYMENT_FIND},
	{FINANCE_TRANSFER, RECON_TRANSFER, STATES_TRANSFER_DONE, BIT(STATES_TRANSFER_DONE),
		BIT(STATES_TRANSFER_PENDING), SQL_RECON_TRANSFERS, SQL_RECON_TRANSFER_FIND},
	{FINANCE_REFUND, RECON_REFUND, STATES_REFUND_DONE, BIT(STATES_REFUND_DONE),
		BIT(STATES_REFUND_PENDING), SQL_RECON_REFUNDS, SQL_RECON_REFUND_FIND},
	{FINANCE_WITHDRAWAL, RECON_WITHDRAWAL, STATES_WITHDRAWAL_DONE, BIT(STATES_WITHDRAWAL_DONE),
		BIT(STATES_WITHDRAWAL_PENDING), SQL_RECON_WITHDRAWALS, SQL_RECON_WITHDRAWAL_FIND},
};
enum { ROWS = sizeof rows / sizeof *rows };

typedef struct {
	recon_work *w;
	recon_pile_t *here, *there;
	int64_t until_ms; /* rows learned later than this are left to the next run */
	recon_line *edge;
	size_t edges;
} c2c;

static err_t take_line(void *ctx, const statement_line *line)
{
	c2c *c = ctx;
	const recon_job *j = c->w->job;
	if (topology_cell_of_slot(j->topo, numbers_slot(line->order_no)) != j->cell)
		return ERR_OK;
	if (line->at_ms < j->window.from_ms || line->at_ms >= j->window.to_ms)
		return ERR_INVALID_FIELD; /* a line of another day */
	recon_line l = {.no = line->order_no,
		.fen = line->amount_fen,
		.at_ms = line->at_ms,
		.kind = line->kind};
	return recon_pile_add(c->there, &l);
}

static err_t read_there(c2c *c)
{
	const recon_job *j = c->w->job;
	char path[STATEMENT_PATH_BYTES];
	err_t err = ERR_OK;
	if (!j->file)
		err = statement_fetch(j->finance, j->window.from_ms, j->folder, path);
	if (err == ERR_OK)
		err = statement_read(j->file ? j->file : path, take_line, c);
	if (err == ERR_OK)
		err = recon_pile_sort(c->there);
	c->w->sum.there = recon_pile_count(c->there);
	return err;
}

/* One page of the rows of a kind that came to their end in the window. *at is the cursor. */
static err_t read_page(c2c *c, unsigned kind, recon_line *at, size_t *count)
{
	db_rows_t *r;
	err_t err = db_select(c->w->job->db, rows[kind].page,
		DB_ARGS(db_u(rows[kind].done), db_u(rows[kind].done), db_i(at->at_ms),
			db_i(c->until_ms), db_i(at->at_ms), db_u(at->no), db_u(RECON_PAGE)),
		&r);
	if (err != ERR_OK)
		return err;
	for (*count = 0; err == ERR_OK && db_rows_next(r); ++*count) {
		*at = (recon_line){.no = db_rows_u(r, 0),
			.fen = db_rows_i(r, 1),
			.since_ms = db_rows_i(r, 2),
			.at_ms = db_rows_i(r, 3),
			.kind = rows[kind].kind};
		err = recon_pile_add(c->here, at);
	}
	db_rows_free(&r);
	return err;
}

static err_t read_here(c2c *c)
{
	err_t err = ERR_OK;
	for (unsigned k = 0; k < ROWS && err == ERR_OK; k++) {
		recon_line at = {.at_ms = c->w->job->window.from_ms};
		size_t count = RECON_PAGE;
		while (err == ERR_OK && count == RECON_PAGE)
			err = read_page(c, k, &at, &count);
	}
	if (err == ERR_OK)
		err = recon_pile_sort(c->here);
	c->w->sum.here = recon_pile_count(c->here);
	return err;
}

static unsigned row_of(uint32_t kind)
{
	for (unsigned k = 0; k < ROWS; k++)
		if ((uint32_t)rows[k].kind == kind)
			return k;
	BUG_ON(true);
	return 0;
}

static err_t found(c2c *c, recon_kind kind, uint32_t of, uint64_t no, const int64_t *ours,
	const int64_t *theirs)
{
	recon_diff d = {.thing = rows[row_of(of)].thing,
		.kind = kind,
		.no = no,
		.has_ours = ours != NULL,
		.has_theirs = theirs != NULL,
		.ours = ours ? *ours : 0,
		.theirs = theirs ? *theirs : 0};
	return recon_found(c->w, &d);
}

/* A line that no row of the window stands against: its row may be elsewhere, or still wait. */
static err_t line_alone(c2c *c, const recon_line *line)
{
	unsigned k = row_of(line->kind);
	db_rows_t *r;
	err_t err = db_select(c->w->job->db, rows[k].find, DB_ARGS(db_u(line->no)), &r);
	if (err != ERR_OK)
		return err;
	bool there = db_rows_next(r);
	int64_t fen = there ? db_rows_i(r, 0) : 0;
	int64_t state = there ? db_rows_i(r, 1) : 0;
	db_rows_free(&r);
	if (!there)
		return found(c, RECON_MISSING_HERE, line->kind, line->no, NULL, &line->fen);
	if (fen != line->fen)
		return found(c, RECON_AMOUNT, line->kind, line->no, &fen, &line->fen);
	if (rows[k].moved & BIT(state))
		return ERR_OK;
	if ((rows[k].waits & BIT(state)) && line->at_ms > c->w->began_ms - c->w->job->grace_ms) {
		c->w->sum.waiting++;
		return ERR_OK;
	}
	return found(c, RECON_STATE, line->kind, line->no, &state, &line->fen);
}

static err_t row_alone(c2c *c, const recon_line *row)
{
	const recon_job *j = c->w->job;
	bool early = row->since_ms < j->window.from_ms + j->skew_ms;
	bool late = row->at_ms >= j->window.to_ms - j->skew_ms;
	if (!early && !late)
		return found(c, RECON_MISSING_THERE, row->kind, row->no, &row->fen, NULL);
	if (c->edges == EDGE_MAX) {
		LOG(ERROR, "recon.edge", {"most", LOG_U(EDGE_MAX)});
		return ERR_INTERNAL;
	}
	if (!c->edge)
		c->edge = malloc(EDGE_MAX * sizeof *c->edge);
	BUG_ON(!c->edge);
	c->edge[c->edges] = *row;
	c->edge[c->edges++].spare = 0;
	return ERR_OK;
}

static err_t compare_piles(c2c *c)
{
	recon_line here, there, last = {0};
	bool more_here = false, more_there = false;
	err_t err = recon_pile_next(c->here, &here, &more_here);
	if (err == ERR_OK)
		err = recon_pile_next(c->there, &there, &more_there);
	while (err == ERR_OK && (more_here || more_there)) {
		int order = !more_there ? -1 : !more_here ? 1 : recon_line_order(&here, &there);
		if (more_there && last.no && recon_line_order(&last, &there) == 0) {
			if (!last.spare) /* once, however often it is there */
				err = found(c, RECON_TWICE, there.kind, there.no, NULL, &there.fen);
			last.spare = 1;
			if (err == ERR_OK)
				err = recon_pile_next(c->there, &there, &more_there);
			continue;
		}
		if (order < 0)
			err = row_alone(c, &here);
		else if (order > 0)
			err = line_alone(c, &there);
		else if (here.fen != there.fen)
			err = found(c, RECON_AMOUNT, here.kind, here.no, &here.fen, &there.fen);
		if (err == ERR_OK && order >= 0) {
			last = there;
			err = recon_pile_next(c->there, &there, &more_there);
		}
		if (err == ERR_OK && order <= 0)
			err = recon_pile_next(c->here, &here, &more_here);
	}
	return err;
}

static int edge_order(const void *a, const void *b)
{
	return recon_line_order(a, b);
}

/* A line of a day beside. Its amount is compared when that day is. */
static err_t mark_edge(void *ctx, const statement_line *line)
{
	c2c *c = ctx;
	recon_line key = {.no = line->order_no, .kind = line->kind};
	recon_line *e = bsearch(&key, c->edge, c->edges, sizeof key, edge_order);
	if (e)
		e->spare = 1;
	return ERR_OK;
}

static err_t look_into(c2c *c, int64_t day_ms)
{
	char path[STATEMENT_PATH_BYTES];
	err_t err = statement_fetch(c->w->job->finance, day_ms, c->w->job->folder, path);
	return err == ERR_OK ? statement_read(path, mark_edge, c) : err;
}

/* Whether a row without a line was there already at that time. */
static bool any_since(const c2c *c, int64_t before_ms)
{
	for (size_t i = 0; i < c->edges; i++)
		if (!c->edge[i].spare && c->edge[i].since_ms < before_ms)
			return true;
	return false;
}

static err_t look_beside(c2c *c)
{
	const recon_job *j = c->w->job;
	err_t err = ERR_OK;
	if (c->edges == 0)
		return ERR_OK;
	if (!j->finance) { /* a given file says nothing of the days beside */
		c->w->sum.waiting += c->edges;
		return ERR_OK;
	}
	err = look_into(c, j->window.to_ms);
	for (int64_t day_ms = j->window.from_ms, back = 0;
		err == ERR_OK && back < BACK_DAYS_MAX && any_since(c, day_ms + j->skew_ms); back++)
		err = look_into(c, day_ms -= RECON_DAY_MS);
	for (size_t i = 0; i < c->edges && err == ERR_OK; i++)
		if (!c->edge[i].spare)
			err = found(c, RECON_MISSING_THERE, c->edge[i].kind, c->edge[i].no,
				&c->edge[i].fen, NULL);
	return err;
}

err_t recon_c2c(recon_work *w)
{
	const recon_job *j = w->job;
	c2c c = {.w = w, .until_ms = j->window.to_ms < w->began_ms ? j->window.to_ms : w->began_ms};
	c.there = recon_pile_new(j->folder);
	err_t err = read_there(&c);
	if (err == ERR_OK) {
		c.here = recon_pile_new(j->folder);
		err = read_here(&c);
	}
	if (err == ERR_OK)
		err = compare_piles(&c);
	if (err == ERR_OK)
		err = look_beside(&c);
	recon_pile_free(&c.here);
	recon_pile_free(&c.there);
	free(c.edge);
	return err;
}
