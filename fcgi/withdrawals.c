/* Why: the money leaves the wallet here, in one transaction; finance is asked by a worker afterwards, so
 * nobody waits for finance with the money in between. */
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/states.h"
#include "domain/withdrawal.h"
#include "fcgi/cursor.h"
#include "fcgi/handlers.h"
#include "fcgi/views.h"

_Static_assert((int)CURSOR_LIMIT_MAX < (int)WITHDRAWAL_LIST_MAX, "a page and one more are read");

typedef struct {
	int64_t amount_fen;
} withdraw_body;

static const http_field withdraw_fields[] = {
	{"amount", HTTP_F_MONEY, true, offsetof(withdraw_body, amount_fen), 0, 0, NULL},
};

static err_t body_read(app_call_t *c, withdraw_body *b)
{
	const conf_t *conf = c->app->p->conf;
	const int64_t least = conf_i(conf, CONF_WITHDRAWAL_MIN_FEN),
		      most = conf_i(conf, CONF_WITHDRAWAL_MAX_FEN);
	err_t e = http_fields(
		c->r, withdraw_fields, sizeof withdraw_fields / sizeof *withdraw_fields, b);
	if (e != ERR_OK || (b->amount_fen >= least && b->amount_fen <= most))
		return e;
	c->r->detail = arena_printf(
		c->r->arena, "amount must be %lld to %lld fen", (long long)least, (long long)most);
	return ERR_AMOUNT_OUT_OF_RANGE;
}

err_t handle_withdraw(app_call_t *c)
{
	app_t *a = c->app;
	withdraw_body body;
	withdrawal_row row;
	bool replayed;
	err_t e = body_read(c, &body);
	if (e != ERR_OK)
		return e;
	const withdrawal_desk desk = {.db = a->db,
		.numbers = a->numbers,
		.tx_tries = (unsigned)conf_i(a->p->conf, CONF_DB_TX_TRIES),
		.key_wait_ms = conf_i(a->p->conf, CONF_IDEMPOTENCY_WAIT_S) * 1000};
	withdrawal_order order = {.uid = c->uid,
		.amount_fen = body.amount_fen,
		.key = c->r->idempotency_key,
		.now_ms = c->now_ms,
		.check_ms = conf_i(a->p->conf, CONF_ORDER_CHECK_MS)};
	keys_sha256(c->r->body, c->r->body_len, order.body_hash);
	e = withdrawal_make(&desk, &order, &row, &replayed);
	if (e != ERR_OK)
		return e;
	LOG(INFO, "withdrawal.made", {"order_no", LOG_U(row.order_no)},
		{"replayed", LOG_I(replayed)});
	metrics_add(replayed ? METRICS_REPLAYS : METRICS_WITHDRAWALS, 0, 1);
	c->r->status = 202;
	if (replayed)
		http_header(c->r, "Idempotent-Replayed", "true");
	views_withdrawal(&c->r->out, &row, 0);
	return ERR_OK;
}

err_t handle_withdrawals(app_call_t *c)
{
	cursor_t at;
	err_t e = cursor_read(c, &at);
	if (e != ERR_OK)
		return e;
	withdrawal_row *row = arena_alloc(c->r->arena, (at.limit + 1) * sizeof *row);
	unsigned count = 0;
	db_t *db;
	e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	e = withdrawal_list(db, c->uid, at.given ? (int64_t)at.key[0] : INT64_MAX,
		at.given ? at.key[1] : INT64_MAX, at.limit + 1, row, &count);
	db_pool_give(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	const bool more = count > at.limit;
	const unsigned shown = more ? at.limit : count;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_arr(w, "data");
	for (unsigned i = 0; i < shown; i++)
		views_withdrawal(w, &row[i], 0);
	jw_arr_end(w);
	const withdrawal_row *last = shown ? &row[shown - 1] : NULL;
	cursor_write(c, more, last ? (uint64_t)last->created_at_ms : 0, last ? last->order_no : 0);
	jw_obj_end(w);
	return ERR_OK;
}
