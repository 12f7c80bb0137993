/* One row per kind says where its orders lie and who applies finance's word to them; all that
 * pushes orders goes by these rows. Finance is always asked outside of a transaction, and the order
 * is read again, under its lock, when the answer is applied: in between anybody may have been
 * faster. */
#include "domain/orders.h"

#include "base/clk.h"
#include "base/keys.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/alert.h"
#include "domain/check.h"
#include "domain/credit.h"
#include "domain/id_array.h"
#include "domain/outbox.h"
#include "domain/payment.h"
#include "domain/refund.h"
#include "domain/states.h"
#include "domain/transfer.h"
#include "domain/withdrawal.h"
#include <string.h>

typedef struct {
	finance_kind kind;
	states_kind states;
	unsigned pending;
	unsigned settling;       /* final at finance, not yet here; 0: none */
	finance_outcome settles; /* finance's word for it */
	bool submits;            /* again, when finance does not know the number */
	sql_id load, take, lease, try_, push;
	err_t (*apply)(db_t *db, uint64_t order_no, const finance_answer *a, const conf_t *conf,
		int64_t now_ms);
	err_t (*settle)(db_t *db, const orders_settling *s, bool *handed);
} kind_row;

static err_t apply_payment(
	db_t *db, uint64_t order_no, const finance_answer *a, const conf_t *conf, int64_t now_ms)
{
	return payment_apply(db, order_no, a, conf_i(conf, CONF_PACKET_TTL_S) * 1000, now_ms);
}

static err_t apply_transfer(
	db_t *db, uint64_t order_no, const finance_answer *a, const conf_t *conf, int64_t now_ms)
{
	(void)conf;
	return transfer_apply(db, order_no, a, now_ms);
}

static err_t apply_refund(
	db_t *db, uint64_t order_no, const finance_answer *a, const conf_t *conf, int64_t now_ms)
{
	(void)conf;
	return refund_apply(db, order_no, a, now_ms);
}

static err_t apply_withdrawal(
	db_t *db, uint64_t order_no, const finance_answer *a, const conf_t *conf, int64_t now_ms)
{
	(void)conf;
	return withdrawal_apply(db, order_no, a, now_ms);
}

static const kind_row kinds[] = {
	{
		.kind = FINANCE_PAYMENT,
		.states = STATES_PAYMENT,
		.pending = STATES_PAYMENT_PENDING,
		.settling = STATES_PAYMENT_REFUNDING,
		.settles = FINANCE_DONE,
		.load = SQL_ORDERS_PAYMENT_LOAD,
		.take = SQL_ORDERS_PAYMENT_TAKE,
		.lease = SQL_ORDERS_PAYMENT_LEASE,
		.try_ = SQL_ORDERS_PAYMENT_TRY,
		.push = SQL_ORDERS_PAYMENT_PUSH,
		.apply = apply_payment,
		.settle = payment_settle,
	},
	{
		.kind = FINANCE_TRANSFER,
		.states = STATES_TRANSFER,
		.pending = STATES_TRANSFER_PENDING,
		.settling = STATES_TRANSFER_REFUSED,
		.settles = FINANCE_REFUSED,
		.submits = true,
		.load = SQL_ORDERS_TRANSFER_LOAD,
		.take = SQL_ORDERS_TRANSFER_TAKE,
		.lease = SQL_ORDERS_TRANSFER_LEASE,
		.try_ = SQL_ORDERS_TRANSFER_TRY,
		.push = SQL_ORDERS_TRANSFER_PUSH,
		.apply = apply_transfer,
		.settle = transfer_settle,
	},
	{
		.kind = FINANCE_REFUND,
		.states = STATES_REFUND,
		.pending = STATES_REFUND_PENDING,
		.settling = STATES_REFUND_REFUSED,
		.settles = FINANCE_REFUSED,
		.submits = true,
		.load = SQL_ORDERS_REFUND_LOAD,
		.take = SQL_ORDERS_REFUND_TAKE,
		.lease = SQL_ORDERS_REFUND_LEASE,
		.try_ = SQL_ORDERS_REFUND_TRY,
		.push = SQL_ORDERS_REFUND_PUSH,
		.apply = apply_refund,
		.settle = refund_settle,
	},
	{
		.kind = FINANCE_WITHDRAWAL,
		.states = STATES_WITHDRAWAL,
		.pending = STATES_WITHDRAWAL_PENDING,
		.settling = STATES_WITHDRAWAL_REFUSING,
		.settles = FINANCE_REFUSED,
		.submits = true,
		.load = SQL_ORDERS_WITHDRAWAL_LOAD,
		.take = SQL_ORDERS_WITHDRAWAL_TAKE,
		.lease = SQL_ORDERS_WITHDRAWAL_LEASE,
		.try_ = SQL_ORDERS_WITHDRAWAL_TRY,
		.push = SQL_ORDERS_WITHDRAWAL_PUSH,
		.apply = apply_withdrawal,
		.settle = withdrawal_settle,
	},
};

