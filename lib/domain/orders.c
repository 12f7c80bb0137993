/* One row per kind says where its orders lie and who applies finance's word to them; all that
 * pushes orders goes by these rows. Finance is always asked outside of a transaction, and the order
 * is read again, under its lock, when the answer is applied: in between anybody may have been
 * faster. */
#include "domain/orders.h"

#include "base/clk.h"
#include "base/keys.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/check.h"
#include "domain/id_array.h"
#include "domain/outbox.h"
#include "domain/payment.h"
#include "domain/refund.h"
#include "domain/states.h"
#include "domain/transfer.h"
#include <string.h>

typedef struct {
	finance_kind kind;
	unsigned pending;
	bool submits; /* again, when finance does not know the number */
	sql_id load, take, lease, try_;
	err_t (*apply)(db_t *db, uint64_t order_no, const finance_answer *a, const conf_t *conf,
		int64_t now_ms);
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

static const kind_row kinds[] = {
	{FINANCE_PAYMENT, STATES_PAYMENT_PENDING, false, SQL_ORDERS_PAYMENT_LOAD,
		SQL_ORDERS_PAYMENT_TAKE, SQL_ORDERS_PAYMENT_LEASE, SQL_ORDERS_PAYMENT_TRY,
		apply_payment},
	{FINANCE_TRANSFER, STATES_TRANSFER_PENDING, true, SQL_ORDERS_TRANSFER_LOAD,
		SQL_ORDERS_TRANSFER_TAKE, SQL_ORDERS_TRANSFER_LEASE, SQL_ORDERS_TRANSFER_TRY,
		apply_transfer},
	{FINANCE_REFUND, STATES_REFUND_PENDING, true, SQL_ORDERS_REFUND_LOAD,
		SQL_ORDERS_REFUND_TAKE, SQL_ORDERS_REFUND_LEASE, SQL_ORDERS_REFUND_TRY,
		apply_refund},
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
	unsigned word;
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
	if (row->state != s->pending && row->state != word)
		return conflict(row, a, "order.other_word");
	*to = row->state == word ? 0 : word;
	return ERR_OK;
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
	bool checked; /* count a try if the order stays as it is */
	bool again;   /* have it checked later if it stays as it is */
	bool stuck;
	uint64_t tried; /* out: rows that were still as `row` says */
} word;

static err_t word_apply(db_t *db, void *ctx)
{
	word *w = ctx;
	const orders_row *row = w->row;
	const kind_row *k = kind_find(row->kind);
	int64_t now_ms = clk_wall_ms();
	bool stays = w->again;
	err_t err = ERR_OK;
	w->tried = 0;
	if (w->a)
		err = k->apply(db, row->order_no, w->a, w->d->conf, now_ms);
	if (err == ERR_OK && w->checked) {
		err = db_exec(db, k->try_,
			DB_ARGS(db_u(w->stuck), db_i(w->next_check_at_ms), db_u(row->order_no),
				db_u(row->state)),
			&w->tried);
		stays = w->tried > 0;
	}
	if (err == ERR_OK && stays)
		err = check_add(db, row->kind, row->order_no, row->tries + (w->tried > 0), now_ms);
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
	if (row->kind == FINANCE_PAYMENT &&
		(row->state == STATES_PAYMENT_CLOSING || row->expires_at_ms <= clk_wall_ms()))
		return close_payment(d, row, a);
	err_t err = finance_query(d->finance, row->kind, row->order_no, a);
	if (err == ERR_OK && a->outcome == FINANCE_NOT_KNOWN && k->submits)
		err = submit(d, row, a);
	return err;
}

err_t orders_check(const orders_desk *d, finance_kind kind, uint64_t order_no)
{
	return orders_check_nth(d, kind, order_no, UINT64_MAX);
}

err_t orders_check_nth(const orders_desk *d, finance_kind kind, uint64_t order_no, uint64_t nth)
{
	const kind_row *k = kind_find(kind);
	orders_row row;
	finance_answer a;
	err_t err = k ? load(d, kind, order_no, &row) : ERR_NOT_FOUND;
	if (err != ERR_OK)
		return err;
	bool closing = kind == FINANCE_PAYMENT && row.state == STATES_PAYMENT_CLOSING;
	if ((row.state != k->pending && !closing) || !check_current(nth, row.tries))
		return ERR_OK;
	err_t said = ask(d, k, &row, &a);
	if (said != ERR_OK && !finances_fault(said))
		return said;
	/* A payment that waits for its payer is not stuck, and its end must not be slept over. */
	bool waits = kind == FINANCE_PAYMENT && row.state == STATES_PAYMENT_PENDING;
	int64_t now_ms = clk_wall_ms();
	word w = {.d = d,
		.row = &row,
		.a = said == ERR_OK ? &a : NULL,
		.checked = true,
		.next_check_at_ms = now_ms + orders_wait_ms(d->conf, row.tries + 1),
		.stuck = !waits &&
			 (row.stuck || row.tries + 1 >= conf_i(d->conf, CONF_ORDER_STUCK_TRIES))};
	if (waits && w.next_check_at_ms > row.expires_at_ms)
		w.next_check_at_ms = row.expires_at_ms;
	err = apply_or_count(&w, &said);
	if (err == ERR_OK && w.tried && w.stuck && !row.stuck) {
		METRICS_INC(ORDERS_STUCK);
		LOG(WARN, "order.stuck", {"kind", LOG_S(finance_kind_name(kind))},
			{"order_no", LOG_U(order_no)}, {"tries", LOG_U(row.tries + 1)});
	}
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

typedef struct {
	const conf_t *conf;
	const char *event_id;
	const finance_event *e;
	uint64_t order_no;
	int64_t now_ms;
	bool repeated;
} event_ctx;

/* ERR_NOT_FOUND: a new event. */
static err_t event_same(db_t *db, const event_ctx *c)
{
	db_rows_t *r;
	err_t err = db_select(
		db, SQL_ORDERS_EVENT_FIND, DB_ARGS(db_u(c->e->order_no), db_s(c->event_id)), &r);
	if (err != ERR_OK)
		return err;
	if (!db_rows_next(r))
		err = ERR_NOT_FOUND;
	else if (db_rows_u(r, 0) != c->e->kind || db_rows_u(r, 1) != c->e->outcome ||
		 db_rows_i(r, 2) != c->e->amount_fen || db_rows_i(r, 3) != c->e->at_ms)
		err = ERR_ORDER_CONFLICT;
	db_rows_free(&r);
	return err;
}

static err_t event_outbox(db_t *db, const event_ctx *c)
{
	char payload[512];
	jw_t w;
	jw_start_fixed(&w, payload, sizeof payload);
	jw_arr(&w, NULL);
	jw_obj(&w, NULL);
	jw_i64(&w, "no", (int64_t)c->e->order_no);
	jw_str(&w, "e", c->event_id);
	jw_obj_end(&w);
	jw_arr_end(&w);
	size_t n = jw_end(&w);
	return outbox_add(db, OUTBOX_CALLBACK, c->e->order_no, c->now_ms, payload, n);
}

static err_t event_store_tx(db_t *db, void *ctx)
{
	event_ctx *c = ctx;
	orders_row row;
	err_t err = orders_load(db, c->e->kind, c->e->order_no, &row);
	if (err != ERR_OK)
		return err;
	err = event_same(db, c);
	c->repeated = err == ERR_OK;
	if (err != ERR_NOT_FOUND)
		return err;
	err = db_exec(db, SQL_ORDERS_EVENT_ADD,
		DB_ARGS(db_u(c->e->order_no), db_s(c->event_id), db_u(c->e->kind),
			db_u(c->e->outcome), db_i(c->e->amount_fen), db_i(c->e->at_ms),
			db_i(c->now_ms)),
		NULL);
	if (err == ERR_DB_DUPLICATE) /* another was faster: begin again and meet its row */
		return ERR_DB_RETRY;
	return err == ERR_OK ? event_outbox(db, c) : err;
}

err_t orders_event_store(const orders_desk *d, const char *event_id, const finance_event *e,
	int64_t now_ms, bool *repeated)
{
	event_ctx c = {.event_id = event_id, .e = e, .now_ms = now_ms};
	err_t err = transact(d, event_store_tx, &c);
	if (err == ERR_OK)
		*repeated = c.repeated;
	return err;
}

static err_t event_handle_tx(db_t *db, void *ctx)
{
	event_ctx *c = ctx;
	db_rows_t *r;
	err_t err = db_select(
		db, SQL_ORDERS_EVENT_LOCK, DB_ARGS(db_u(c->order_no), db_s(c->event_id)), &r);
	if (err != ERR_OK)
		return err;
	bool found = db_rows_next(r), handled = found && !db_rows_null(r, 3);
	finance_kind kind = found ? (finance_kind)db_rows_u(r, 0) : 0;
	finance_answer a = {0};
	if (found) {
		a.outcome = (finance_outcome)db_rows_u(r, 1);
		a.amount_fen = db_rows_i(r, 2);
	}
	db_rows_free(&r);
	if (!found || handled)
		return found ? ERR_OK : ERR_NOT_FOUND;
	if (a.outcome == FINANCE_DONE && a.amount_fen == 0) { /* a callback must say how much */
		orders_row row = {.kind = kind, .order_no = c->order_no};
		return conflict(&row, &a, "order.no_amount");
	}
	err = orders_apply(db, kind, c->order_no, &a, c->conf, c->now_ms);
	if (err == ERR_OK)
		err = db_exec(db, SQL_ORDERS_EVENT_HANDLED,
			DB_ARGS(db_i(c->now_ms), db_u(c->order_no), db_s(c->event_id)), NULL);
	return err;
}

err_t orders_event_handle(
	const orders_desk *d, uint64_t order_no, const char *event_id, int64_t now_ms)
{
	event_ctx c = {
		.conf = d->conf, .event_id = event_id, .order_no = order_no, .now_ms = now_ms};
	return transact(d, event_handle_tx, &c);
}
