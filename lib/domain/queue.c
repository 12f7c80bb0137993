/* The delivery limit only counts consumers that died or lost their connection, since a message that
 * fails is held and not given back (workers/consume.c); so it is high: it stops a message that kills its
 * consumer every time, and no outage reaches it. */
#include "domain/queue.h"
#include "base/life.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *suffix;
	outbox_kind event;
	bool crosses;
	int64_t wait_ms; /* of those that only delay */
} rows[QUEUE_COUNT] = {
#define QUEUE(id, suffix, event, crosses) [QUEUE_##id] = {suffix, event, crosses, 0},
#define WAIT(id, suffix, seconds) [QUEUE_##id] = {suffix, OUTBOX_CHECK, false, 1000 * (seconds)},
	QUEUE_ROWS QUEUE_WAITS
#undef QUEUE
#undef WAIT
};

outbox_kind queue_event(queue_id q)
{
	BUG_ON(q >= QUEUE_COUNT);
	return rows[q].event;
}

outbox_kind queue_event_named(const char *name)
{
	const char *dot = strchr(name, '.');
	for (queue_id q = 0; dot && q < QUEUE_COUNT; q++)
		if (strcmp(dot + 1, rows[q].suffix) == 0)
			return rows[q].event;
	return 0;
}

bool queue_delays(queue_id q)
{
	BUG_ON(q >= QUEUE_COUNT);
	return rows[q].wait_ms > 0;
}

void queue_name(queue_id q, const char *cell, char out[QUEUE_NAME_BYTES])
{
	BUG_ON(q >= QUEUE_COUNT);
	int n = snprintf(out, QUEUE_NAME_BYTES, "%s.%s", cell, rows[q].suffix);
	BUG_ON(n <= 0 || n >= QUEUE_NAME_BYTES);
}

static err_t declare(mq_t *mq, const conf_t *conf, queue_id q, const char *cell)
{
	char name[QUEUE_NAME_BYTES], check[QUEUE_NAME_BYTES];
	int64_t max_length = conf_i(conf, CONF_MQ_MAX_LENGTH);
	if (life_stopping())
		return ERR_MQ_UNAVAILABLE; /* a slow broker takes seconds for each */
	queue_name(q, cell, name);
	if (rows[q].wait_ms == 0)
		return mq_declare(mq, name, max_length, QUEUE_DELIVERIES);
	queue_name(QUEUE_CHECK, cell, check);
	return mq_declare_wait(mq, name, max_length, rows[q].wait_ms, check);
}

err_t queue_declare(mq_t *mq, const conf_t *conf, queue_id q, const char *cell)
{
	err_t err = declare(mq, conf, QUEUE_PARKED, cell);
	return err == ERR_OK ? declare(mq, conf, q, cell) : err;
}

err_t queue_declare_all(
	mq_t *mq, const conf_t *conf, const topology_t *topo, const topology_cell *own)
{
	err_t err = ERR_OK;
	for (queue_id q = 0; q < QUEUE_COUNT && err == ERR_OK; q++)
		err = declare(mq, conf, q, own->name);
	for (unsigned c = 0; c < topo->cell_count; c++)
		for (queue_id q = 0; q < QUEUE_COUNT && err == ERR_OK; q++)
			if (rows[q].crosses)
				err = queue_declare(mq, conf, q, topo->cell[c].name);
	return err;
}