static const kind_row *kind_find(finance_kind kind)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].kind == kind)
			return &kinds[i];
	return NULL;
}

err_t orders_load(db_t *db, finance_kind kind, uint64_t order_no, orders_row *out)
{
	const kind_row *k = kind_find(kind);
	db_rows_t *r;
	if (!k)
		return ERR_NOT_FOUND;
	err_t err = db_select(db, k->load, DB_ARGS(db_u(order_no)), &r);
	if (err != ERR_OK)
		return err;
	if (db_rows_next(r))
		*out = (orders_row){.kind = kind,
			.order_no = order_no,
			.uid = db_rows_u(r, 0),
			.payment_no = db_rows_u(r, 1),
			.state = (unsigned)db_rows_u(r, 2),
			.tries = (unsigned)db_rows_u(r, 3),
			.stuck = db_rows_u(r, 4) != 0,
			.amount_fen = db_rows_i(r, 5),
			.expires_at_ms = db_rows_i(r, 6)};
	else
		err = ERR_NOT_FOUND;
	db_rows_free(&r);
	return err;
}

err_t orders_apply(db_t *db, finance_kind kind, uint64_t order_no, const finance_answer *a,
	const conf_t *conf, int64_t now_ms)
{
	const kind_row *k = kind_find(kind);
	return k ? k->apply(db, order_no, a, conf, now_ms) : ERR_NOT_FOUND;
}

static err_t conflict(const orders_row *row, const finance_answer *a, const char *event)
{
	LOG(ERROR, event, {"kind", LOG_S(finance_kind_name(row->kind))},
		{"order_no", LOG_U(row->order_no)}, {"state", LOG_U(row->state)},
		{"outcome", LOG_S(finance_outcome_name(a->outcome))});
	return ERR_ORDER_CONFLICT;
}

err_t orders_judge(
	const orders_row *row, const orders_states *s, const finance_answer *a, unsigned *to)
{
	bool settled =
		row->state != 0 && (row->state == s->settled[0] || row->state == s->settled[1]);
	unsigned word, state = settled ? s->refused : row->state;
	switch (a->outcome) {
	case FINANCE_NOT_KNOWN:
	case FINANCE_PENDING:
		*to = 0;
		return ERR_OK;
	case FINANCE_DONE:
		word = s->done;
		break;
	case FINANCE_REFUSED:
		word = s->refused;
		break;
	case FINANCE_CLOSED:
	default:
		return conflict(row, a, "order.other_word");
	}
	if (a->amount_fen != 0 && a->amount_fen != row->amount_fen)
		return conflict(row, a, "order.other_amount");
	if (row->state != s->pending && state != word)
		return conflict(row, a, "order.other_word");
	*to = state == word ? 0 : word;
	return ERR_OK;
}

err_t orders_word(db_t *db, const orders_row *row, const orders_states *s, const finance_answer *a,
	int64_t now_ms, bool *done)
{
	unsigned to;
	bool changed;
	*done = false;
	err_t err = orders_judge(row, s, a, &to);
	if (err != ERR_OK || to == 0)
		return err;
	err = states_change(db, s->kind, row->order_no, s->pending, to, STATES_BY_CALLBACK, now_ms,
		now_ms, &changed);
	*done = err == ERR_OK && to == s->done;
	if (err != ERR_OK || *done)
		return err;
	LOG(WARN, "order.refused", {"kind", LOG_S(finance_kind_name(row->kind))},
		{"order_no", LOG_U(row->order_no)}, {"reason", LOG_S(a->reason)});
	return check_add(db, row->kind, row->order_no, 0, now_ms);
}

