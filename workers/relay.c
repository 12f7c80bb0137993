/* The relay is the only publisher of business events. It leases rows in one short transaction,
 * publishes outside of any, and deletes a row once all of its messages are confirmed; so a row is
 * sent at least once, whatever dies in between, and several relays share the work.
 *
 * Rows are looked for from the lowest id that was there at the last look from 0, which is taken
 * once a second: so deleted rows that the server has not purged yet do not slow every look down,
 * and a row that was committed behind the others (auto_increment order is not commit order) waits a
 * second at the most. Once messages are refused the relay goes on behind them until it meets the end:
 * or the rows of one full queue, free again before those behind them were reached, would keep all
 * others waiting. */
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "workers/expand.h"
#include "workers/outage.h"
#include "workers/role.h"
#include <stdlib.h>
#include <string.h>

enum {
	WINDOW_MESSAGES = 2048, /* published before their confirms are awaited */
	BATCH_BYTES = 1 << 20,  /* of payload taken at once, but at least one row */
	LOOK_EVERY_MS = 1000,
	PAST_MOST_MS = 30000, /* without a look from 0 while messages are refused */
	AGAIN_MS = 1000,      /* a row that could not be sent lets those behind it pass */
	BEAT_EVERY_MS = 5000,
	QUIET_MS = 10000, /* without a refusal: refusals are over */
};

typedef struct {
	outbox_kind kind;
	const char *payload; /* in relay.rows */
	size_t len;
	unsigned missing; /* messages not confirmed yet */
} batch_row;

typedef struct {
	worker_t *w;
	mq_t *mq;
	int64_t beaten_at_ms; /* the broker was last talked to */
	expand_t *expand;
	outage_t broker, work, refused;
	int64_t refused_at_ms;
	uint64_t floor, from;
	uint64_t past;        /* where to go on since something was refused; 0: nothing was */
	int64_t looked_at_ms; /* from 0 */
	/* the batch in hand */
	unsigned limit, most;
	db_rows_t *rows;
	uint64_t *id;
	batch_row *row;
	size_t count;
	int64_t stop_at_ms; /* of the monotonic clock: what is not published by then waits */
} relay;

static err_t connect_broker(relay *r)
{
	mq_target t;
	program_mq_target(r->w->p, &t);
	err_t err = mq_open(&t, &r->mq);
	if (err == ERR_OK)
		err = queue_declare_all(r->mq, r->w->p->conf, r->w->p->topo, r->w->p->cell);
	if (err != ERR_OK)
		mq_close(&r->mq);
	r->beaten_at_ms = clk_mono_ms();
	return err;
}

static err_t take_tx(db_t *db, void *ctx)
{
	relay *r = ctx;
	size_t bytes = 0;
	int64_t now_ms = clk_wall_ms(), lease_ms = conf_i(r->w->p->conf, CONF_RELAY_LEASE_MS);
	db_rows_free(&r->rows);
	r->count = 0;
	r->stop_at_ms = clk_mono_ms() + lease_ms / 2;
	err_t err = outbox_lock_free(db, r->from, now_ms, r->limit, &r->rows);
	if (err != ERR_OK)
		return err;
	while (r->count < r->limit && bytes < BATCH_BYTES && db_rows_next(r->rows)) {
		batch_row *row = &r->row[r->count];
		*row = (batch_row){.kind = (outbox_kind)db_rows_u(r->rows, 1)};
		row->payload = db_rows_s(r->rows, 2, &row->len);
		bytes += row->len;
		r->id[r->count++] = db_rows_u(r->rows, 0);
	}
	bool full = bytes >= BATCH_BYTES;
	r->limit = full ? (unsigned)r->count : 2 * r->limit < r->most ? 2 * r->limit : r->most;
	return r->count ? outbox_lease(db, r->id, r->count, now_ms + lease_ms) : ERR_OK;
}

typedef struct {
	uint64_t id;
	const char *reason;
} parking;

static err_t park_tx(db_t *db, void *ctx)
{
	const parking *p = ctx;
	return outbox_park(db, p->id, p->reason, clk_wall_ms());
}

static void park(relay *r, uint64_t id, err_t why)
{
	parking p = {id, err_code(why)};
	err_t err = role_transact(r->w, park_tx, &p);
	LOG(ERROR, "relay.parked", {"outbox_id", LOG_U(id)}, {"why", LOG_E(why)},
		{"result", LOG_E(err)});
	if (err == ERR_OK)
		METRICS_INC(PARKED);
}

/* Every row becomes messages; one that cannot be read is parked. */
static void expand_batch(relay *r)
{
	const unsigned *row;
	size_t count;
	expand_reset(r->expand);
	for (unsigned i = 0; i < r->count; i++) {
		batch_row *b = &r->row[i];
		err_t err = expand_row(r->expand, i, b->kind, b->payload, b->len);
		if (err == ERR_OK)
			continue;
		b->missing++;
		park(r, r->id[i], err);
	}
	expand_messages(r->expand, &row, &count);
	for (size_t i = 0; i < count; i++)
		r->row[row[i]].missing++;
}

