/* One role per cell measures what no program counts by itself: what lies in tables, queues and the
 * control record. It has a connection of its own whose statements the server ends after 2 s, and every
 * count is bounded, so that a cell in trouble is not troubled by being watched. What cannot be
 * measured is not shown: an old figure would look like a good one.
 *
 * Its standbys measure how far the replica at their own site is behind, by the heartbeat's row: no
 * rights on the server are needed for that. */
#include "workers/watch.h"

#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/primary.h"
#include "domain/recon_live.h"
#include "workers/role.h"

enum {
	IO_MS = 3000,
	CONTROL_MS = 2000,
	SELDOM_ROUNDS = 6, /* what reads rows, not only an index */
	PACKETS_PAGE = 200,
};
enum { MATTER_STUCK, MATTER_PARKED, MATTER_DIFFERENCE };

typedef struct {
	const program_t *p;
	db_t *db;
	mq_t *mq;
	control_t *control;
	uint64_t round;
	int64_t beat_ms;  /* the last heartbeat seen; 0: none yet */
	int64_t books_at; /* of the monotonic clock */
	uint64_t walked_to;
	int64_t broken; /* in this walk */
} watch;

static err_t open_member(const program_t *p, const topology_member *m, db_t **out)
{
	db_target t = p->db;
	snprintf(t.host, sizeof t.host, "%s", m->host);
	t.port = m->mysql_port;
	t.io_ms = IO_MS;
	t.epoch = 0; /* nothing is written */
	err_t err = db_open(&t, out);
	if (err != ERR_OK)
		return err;
	err = db_exec(*out, SQL_WATCH_BOUND, DB_NONE, NULL);
	if (err != ERR_OK)
		db_close(out);
	return err;
}

static err_t database_ready(watch *s)
{
	if (s->db && !db_alive(s->db))
		db_close(&s->db);
	return s->db ? ERR_OK
		     : open_member(s->p, topology_member_at(s->p->cell, s->p->site), &s->db);
}

static err_t count(watch *s, sql_id id, const db_val *v, size_t n, metrics_id gauge, unsigned label)
{
	db_rows_t *r;
	err_t err = db_select(s->db, id, v, n, &r);
	if (err != ERR_OK)
		return err;
	metrics_set(gauge, label, db_rows_next(r) ? db_rows_i(r, 0) : 0);
	db_rows_free(&r);
	return ERR_OK;
}

static err_t measure_heartbeat(watch *s)
{
	db_rows_t *r;
	err_t err = database_ready(s);
	if (err == ERR_OK)
		err = db_select(s->db, SQL_HEARTBEAT_AT, DB_NONE, &r);
	if (err == ERR_OK) {
		if (db_rows_next(r))
			s->beat_ms = db_rows_i(r, 0);
		db_rows_free(&r);
	}
	metrics_set(METRICS_MEMBER_UP, 0, err == ERR_OK);
	const int64_t age_ms = clk_wall_ms() - s->beat_ms;
	if (s->beat_ms > 0) /* of a member that is gone it grows on */
		metrics_set(METRICS_HEARTBEAT_AGE, 0, age_ms > 0 ? age_ms : 0);
	return err;
}

static err_t measure_orders(watch *s)
{
	static const struct {
		sql_id count;
		unsigned state;
	} rows[] = {
#define WATCHED(kind, state, statement) {SQL_WATCH_##statement, STATES_##kind##_##state},
		WATCH_ORDERS
#undef WATCHED
	};
	err_t err = ERR_OK;
	for (unsigned i = 0; i < sizeof rows / sizeof *rows && err == ERR_OK; i++)
		err = count(s, rows[i].count, DB_ARGS(db_u(rows[i].state)), METRICS_ORDERS, i);
	return err;
}

static err_t measure_outbox(watch *s)
{
	db_rows_t *r;
	err_t err = db_select(s->db, SQL_WATCH_OUTBOX, DB_NONE, &r);
	if (err != ERR_OK)
		return err;
	const bool any = db_rows_next(r) && db_rows_i(r, 0) > 0;
	const int64_t age_ms = any ? clk_wall_ms() - db_rows_i(r, 1) : 0;
	metrics_set(METRICS_OUTBOX_ROWS, 0, any ? db_rows_i(r, 0) : 0);
	metrics_set(METRICS_OUTBOX_AGE, 0, age_ms > 0 ? age_ms : 0);
	db_rows_free(&r);
	return ERR_OK;
}