int64_t orders_wait_ms(const conf_t *conf, unsigned tries)
{
	int64_t wait = conf_i(conf, CONF_ORDER_CHECK_MS),
		most = conf_i(conf, CONF_ORDER_CHECK_MAX_MS);
	uint32_t dice;
	for (unsigned i = 0; i < tries && wait < most; i++)
		wait *= 2;
	if (wait > most)
		wait = most;
	keys_random(&dice, sizeof dice);
	return wait - (int64_t)(dice % (uint64_t)(wait / 4 + 1));
}

void orders_notify_url(const conf_t *conf, uint64_t order_no, char out[ORDERS_URL_BYTES])
{
	int n = snprintf(out, ORDERS_URL_BYTES, "%s/v1/callbacks/finance/%" PRIu64,
		conf_s(conf, CONF_FRONT_URL), order_no);
	BUG_ON(n <= 0 || n >= ORDERS_URL_BYTES);
}

static err_t load(const orders_desk *d, finance_kind kind, uint64_t order_no, orders_row *out)
{
	db_t *db;
	err_t err = db_pool_take(d->db, &db);
	if (err != ERR_OK)
		return err;
	err = orders_load(db, kind, order_no, out);
	db_pool_give(d->db, &db);
	return err;
}

static err_t submit(const orders_desk *d, const orders_row *row, finance_answer *a)
{
	char notify_url[ORDERS_URL_BYTES];
	orders_notify_url(d->conf, row->order_no, notify_url);
	finance_order o = {.order_no = row->order_no,
		.uid = row->uid,
		.amount_fen = row->amount_fen,
		.payment_no = row->payment_no,
		.notify_url = notify_url};
	return finance_submit(d->finance, row->kind, &o, a);
}

typedef struct {
	const orders_desk *d;
	const orders_row *row;
	const finance_answer *a; /* NULL: no word came */
	int64_t next_check_at_ms;
	bool checked;                    /* count a try if the order stays as it is */
	bool again;                      /* have it checked later if it stays as it is */
	const orders_settling *settling; /* NULL: the order is not there */
	bool stuck;
	uint64_t tried; /* out: rows that were still as `row` says; whoever was faster goes on */
	bool handed;    /* out: another order goes on with it */
	bool stuck_now; /* out: and was not before */
} word;

static bool at_rest(const orders_row *row)
{
	return row->kind == FINANCE_PAYMENT && row->state == STATES_PAYMENT_CLOSED;
}

static err_t next_check(db_t *db, const orders_row *row, uint64_t tries, int64_t now_ms)
{
	return at_rest(row) ? check_add_closed(db, row->order_no, tries, now_ms)
			    : check_add(db, row->kind, row->order_no, tries, now_ms);
}

static err_t word_apply(db_t *db, void *ctx)
{
	word *w = ctx;
	const orders_row *row = w->row;
	const kind_row *k = kind_find(row->kind);
	int64_t now_ms = clk_wall_ms();
	bool stays = w->again;
	err_t err = ERR_OK;
	w->tried = 0;
	w->handed = w->stuck_now = false;
	if (w->a)
		err = k->apply(db, row->order_no, w->a, w->d->conf, now_ms);
	if (err == ERR_OK && w->a && w->settling && w->a->outcome == k->settles)
		err = k->settle(db, w->settling, &w->handed);
	if (err == ERR_OK && w->checked) {
		err = db_exec(db, k->try_,
			DB_ARGS(db_u(w->stuck && !w->handed), db_i(w->next_check_at_ms),
				db_u(row->order_no), db_u(row->state), db_u(row->tries)),
			&w->tried);
		stays = w->tried > 0 && !w->handed;
		w->stuck_now = stays && w->stuck && !row->stuck;
	}
	if (err == ERR_OK && w->stuck_now)
		err = alert_stuck(db, finance_kind_name(row->kind), row->order_no,
			states_shown(k->states, row->state), row->tries + 1, now_ms);
	if (err == ERR_OK && stays)
		err = next_check(db, row, row->tries + (w->tried > 0), now_ms);
	return err;
}

static err_t transact(const orders_desk *d, db_tx_fn fn, void *ctx)
{
	return db_transact(d->db, (unsigned)conf_i(d->conf, CONF_DB_TX_TRIES), fn, ctx);
}

static bool finances_fault(err_t e)
{
	return e == ERR_FINANCE_UNAVAILABLE || e == ERR_ORDER_CONFLICT;
}