/* Window by window; ERR_MQ_UNAVAILABLE when the connection is gone. */
static err_t publish_batch(relay *r)
{
	const unsigned *row;
	size_t count, done = 0, confirmed = 0;
	mq_out *out = expand_messages(r->expand, &row, &count);
	err_t err = ERR_OK;
	while (done < count && err != ERR_MQ_UNAVAILABLE && clk_mono_ms() < r->stop_at_ms) {
		size_t n = count - done < WINDOW_MESSAGES ? count - done : WINDOW_MESSAGES;
		err = mq_publish(r->mq, out + done, n, conf_i(r->w->p->conf, CONF_MQ_CONFIRM_MS));
		done += n;
	}
	for (size_t i = 0; i < count; i++) {
		if (!out[i].confirmed)
			continue;
		confirmed++;
		r->row[row[i]].missing--;
	}
	r->beaten_at_ms = clk_mono_ms();
	metrics_add(METRICS_OUTBOX_PUBLISHED, 0, (int64_t)confirmed);
	metrics_add(METRICS_OUTBOX_FAILED, 0, (int64_t)(count - confirmed));
	if (confirmed < count) {
		r->refused_at_ms = r->beaten_at_ms;
		outage_failed(&r->refused, err == ERR_OK ? ERR_TIMEOUT : err);
	} else if (r->beaten_at_ms - r->refused_at_ms > QUIET_MS) {
		outage_over(&r->refused);
	}
	return err;
}

/* The ids of the batch with the sent ones first; how many these are. */
static size_t sort_batch(relay *r)
{
	size_t sent = 0;
	for (size_t i = 0; i < r->count; i++) {
		if (r->row[i].missing)
			continue;
		uint64_t id = r->id[i];
		r->id[i] = r->id[sent];
		r->id[sent] = id;
		r->row[i].missing = r->row[sent].missing;
		r->row[sent++].missing = 0;
	}
	return sent;
}

typedef struct {
	const uint64_t *id;
	size_t sent, count;
} ending;

static err_t end_tx(db_t *db, void *ctx)
{
	const ending *e = ctx;
	err_t err = e->sent ? outbox_delete(db, e->id, e->sent) : ERR_OK;
	if (err == ERR_OK && e->sent < e->count)
		err = outbox_lease(
			db, e->id + e->sent, e->count - e->sent, clk_wall_ms() + AGAIN_MS);
	return err;
}

/* Takes a batch and sends it. *found is false when there was nothing. Rows whose end could not be
 * written go again when their lease has run out. */
static err_t send_batch(relay *r, bool *found)
{
	err_t err = role_transact(r->w, take_tx, r);
	*found = err == ERR_OK && r->count > 0;
	if (!*found)
		return err;
	if (r->from == 0)
		r->floor = r->id[0];
	const uint64_t last = r->id[r->count - 1];
	expand_batch(r);
	err_t sent = publish_batch(r);
	ending e = {.id = r->id, .count = r->count};
	e.sent = sort_batch(r);
	if (e.sent < e.count || r->past)
		r->past = last + 1;
	err = role_transact(r->w, end_tx, &e);
	if (sent == ERR_MQ_UNAVAILABLE) {
		mq_close(&r->mq);
		life_wait_ms(outage_failed(&r->broker, sent));
	}
	return err;
}

static err_t look(relay *r, bool *found)
{
	db_t *db;
	int64_t now_ms = clk_mono_ms();
	bool from_0 = now_ms - r->looked_at_ms >= (r->past ? PAST_MOST_MS : LOOK_EVERY_MS);
	r->from = from_0 ? 0 : r->past ? r->past : r->floor;
	if (from_0) {
		r->looked_at_ms = now_ms;
		r->past = 0;
	}
	err_t err = db_pool_take(r->w->db, &db);
	if (err != ERR_OK)
		return err;
	err = outbox_waiting(db, r->from, clk_wall_ms(), found);
	db_pool_give(r->w->db, &db);
	if (err != ERR_OK)
		return err;
	if (*found)
		return send_batch(r, found);
	r->past = 0; /* the end */
	return ERR_OK;
}

/* False: no connection now. Heartbeats of an idle connection run inside mq_next. */
static bool broker_ready(relay *r)
{
	mq_in none;
	if (r->mq && clk_mono_ms() - r->beaten_at_ms > BEAT_EVERY_MS) {
		r->beaten_at_ms = clk_mono_ms();
		if (mq_next(r->mq, 0, &none) == ERR_MQ_UNAVAILABLE)
			mq_close(&r->mq);
	}
	if (r->mq)
		return true;
	err_t err = connect_broker(r);
	if (err != ERR_OK)
		life_wait_ms(outage_failed(&r->broker, err));
	else
		outage_over(&r->broker);
	return err == ERR_OK;
}

void relay_run(worker_t *w)
{
	const conf_t *conf = w->p->conf;
	relay r = {.w = w,
		.expand = expand_new(w->p->topo),
		.most = (unsigned)conf_i(conf, CONF_RELAY_BATCH),
		.looked_at_ms = INT64_MIN / 2,
		.broker = {.what = "rabbitmq", .first_ms = 200, .most_ms = 5000},
		.work = {.what = "database", .first_ms = 100, .most_ms = 5000},
		.refused = {.what = "publishing", .first_ms = 1, .most_ms = 1}};
	r.limit = r.most < 32 ? r.most : 32;
	r.id = calloc(r.most, sizeof *r.id);
	r.row = calloc(r.most, sizeof *r.row);
	BUG_ON(!r.id || !r.row);
	while (!life_stopping()) {
		bool found = false;
		if (!broker_ready(&r))
			continue;
		err_t err = look(&r, &found);
		if (err != ERR_OK) {
			life_wait_ms(outage_failed(&r.work, err));
			continue;
		}
		outage_over(&r.work);
		if (!found)
			life_wait_ms(conf_i(conf, CONF_RELAY_IDLE_MS));
	}
	mq_close(&r.mq);
	db_rows_free(&r.rows);
	expand_free(&r.expand);
	free(r.id);
	free(r.row);
}
