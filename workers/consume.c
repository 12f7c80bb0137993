/* One loop for all consumers. A message is acknowledged after the commit of its effects. While the
 * database or finance is out, the message is held here and tried again with growing pauses, because
 * giving it back would use up its delivery limit and turn the queue into a hot loop; meanwhile
 * mq_next is called for the connection's heartbeats, and what it brings waits in a list that the
 * prefetch bounds. */
#include "workers/consume.h"

#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/alert.h"
#include "workers/outage.h"
#include "workers/role.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_MS = 200 };
enum { HANDLED_DONE, HANDLED_AGAIN, HANDLED_PARKED };

typedef struct held {
	struct held *next;
	uint64_t tag;
	char died_in[QUEUE_NAME_BYTES], died_of[32]; /* of one that RabbitMQ has parked */
	size_t len;
	char body[];
} held_t;

typedef struct {
	worker_t *w;
	char queue[QUEUE_NAME_BYTES];
	mq_t *mq;
	held_t *first, **last;
	outage_t broker, work;
} consumer;

consume_verdict consume_judge(err_t e, unsigned tries)
{
	static const struct {
		err_t e;
		consume_verdict verdict;
	} rows[] = {
		{ERR_OK, CONSUME_DONE},
		{ERR_INVALID_JSON, CONSUME_PARK},
		{ERR_INVALID_FIELD, CONSUME_PARK},
		{ERR_NOT_FOUND, CONSUME_PARK},
		{ERR_ORDER_CONFLICT, CONSUME_PARK},
		{ERR_WRONG_CELL, CONSUME_PARK},
		{ERR_DB_RETRY, CONSUME_HOLD},
		{ERR_DB_LOST, CONSUME_HOLD},
		{ERR_CELL_UNAVAILABLE, CONSUME_HOLD},
		{ERR_OUTCOME_UNKNOWN, CONSUME_HOLD},
		{ERR_FINANCE_UNAVAILABLE, CONSUME_HOLD},
		{ERR_TIMEOUT, CONSUME_HOLD},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].e == e)
			return rows[i].verdict;
	return tries < CONSUME_TRIES ? CONSUME_HOLD : CONSUME_PARK;
}

static void forget(consumer *c)
{
	while (c->first) {
		held_t *h = c->first;
		c->first = h->next;
		free(h);
	}
	c->last = &c->first;
}

/* What was not acknowledged is delivered again, here or elsewhere. */
static void disconnect(consumer *c)
{
	mq_close(&c->mq);
	forget(c);
}

static err_t connect_queue(consumer *c)
{
	mq_target t;
	const conf_t *conf = c->w->p->conf;
	program_mq_target(c->w->p, &t);
	err_t err = mq_open(&t, &c->mq);
	if (err == ERR_OK)
		err = queue_declare(c->mq, conf, c->w->role->queue, c->w->p->cell->name);
	if (err == ERR_OK)
		err = mq_consume(c->mq, c->queue, (uint16_t)conf_i(conf, CONF_MQ_PREFETCH));
	if (err != ERR_OK)
		disconnect(c);
	return err;
}

/* One delivery, if there is one within `ms`, to the end of the list. False: the connection is gone.
 */
static bool receive(consumer *c, int64_t ms)
{
	mq_in in;
	err_t err = mq_next(c->mq, ms, &in);
	if (err == ERR_TIMEOUT)
		return true;
	if (err != ERR_OK) {
		life_wait_ms(outage_failed(&c->broker, err));
		return false;
	}
	held_t *h = malloc(sizeof *h + in.len);
	BUG_ON(!h);
	h->next = NULL;
	h->tag = in.tag;
	h->len = in.len;
	snprintf(h->died_in, sizeof h->died_in, "%s", in.died_in);
	snprintf(h->died_of, sizeof h->died_of, "%s", in.died_of);
	memcpy(h->body, in.body, in.len);
	*c->last = h;
	c->last = &h->next;
	return true;
}