/* A word that contradicts the order is rolled back; the try counts all the same, and *said tells. */
static err_t apply_or_count(word *w, err_t *said)
{
	err_t err = transact(w->d, word_apply, w);
	if (!w->a || err != ERR_ORDER_CONFLICT)
		return err;
	*said = err;
	w->a = NULL;
	w->again = !w->checked;
	return transact(w->d, word_apply, w);
}

err_t orders_submit(const orders_desk *d, finance_kind kind, uint64_t order_no)
{
	const kind_row *k = kind_find(kind);
	orders_row row;
	finance_answer a;
	BUG_ON(!k || !k->submits);
	err_t err = load(d, kind, order_no, &row);
	if (err != ERR_OK || row.state != k->pending)
		return err;
	err_t said = submit(d, &row, &a);
	if (said != ERR_OK && !finances_fault(said))
		return said;
	word w = {.d = d,
		.row = &row,
		.a = said == ERR_OK ? &a : NULL,
		.again = said != ERR_OK || a.outcome == FINANCE_PENDING};
	err = apply_or_count(&w, &said);
	if (err == ERR_OK && said == ERR_OK && a.outcome == k->settles)
		return orders_check(d, kind, order_no); /* settles what was refused */
	return err != ERR_OK ? err : said;
}

/* A payment is closed here first, so that nobody is sent to its cashier any more, then at finance.
 */
static err_t closing_tx(db_t *db, void *ctx)
{
	orders_row *row = ctx;
	bool changed;
	int64_t now_ms = clk_wall_ms();
	return states_change(db, STATES_PAYMENT, row->order_no, STATES_PAYMENT_PENDING,
		STATES_PAYMENT_CLOSING, STATES_BY_SWEEP, now_ms, now_ms, &changed);
}

static err_t close_payment(const orders_desk *d, orders_row *row, finance_answer *a)
{
	if (row->state == STATES_PAYMENT_PENDING) {
		err_t err = transact(d, closing_tx, row);
		if (err != ERR_OK)
			return err;
		row->state = STATES_PAYMENT_CLOSING;
		row->tries = 0;
	}
	return finance_close(d->finance, row->order_no, a);
}

static err_t ask(const orders_desk *d, const kind_row *k, orders_row *row, finance_answer *a)
{
	bool settling = k->settling != 0 && row->state == k->settling;
	if (row->kind == FINANCE_PAYMENT &&
		(row->state == STATES_PAYMENT_CLOSING ||
			(row->state == k->pending && row->expires_at_ms <= clk_wall_ms())))
		return close_payment(d, row, a);
	err_t err = finance_query(d->finance, row->kind, row->order_no, a);
	if (err == ERR_OK && a->outcome == FINANCE_NOT_KNOWN && k->submits && !settling)
		err = submit(d, row, a);
	return err;
}

err_t orders_check(const orders_desk *d, finance_kind kind, uint64_t order_no)
{
	return orders_check_nth(d, kind, order_no, UINT64_MAX);
}

/* Whether the order is one that checks have something to do with. */
static bool to_be_checked(const kind_row *k, const orders_row *row)
{
	return row->state == k->pending || (k->settling != 0 && row->state == k->settling) ||
	       (k->kind == FINANCE_PAYMENT && row->state == STATES_PAYMENT_CLOSING) || at_rest(row);
}

static void log_stuck(const word *w)
{
	METRICS_INC(ORDERS_STUCK);
	LOG(WARN, "order.stuck", {"kind", LOG_S(finance_kind_name(w->row->kind))},
		{"order_no", LOG_U(w->row->order_no)}, {"tries", LOG_U(w->row->tries + 1)});
}

