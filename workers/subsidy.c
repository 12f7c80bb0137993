/* The wins of the rain, as many in one transaction as came together: peak shaving, since the load of
 * the database is what subsidy.rate says and the queue holds the rest. In the order of their numbers,
 * because two consumers may hold copies of one message. And when the queue is empty and nothing is
 * in hand, leases whose last token has expired are settled: nothing of them can come any more. */
#include "domain/subsidy.h"
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/session.h"
#include "domain/token_list.h"
#include "workers/role.h"
#include <stdlib.h>
#include <string.h>

enum { SETTLE_EVERY_MS = 1000, SETTLE_BATCH = 100, DRAINED_EVERY_MS = 400 };

/* What the list of tokens needs to know (token_list.h). Said again while messages are worked on: it
 * stays true, and memcached may have been born again meanwhile. Of this thread. */
static _Thread_local int64_t drained_until_ms, say_at_ms;

static void say_drained(worker_t *w)
{
	if (drained_until_ms == 0 || clk_mono_ms() < say_at_ms)
		return;
	say_at_ms = clk_mono_ms() + DRAINED_EVERY_MS;
	const err_t err = token_list_drained(w->cache, drained_until_ms);
	if (err != ERR_OK)
		LOG(DEBUG, "subsidy.drained_unsaid", {"error", LOG_E(err)});
}

typedef struct {
	worker_t *w;
	token_win *win;
	size_t count, late;
	int64_t now_ms;
} recording;

static int by_number(const void *a, const void *b)
{
	return strcmp(((const token_win *)a)->out_order_no, ((const token_win *)b)->out_order_no);
}

static err_t record_tx(db_t *db, void *ctx)
{
	recording *r = ctx;
	subsidy_row row;
	err_t err = ERR_OK;
	r->late = 0;
	for (size_t i = 0; i < r->count && err == ERR_OK; i++) {
		err = subsidy_record(db, r->w->numbers, &r->win[i], r->now_ms, &row);
		if (err != ERR_SUBSIDY_EXPIRED)
			continue;
		/* After its lease was settled: its time was over, and the money is back. */
		LOG(WARN, "subsidy.late", {"out_order_no", LOG_S(r->win[i].out_order_no)},
			{"lease_id", LOG_U(r->win[i].lease_id)});
		r->late++;
		err = ERR_OK;
	}
	return err;
}

static err_t record_all_tx(db_t *db, void *ctx)
{
	const recording *r = ctx;
	return subsidy_record_all(db, r->win, r->count, r->now_ms);
}

/* All at once, or, where one of them is out of the ordinary, one by one. */
static err_t record(worker_t *w, recording *r)
{
	const err_t err = r->count > 1 ? role_transact(w, record_all_tx, r) : ERR_DB_DUPLICATE;
	const bool odd =
		err == ERR_DB_DUPLICATE || err == ERR_ORDER_CONFLICT || err == ERR_SUBSIDY_EXPIRED;
	return odd ? role_transact(w, record_tx, r) : err;
}

static token_win win_of(const outbox_event *e)
{
	token_win w = {.uid = e->uid,
		.subsidy_id = e->no,
		.lease_id = e->lease_id,
		.campaign = e->campaign,
		.amount_fen = e->amount_fen,
		.expires_at_ms = (int64_t)e->expires_at_ms};
	memcpy(w.out_order_no, e->out_order_no, sizeof w.out_order_no);
	return w;
}

err_t subsidy_handle(worker_t *w, const outbox_events *events)
{
	_Static_assert(
		sizeof(((outbox_event *)0)->out_order_no) == sizeof(((token_win *)0)->out_order_no),
		"a number fits");
	for (size_t i = 0; i < events->count; i++) {
		if (!program_owns_slot(w->p, numbers_slot(events->event[i].uid)))
			return ERR_WRONG_CELL;
		if (events->event[i].uid > SESSION_UID_MAX)
			return ERR_INVALID_FIELD;
	}
	recording r = {.w = w, .count = events->count, .now_ms = clk_wall_ms()};
	r.win = calloc(r.count + 1, sizeof *r.win);
	BUG_ON(!r.win);
	for (size_t i = 0; i < r.count; i++)
		r.win[i] = win_of(&events->event[i]);
	qsort(r.win, r.count, sizeof *r.win, by_number);
	const err_t err = record(w, &r);
	if (err == ERR_OK)
		metrics_add(METRICS_SUBSIDIES_RECORDED, 0, (int64_t)(r.count - r.late));
	free(r.win);
	say_drained(w);
	return err;
}

typedef struct {
	uint64_t lease_id;
	int64_t now_ms, returned_fen;
	bool settled;
} settling;

static err_t settle_tx(db_t *db, void *ctx)
{
	settling *s = ctx;
	return subsidy_settle(db, s->lease_id, s->now_ms, &s->settled, &s->returned_fen);
}

static err_t leases_due(worker_t *w, int64_t at_ms, uint64_t *ids, size_t *count)
{
	db_t *db;
	err_t err = db_pool_take(w->db, &db);
	if (err != ERR_OK)
		return err;
	err = subsidy_leases_due(db, at_ms, SETTLE_BATCH, ids, count);
	db_pool_give(w->db, &db);
	return err;
}

static err_t settle_leases(worker_t *w, int64_t at_ms)
{
	uint64_t ids[SETTLE_BATCH];
	size_t count = 0;
	err_t err = leases_due(w, at_ms, ids, &count);
	for (size_t i = 0; i < count && err == ERR_OK && !life_stopping(); i++) {
		settling s = {.lease_id = ids[i], .now_ms = at_ms};
		err = role_transact(w, settle_tx, &s);
		if (err == ERR_OK && s.settled)
			LOG(INFO, "lease.settled", {"lease_id", LOG_U(s.lease_id)},
				{"returned_fen", LOG_I(s.returned_fen)});
	}
	return err;
}

void subsidy_idle(worker_t *w, int64_t at_ms)
{
	static _Thread_local int64_t next_ms;
	drained_until_ms = at_ms;
	say_drained(w);
	if (clk_mono_ms() < next_ms)
		return;
	next_ms = clk_mono_ms() + SETTLE_EVERY_MS;
	const err_t err = settle_leases(w, at_ms);
	if (err != ERR_OK)
		LOG(WARN, "lease.not_settled", {"error", LOG_E(err)});
}