/* Waits, and keeps the connection alive. False: it is gone, or the program is told to stop. */
static bool hold(consumer *c, int64_t ms)
{
	int64_t until = clk_mono_ms() + ms, left = ms;
	for (; left > 0; left = until - clk_mono_ms()) {
		if (life_stopping() || !receive(c, left < STEP_MS ? left : STEP_MS))
			return false;
	}
	return !life_stopping();
}

typedef struct {
	const held_t *h;
	const char *queue, *reason;
} parking;

static err_t park_tx(db_t *db, void *ctx)
{
	const parking *p = ctx;
	int64_t now_ms = clk_wall_ms();
	err_t err = db_exec(db, SQL_WORKER_PARK,
		DB_ARGS(db_s(p->queue), db_u(queue_event_named(p->queue)), db_s(p->reason),
			db_i(now_ms), db_b(p->h->body, p->h->len)),
		NULL);
	return err == ERR_OK ? alert_parked(db, db_insert_id(db), p->queue, p->reason, now_ms)
			     : err;
}

static err_t park(consumer *c, const held_t *h, const char *queue, const char *why)
{
	parking p = {.h = h, .queue = queue, .reason = why};
	err_t err = role_transact(c->w, park_tx, &p);
	if (err == ERR_OK) {
		METRICS_INC(PARKED);
		LOG(ERROR, "worker.parked", {"queue", LOG_S(queue)}, {"why", LOG_S(why)});
	}
	return err;
}

/* From the queue `parked`: RabbitMQ gave the message up, and says of which queue and why. */
static err_t park_dead(consumer *c, const held_t *h)
{
	char why[64];
	snprintf(why, sizeof why, "RabbitMQ: %s", *h->died_of ? h->died_of : "no reason");
	return park(c, h, *h->died_in ? h->died_in : c->queue, why);
}

static err_t handle(consumer *c, const held_t *h)
{
	outbox_events events;
	err_t err = outbox_parse(queue_event(c->w->role->queue), h->body, h->len, &events);
	if (err != ERR_OK)
		return err;
	err = c->w->role->handler(c->w, &events);
	outbox_events_free(&events);
	return err;
}

/* Until the message is done or parked. False: leave it to be delivered again. */
static bool finish(consumer *c, const held_t *h)
{
	for (unsigned tries = 1;; tries++) {
		bool dead = !c->w->role->handler;
		err_t err = dead ? park_dead(c, h) : handle(c, h);
		consume_verdict verdict = consume_judge(err, tries);
		if (dead && verdict == CONSUME_PARK) /* it is to be parked, not to be judged */
			verdict = CONSUME_HOLD;
		unsigned label = HANDLED_DONE;
		if (verdict == CONSUME_PARK) {
			label = HANDLED_PARKED;
			err = park(c, h, c->queue, err_code(err));
		}
		if (verdict != CONSUME_HOLD && err == ERR_OK) {
			outage_over(&c->work);
			metrics_add(METRICS_MQ_HANDLED, label, 1);
			return mq_ack(c->mq, h->tag) == ERR_OK;
		}
		metrics_add(METRICS_MQ_HANDLED, HANDLED_AGAIN, 1);
		if (!hold(c, outage_failed(&c->work, err)))
			return false;
	}
}

static bool next(consumer *c)
{
	if (!c->first && !receive(c, STEP_MS))
		return false;
	held_t *h = c->first;
	if (!h)
		return true;
	c->first = h->next;
	if (!c->first)
		c->last = &c->first;
	bool well = finish(c, h);
	free(h);
	return well;
}

void consume_run(worker_t *w)
{
	consumer c = {.w = w,
		.last = &c.first,
		.broker = {.what = "rabbitmq", .first_ms = 200, .most_ms = 5000},
		.work = {.what = "work", .first_ms = 100, .most_ms = 5000}};
	queue_name(w->role->queue, w->p->cell->name, c.queue);
	while (!life_stopping()) {
		if (!c.mq) {
			err_t err = connect_queue(&c);
			if (err != ERR_OK) {
				life_wait_ms(outage_failed(&c.broker, err));
				continue;
			}
			outage_over(&c.broker);
		}
		if (!next(&c))
			disconnect(&c);
	}
	disconnect(&c);
}