/* Applies what finance said (NULL: nothing) and counts the try. */
static err_t check_apply(
	const orders_desk *d, orders_row *row, const finance_answer *a, err_t *said)
{
	const kind_row *k = kind_find(row->kind);
	/* A payment that waits for its payer is not stuck, and its end must not be slept over. */
	bool waits = row->kind == FINANCE_PAYMENT && row->state == STATES_PAYMENT_PENDING;
	int64_t now_ms = clk_wall_ms(), next_ms = now_ms + orders_wait_ms(d->conf, row->tries + 1);
	if (waits && next_ms > row->expires_at_ms)
		next_ms = row->expires_at_ms;
	orders_settling settling = {.d = d,
		.order_no = row->order_no,
		.a = a,
		.now_ms = now_ms,
		.next_check_at_ms = next_ms};
	word w = {.d = d,
		.row = row,
		.a = a,
		.checked = true,
		.next_check_at_ms = next_ms,
		.stuck = !waits && !at_rest(row) &&
			 (row->stuck || row->tries + 1 >= conf_i(d->conf, CONF_ORDER_STUCK_TRIES))};
	if (k->settling != 0 && row->state == k->settling) {
		w.settling = &settling;
		err_t err =
			numbers_next(d->numbers, numbers_slot(row->order_no), &settling.fresh_no);
		if (err != ERR_OK)
			return err;
	}
	err_t err = apply_or_count(&w, said);
	if (err == ERR_OK && w.stuck_now)
		log_stuck(&w);
	return err;
}

err_t orders_check_nth(const orders_desk *d, finance_kind kind, uint64_t order_no, uint64_t nth)
{
	const kind_row *k = kind_find(kind);
	orders_row row;
	finance_answer a = {0};
	err_t err = k ? load(d, kind, order_no, &row) : ERR_NOT_FOUND;
	if (err != ERR_OK)
		return err;
	if (!to_be_checked(k, &row) || !check_current(nth, row.tries))
		return ERR_OK;
	bool settling = k->settling != 0 && row.state == k->settling;
	err_t said = ask(d, k, &row, &a);
	if (said != ERR_OK && !finances_fault(said))
		return said;
	err = check_apply(d, &row, said == ERR_OK ? &a : NULL, &said);
	if (err == ERR_OK && said == ERR_OK && !settling && a.outcome == k->settles)
		return orders_check(d, kind, order_no); /* settles what was refused just now */
	return err != ERR_OK ? err : said;
}

typedef struct {
	const kind_row *k;
	unsigned state, limit;
	int64_t now_ms, lease_until_ms;
	uint64_t *nos;
	size_t count;
} taking;

static err_t take_tx(db_t *db, void *ctx)
{
	taking *t = ctx;
	db_rows_t *r;
	err_t err = db_select(
		db, t->k->take, DB_ARGS(db_u(t->state), db_i(t->now_ms), db_u(t->limit)), &r);
	if (err != ERR_OK)
		return err;
	t->count = 0;
	while (t->count < t->limit && db_rows_next(r))
		t->nos[t->count++] = db_rows_u(r, 0);
	db_rows_free(&r);
	if (t->count == 0)
		return ERR_OK;
	char *nos = id_array(t->nos, t->count);
	err = db_exec(db, t->k->lease, DB_ARGS(db_s(nos), db_i(t->lease_until_ms)), NULL);
	free(nos);
	return err;
}

err_t orders_take_due(const orders_desk *d, finance_kind kind, unsigned state, unsigned limit,
	int64_t lease_until_ms, uint64_t *nos, size_t *count)
{
	taking t = {.k = kind_find(kind),
		.state = state,
		.limit = limit,
		.now_ms = clk_wall_ms(),
		.lease_until_ms = lease_until_ms,
		.nos = nos};
	BUG_ON(!t.k || limit > ORDERS_TAKE_MAX);
	err_t err = transact(d, take_tx, &t);
	if (err == ERR_OK)
		*count = t.count;
	return err;
}

err_t orders_push(db_t *db, finance_kind kind, uint64_t order_no, int64_t now_ms, bool *pushed)
{
	const kind_row *k = kind_find(kind);
	orders_row row;
	uint64_t changed = 0;
	err_t err = orders_load(db, kind, order_no, &row);
	if (err == ERR_NOT_FOUND && kind == FINANCE_TRANSFER)
		return credit_push(db, order_no, now_ms, pushed);
	*pushed = err == ERR_OK && to_be_checked(k, &row);
	if (!*pushed)
		return err;
	err = db_exec(
		db, k->push, DB_ARGS(db_i(now_ms), db_u(order_no), db_u(row.state)), &changed);
	if (err != ERR_OK || changed == 0)
		return err == ERR_OK ? ERR_DB_RETRY : err;
	err = check_add(db, kind, order_no, 0, now_ms);
	if (err == ERR_OK)
		err = alert_stuck_clear(
			db, finance_kind_name(kind), order_no, states_shown(k->states, row.state));
	return err;
}
