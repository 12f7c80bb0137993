/* The booking and the order are one transaction under the key's row, so a repeat, a race or a lost answer
 * takes the money once; whoever is second for the last fen meets the account's row and is refused. From
 * there on it is an order like any other: sent, called back about, checked and swept under its number. */
#include "domain/withdrawal.h"

#include "base/clk.h"
#include "domain/idempotency.h"
#include "domain/ledger.h"
#include "domain/outbox.h"
#include "domain/states.h"

static void row_read(const db_rows_t *r, withdrawal_row *out)
{
	*out = (withdrawal_row){.order_no = db_rows_u(r, 0),
		.uid = db_rows_u(r, 1),
		.amount_fen = db_rows_i(r, 2),
		.state = (unsigned)db_rows_u(r, 3),
		.created_at_ms = db_rows_i(r, 4),
		.changed_at_ms = db_rows_i(r, 5)};
}

static err_t select_one(db_t *db, sql_id id, uint64_t order_no, withdrawal_row *out)
{
	db_rows_t *r;
	err_t err = db_select(db, id, DB_ARGS(db_u(order_no)), &r);
	if (err != ERR_OK)
		return err;
	if (db_rows_next(r))
		row_read(r, out);
	else
		err = ERR_NOT_FOUND;
	db_rows_free(&r);
	return err;
}

err_t withdrawal_load(db_t *db, uint64_t order_no, withdrawal_row *out)
{
	return select_one(db, SQL_WITHDRAWAL_LOAD, order_no, out);
}

err_t withdrawal_list(db_t *db, uint64_t uid, int64_t before_ms, uint64_t below, unsigned limit,
	withdrawal_row *rows, unsigned *count)
{
	db_rows_t *r;
	BUG_ON(limit > WITHDRAWAL_LIST_MAX);
	err_t err = db_select(db, SQL_WITHDRAWAL_PAGE,
		DB_ARGS(db_u(uid), db_i(before_ms), db_i(before_ms), db_u(below), db_u(limit)), &r);
	if (err != ERR_OK)
		return err;
	for (*count = 0; db_rows_next(r); ++*count)
		row_read(r, &rows[*count]);
	db_rows_free(&r);
	return ERR_OK;
}

typedef struct {
	const withdrawal_order *order;
	idempotency_t key;
	withdrawal_row row;
	bool replayed;
} making;

static err_t write_order(db_t *db, const making *m)
{
	const withdrawal_row *row = &m->row;
	err_t err = db_exec(db, SQL_WITHDRAWAL_ADD,
		DB_ARGS(db_u(row->order_no), db_u(row->uid), db_i(row->amount_fen),
			db_u(row->state), db_i(row->created_at_ms + m->order->check_ms),
			db_i(row->created_at_ms), db_i(row->created_at_ms)),
		NULL);
	return err == ERR_OK
		       ? outbox_number(db, OUTBOX_WITHDRAWAL, row->order_no, row->created_at_ms)
		       : err;
}

static err_t make_tx(db_t *db, void *ctx)
{
	making *m = ctx;
	uint64_t ref;
	bool used, booked;
	err_t err = idempotency_take(db, &m->key, &used, &ref);
	if (err != ERR_OK)
		return err;
	if (used) {
		m->replayed = ref != m->key.ref;
		err = withdrawal_load(db, ref, &m->row);
		m->row.state = STATES_WITHDRAWAL_PENDING;
		m->row.changed_at_ms = m->row.created_at_ms;
		return err;
	}
	err = ledger_book(db, LEDGER_BY_WITHDRAW, m->row.order_no, m->row.uid, 0, m->row.amount_fen,
		m->row.created_at_ms, &booked);
	if (err == ERR_OK)
		err = write_order(db, m);
	m->key.written |= err == ERR_OK;
	return err;
}

err_t withdrawal_make(
	const withdrawal_desk *d, const withdrawal_order *o, withdrawal_row *out, bool *replayed)
{
	making m = {.order = o};
	m.row = (withdrawal_row){.uid = o->uid,
		.amount_fen = o->amount_fen,
		.state = STATES_WITHDRAWAL_PENDING,
		.created_at_ms = o->now_ms,
		.changed_at_ms = o->now_ms};
	err_t err = numbers_next(d->numbers, numbers_slot(o->uid), &m.row.order_no);
	if (err != ERR_OK)
		return err;
	m.key = (idempotency_t){.route = IDEMPOTENCY_WITHDRAWALS,
		.uid = o->uid,
		.key = o->key,
		.body_hash = o->body_hash,
		.ref = m.row.order_no,
		.now_ms = o->now_ms,
		.started_ms = clk_mono_ms(),
		.wait_ms = d->key_wait_ms};
	err = idempotency_end(&m.key, db_transact(d->db, d->tx_tries, make_tx, &m));
	if (err == ERR_OK) {
		*out = m.row;
		*replayed = m.replayed;
	}
	return err;
}

err_t withdrawal_apply(db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms)
{
	static const orders_states states = {STATES_WITHDRAWAL, STATES_WITHDRAWAL_PENDING,
		STATES_WITHDRAWAL_DONE, STATES_WITHDRAWAL_REFUSING, {STATES_WITHDRAWAL_REFUSED}};
	withdrawal_row w;
	bool done, booked;
	err_t err = select_one(db, SQL_WITHDRAWAL_LOCK, order_no, &w);
	if (err != ERR_OK)
		return err;
	const orders_row row = {.kind = FINANCE_WITHDRAWAL,
		.order_no = order_no,
		.state = w.state,
		.amount_fen = w.amount_fen};
	err = orders_word(db, &row, &states, a, now_ms, &done);
	if (err != ERR_OK || !done)
		return err;
	return ledger_book(db, LEDGER_BY_WITHDRAWN, order_no, 0, 0, w.amount_fen, now_ms, &booked);
}

err_t withdrawal_settle(db_t *db, const orders_settling *s, bool *handed)
{
	withdrawal_row w;
	bool booked, changed;
	(void)handed;
	err_t err = select_one(db, SQL_WITHDRAWAL_LOCK, s->order_no, &w);
	if (err != ERR_OK || w.state != STATES_WITHDRAWAL_REFUSING)
		return err;
	err = ledger_book(db, LEDGER_BY_WITHDRAW_BACK, s->order_no, 0, w.uid, w.amount_fen,
		s->now_ms, &booked);
	return err == ERR_OK ? states_change(db, STATES_WITHDRAWAL, s->order_no,
				       STATES_WITHDRAWAL_REFUSING, STATES_WITHDRAWAL_REFUSED,
				       STATES_BY_CREDIT, s->now_ms, s->now_ms, &changed)
			     : err;
}