static err_t measure_matters(watch *s)
{
	err_t err = count(s, SQL_WATCH_STUCK,
		DB_ARGS(db_u(STATES_PAYMENT_PENDING), db_u(STATES_PAYMENT_CLOSING),
			db_u(STATES_PAYMENT_REFUNDING), db_u(STATES_TRANSFER_PENDING),
			db_u(STATES_TRANSFER_REFUSED), db_u(STATES_REFUND_PENDING),
			db_u(STATES_REFUND_REFUSED), db_u(STATES_WITHDRAWAL_PENDING),
			db_u(STATES_WITHDRAWAL_REFUSING)),
		METRICS_OPEN_MATTERS, MATTER_STUCK);
	if (err == ERR_OK)
		err = count(s, SQL_WATCH_PARKED, DB_NONE, METRICS_OPEN_MATTERS, MATTER_PARKED);
	if (err == ERR_OK)
		err = count(
			s, SQL_WATCH_DIFFERENCES, DB_NONE, METRICS_OPEN_MATTERS, MATTER_DIFFERENCE);
	return err;
}

static err_t measure_database(watch *s)
{
	err_t err = database_ready(s);
	if (err == ERR_OK)
		err = measure_orders(s);
	if (err == ERR_OK)
		err = measure_outbox(s);
	if (err == ERR_OK)
		err = count(s, SQL_WATCH_ALERTS, DB_NONE, METRICS_ALERTS_WAITING, 0);
	if (err == ERR_OK)
		err = count(s, SQL_WATCH_SEMI_SYNC, DB_NONE, METRICS_SEMI_SYNC_CLIENTS, 0);
	if (err == ERR_OK && s->round % SELDOM_ROUNDS == 0)
		err = measure_matters(s);
	return err;
}

/* By declaring them passively, which RabbitMQ answers with both figures. */
static err_t measure_queues(watch *s)
{
	char name[QUEUE_NAME_BYTES];
	err_t err = ERR_OK;
	if (!s->mq) {
		mq_target t;
		program_mq_target(s->p, &t);
		err = mq_open(&t, &s->mq);
	}
	for (queue_id q = 0; q < QUEUE_COUNT && err == ERR_OK; q++) {
		uint64_t messages = 0, consumers = 0;
		queue_name(q, s->p->cell->name, name);
		err = mq_depth(s->mq, name, &messages, &consumers);
		metrics_set(METRICS_QUEUE_MESSAGES, q, (int64_t)messages);
		metrics_set(METRICS_QUEUE_CONSUMERS, q, (int64_t)consumers);
	}
	if (err != ERR_OK)
		mq_close(&s->mq);
	return err;
}

static err_t measure_control(watch *s)
{
	control_record r;
	err_t err = control_get(s->control, s->p->cell->name, &r);
	if (err != ERR_OK)
		return err;
	metrics_set(METRICS_CONTROL_EPOCH, 0, (int64_t)r.epoch);
	metrics_set(METRICS_CONTROL_IN_SYNC, 0, r.in_sync_count);
	metrics_set(METRICS_CONTROL_PROTECTED, 0, r.protection == CONTROL_PROTECTED);
	metrics_set(METRICS_CONTROL_CHANGING, 0, r.change != CONTROL_STEADY);
	return ERR_OK;
}

/* What `from` has booked out to us and we have booked in. */
static err_t flow_from(watch *s, const topology_cell *from, int64_t *excess_fen)
{
	recon_flow f = {.from = from, .to = s->p->cell};
	const topology_member *m;
	db_t *db = NULL;
	err_t err = primary_of(s->control, from, &m);
	if (err == ERR_OK)
		err = open_member(s->p, m, &db);
	if (err == ERR_OK)
		err = recon_live_flow(db, s->db, &f);
	if (err == ERR_OK && f.in_fen > f.out_fen) {
		*excess_fen += f.in_fen - f.out_fen;
		LOG(ERROR, "conservation.excess", {"from", LOG_S(from->name)},
			{"out_fen", LOG_I(f.out_fen)}, {"in_fen", LOG_I(f.in_fen)});
	}
	if (db)
		db_close(&db);
	return err;
}

