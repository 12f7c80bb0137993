/* One loop for all consumers. A message is acknowledged after the commit of its effects. While the
 * database or finance is out, the message is held here and tried again with growing pauses, because
 * giving it back would use up its delivery limit and turn the queue into a hot loop; meanwhile
 * mq_next is called for the connection's heartbeats, and what it brings waits in a list that the
 * prefetch bounds. A role with a batch takes what waits together, and one with a rate takes no more
 * than that. */
#include "workers/consume.h"

#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "workers/outage.h"
#include "workers/rate.h"
#include "workers/role.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_MS = 200 };
enum { CONSUME_BATCH_MAX = 1000 }; /* the options' bound */
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
	unsigned held;
	rate_t rate;
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
		{ERR_BUDGET_SPENT, CONSUME_PARK},
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
	c->held = 0;
}

/* What was not acknowledged is delivered again, here or elsewhere. */
static void disconnect(consumer *c)
{
	mq_close(&c->mq);
	forget(c);
}

/* The next transaction's messages are here while one runs. */
static int64_t prefetch(const consumer *c)
{
	const int64_t configured = conf_i(c->w->p->conf, CONF_MQ_PREFETCH);
	return configured > 2 * c->rate.batch ? configured : 2 * c->rate.batch;
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
		err = mq_consume(c->mq, c->queue, (uint16_t)prefetch(c));
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
	c->held++;
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

/* From the queue `parked`: RabbitMQ gave the message up, and says of which queue and why. */
static err_t park_dead(consumer *c, const held_t *h)
{
	char why[64];
	snprintf(why, sizeof why, "RabbitMQ: %s", *h->died_of ? h->died_of : "no reason");
	return role_park(c->w, *h->died_in ? h->died_in : c->queue, why, h->body, h->len);
}

/* A line for each event whose trace is followed. */
static void tell(const consumer *c, const outbox_events *events)
{
	for (size_t i = 0; i < events->count; i++) {
		const outbox_event *e = &events->event[i];
		if (!*e->traceparent)
			continue;
		role_follow(e);
		LOG_STEP("message.done", {"queue", LOG_S(c->queue)}, {"order_no", LOG_U(e->no)});
	}
	role_follow(NULL);
}

static err_t handle(consumer *c, const held_t *h)
{
	outbox_events events;
	err_t err = outbox_parse(queue_event(c->w->role->queue), h->body, h->len, &events);
	if (err != ERR_OK)
		return err;
	role_follow(events.count == 1 ? &events.event[0] : NULL);
	err = c->w->role->handler(c->w, &events);
	if (err == ERR_OK)
		tell(c, &events);
	role_follow(NULL);
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
			err = role_park(c->w, c->queue, err_code(err), h->body, h->len);
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

/* Of messages that came together, in one transaction; false when they are to be taken singly. */
static bool handle_together(consumer *c, held_t *const *h, unsigned n)
{
	outbox_events part[CONSUME_BATCH_MAX], all;
	unsigned parsed = 0;
	err_t err = ERR_OK;
	while (parsed < n && err == ERR_OK) {
		err = outbox_parse(queue_event(c->w->role->queue), h[parsed]->body, h[parsed]->len,
			&part[parsed]);
		parsed += err == ERR_OK;
	}
	if (err == ERR_OK) {
		outbox_events_join(part, n, &all);
		err = c->w->role->handler(c->w, &all);
		if (err == ERR_OK)
			tell(c, &all);
		free(all.event);
	}
	while (parsed > 0)
		outbox_events_free(&part[--parsed]);
	return err == ERR_OK;
}

/* All of them, at first together; one that is at fault, or an outage, is then met singly. */
static bool finish_batch(consumer *c, held_t *const *h, unsigned n)
{
	bool well = true;
	if (n > 1 && handle_together(c, h, n)) {
		outage_over(&c->work);
		metrics_add(METRICS_MQ_HANDLED, HANDLED_DONE, n);
		for (unsigned i = 0; i < n && well; i++)
			well = mq_ack(c->mq, h[i]->tag) == ERR_OK;
		return well;
	}
	for (unsigned i = 0; i < n && well; i++)
		well = finish(c, h[i]);
	return well;
}

static held_t *take_held(consumer *c)
{
	held_t *h = c->first;
	c->first = h->next;
	c->held--;
	if (!c->first)
		c->last = &c->first;
	return h;
}

/* Nothing came for a while: whether there is nothing, so that the role may know it. What was
 * confirmed to its publisher before is in the queue or was delivered; what was delivered before the
 * broker's answer is here when the answer is. */
static bool idle(consumer *c)
{
	const int64_t at_ms = clk_wall_ms();
	uint64_t ready, consumers;
	if (!c->w->role->idle)
		return true;
	const err_t err = mq_depth(c->mq, c->queue, &ready, &consumers);
	if (err != ERR_OK) {
		life_wait_ms(outage_failed(&c->broker, err));
		return false;
	}
	if (!receive(c, 0))
		return false;
	if (ready == 0 && consumers == 1 && !c->first)
		c->w->role->idle(c->w, at_ms);
	return true;
}

static bool next(consumer *c)
{
	held_t *h[CONSUME_BATCH_MAX];
	if (!c->first && !receive(c, STEP_MS))
		return false;
	if (!c->first)
		return idle(c);
	while (c->held < c->rate.batch) {
		const unsigned before = c->held;
		if (!receive(c, 0))
			return false;
		if (c->held == before)
			break;
	}
	int64_t wait_ms;
	unsigned n = rate_take(&c->rate, c->held, clk_mono_us(), &wait_ms);
	if (n == 0)
		return hold(c, wait_ms) || life_stopping();
	for (unsigned i = 0; i < n; i++)
		h[i] = take_held(c);
	const bool well = finish_batch(c, h, n);
	for (unsigned i = 0; i < n; i++)
		free(h[i]);
	return well;
}

void consume_run(worker_t *w)
{
	const conf_t *conf = w->p->conf;
	const role_row *role = w->role;
	consumer c = {.w = w,
		.last = &c.first,
		.rate = rate_of(role->batch ? conf_i(conf, role->batch) : 1,
			role->rate ? conf_i(conf, role->rate) : 0),
		.broker = {.what = "rabbitmq", .first_ms = 200, .most_ms = 5000},
		.work = {.what = "work", .first_ms = 100, .most_ms = 5000}};
	queue_name(w->role->queue, w->p->cell->name, c.queue);
	while (!life_stopping()) {
		if (role->held && role->held(w)) {
			disconnect(&c); /* RabbitMQ ends consumers that sit on messages for long */
			life_wait_ms(STEP_MS);
			continue;
		}
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