static err_t measure_flow(watch *s)
{
	int64_t excess_fen = 0;
	if (s->round > 0 && clk_mono_ms() - s->books_at < conf_i(s->p->conf, CONF_WATCH_BOOKS_MS))
		return ERR_OK;
	s->books_at = clk_mono_ms();
	err_t err = database_ready(s);
	for (unsigned c = 0; c < s->p->topo->cell_count && err == ERR_OK; c++)
		err = flow_from(s, &s->p->topo->cell[c], &excess_fen);
	if (err != ERR_OK)
		return err;
	metrics_set(METRICS_EXCESS, 0, excess_fen);
	metrics_set(METRICS_BOOKS_AGE, 0, clk_wall_ms());
	return ERR_OK;
}

static void packet_broken(void *ctx, const recon_packet *p)
{
	watch *s = ctx;
	s->broken++;
	LOG(ERROR, "conservation.packet", {"packet_id", LOG_U(p->packet_id)},
		{"rule", LOG_S(p->rule)});
}

/* A page each round, so that a walk over all packets never hurts. */
static err_t measure_packets(watch *s)
{
	size_t n = 0;
	err_t err = database_ready(s);
	if (err == ERR_OK)
		err = recon_live_page(s->db, &s->walked_to, PACKETS_PAGE, packet_broken, s, &n);
	if (err != ERR_OK)
		return err;
	metrics_add(METRICS_WALKED, 0, (int64_t)n);
	const bool ends = n < PACKETS_PAGE;
	if (ends || s->broken > metrics_get(METRICS_BROKEN_PACKETS, 0))
		metrics_set(METRICS_BROKEN_PACKETS, 0, s->broken);
	metrics_show(METRICS_BROKEN_PACKETS);
	if (ends)
		s->broken = 0, s->walked_to = 0;
	return ERR_OK;
}

enum { GAUGES_MAX = 6 };
/* In the order of the labels of METRICS_WATCH_FAILURES. */
static const struct part {
	err_t (*measure)(watch *s);
	metrics_id gauge[GAUGES_MAX]; /* not shown when it fails; METRICS_UP (0): no more */
} parts[] = {
	{measure_database,
		{METRICS_ORDERS, METRICS_OUTBOX_ROWS, METRICS_OUTBOX_AGE, METRICS_ALERTS_WAITING,
			METRICS_SEMI_SYNC_CLIENTS, METRICS_OPEN_MATTERS}},
	{measure_queues, {METRICS_QUEUE_MESSAGES, METRICS_QUEUE_CONSUMERS}},
	{measure_control, {METRICS_CONTROL_EPOCH, METRICS_CONTROL_IN_SYNC,
				  METRICS_CONTROL_PROTECTED, METRICS_CONTROL_CHANGING}},
	{measure_flow, {METRICS_EXCESS}},
	{measure_packets, {METRICS_UP}},
	{measure_heartbeat, {METRICS_UP}},
};
enum { PARTS = sizeof parts / sizeof *parts, PART_HEARTBEAT = PARTS - 1 };

static void measure(watch *s, unsigned part)
{
	if (parts[part].measure(s) == ERR_OK)
		return;
	metrics_add(METRICS_WATCH_FAILURES, part, 1);
	for (unsigned i = 0; i < GAUGES_MAX && parts[part].gauge[i] != METRICS_UP; i++)
		metrics_forget(parts[part].gauge[i]);
}

static void watch_rounds(watch *s, unsigned first_part)
{
	do {
		const int64_t from_us = clk_mono_us();
		for (unsigned i = first_part; i < PARTS && !life_stopping(); i++)
			measure(s, i);
		s->round++;
		metrics_observe_us(METRICS_WATCH_SECONDS, clk_mono_us() - from_us);
	} while (!life_wait_ms(conf_i(s->p->conf, CONF_WATCH_EVERY_MS)));
	if (s->db)
		db_close(&s->db);
	mq_close(&s->mq);
	control_free(&s->control);
}

void watch_run(worker_t *w)
{
	watch s = {.p = w->p};
	BUG_ON(control_new(w->p->topo->etcd, "/hongbao/", CONTROL_MS, &s.control) != ERR_OK);
	watch_rounds(&s, 0);
}

void watch_standby(const program_t *p)
{
	watch s = {.p = p};
	watch_rounds(&s, PART_HEARTBEAT);
}
