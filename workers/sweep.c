/* The last of the three mechanisms that push orders, and alone enough; and the only one that expires packets and
 * subsidies. Orders are leased in batches by moving their next_check_at, so several sweeps share the work
 * and one that dies gives it back; a batch of each kind in turn (rounds.h), for payments that nobody pays
 * are due again and again, and at the peak more of them than can be asked about. What needs no finance
 * does not wait for it either: a thread looks for that between two questions. Packets need no lease,
 * for their row lock is all that an expiry takes. */
#include "workers/sweep.h"
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/credit.h"
#include "domain/refund.h"
#include "domain/states.h"
#include "workers/outage.h"
#include "workers/rounds.h"
#include <pthread.h>
#include <stdlib.h>

enum {
	GROUP_PACKETS = 32,     /* expired in one transaction */
	UNAVAILABLE_IN_ROW = 3, /* then finance is left alone for a while */
};

typedef struct {
	worker_t *w;
	unsigned batch;
	uint64_t *order, *expired; /* room for a batch each */
	int64_t rests_until_ms;    /* pushes no order before; monotonic */
} sweep;

typedef struct {
	const uint64_t *packet_id;
	uint64_t refund_no[GROUP_PACKETS];
	size_t count, expired;
	const conf_t *conf;
} group;

static err_t expire_tx(db_t *db, void *ctx)
{
	group *g = ctx;
	err_t err = ERR_OK;
	int64_t now_ms = clk_wall_ms();
	g->expired = 0;
	for (size_t i = 0; i < g->count && err == ERR_OK; i++) {
		bool expired = false;
		refund_expiry x = {.packet_id = g->packet_id[i],
			.refund_no = g->refund_no[i],
			.now_ms = now_ms,
			.next_check_at_ms = now_ms + orders_wait_ms(g->conf, 0)};
		err = refund_expire_packet(db, &x, &expired);
		g->expired += expired;
	}
	return err;
}

/* A group in one transaction; when that fails, each alone, so that one bad packet stalls nobody. */
static err_t expire_group(sweep *s, const uint64_t *packet_id, size_t count)
{
	group g = {.packet_id = packet_id, .count = count, .conf = s->w->p->conf};
	err_t err = ERR_OK;
	for (size_t i = 0; i < count && err == ERR_OK; i++)
		err = numbers_next(s->w->numbers, numbers_slot(packet_id[i]), &g.refund_no[i]);
	if (err != ERR_OK)
		return err;
	err = role_transact(s->w, expire_tx, &g);
	if (err == ERR_OK)
		metrics_add(METRICS_SWEPT, SWEPT_PACKET, (int64_t)g.expired);
	if (err == ERR_OK || err == ERR_CELL_UNAVAILABLE || life_stopping())
		return err;
	if (count == 1) {
		LOG(ERROR, "sweep.packet", {"packet_id", LOG_U(*packet_id)}, {"error", LOG_E(err)});
		return ERR_OK;
	}
	err = ERR_OK;
	for (size_t i = 0; i < count && err == ERR_OK; i++)
		err = expire_group(s, packet_id + i, 1);
	return err;
}

static err_t walk_on(sweep *s, refund_cursor *at, size_t *count)
{
	db_t *db;
	err_t err = db_pool_take(s->w->db, &db);
	if (err != ERR_OK)
		return err;
	err = refund_expired_packets(db, clk_wall_ms(), s->batch, at, s->expired, count);
	db_pool_give(s->w->db, &db);
	return err;
}

/* Of the process, like all that follows: whoever has the lock walks. A walk goes on where the last batch
 * ended, so that what cannot be expired now stands in nobody's way. */
static struct {
	pthread_mutex_t lock;
	refund_cursor packets;
	subsidy_cursor subsidies;
} walks = {.lock = PTHREAD_MUTEX_INITIALIZER};

static err_t expire_packets(sweep *s, bool *more)
{
	size_t count = 0;
	err_t err = walk_on(s, &walks.packets, &count);
	*more = err == ERR_OK && count == s->batch;
	if (!*more)
		walks.packets = (refund_cursor){0};
	for (size_t i = 0; i < count && err == ERR_OK && !life_stopping(); i += GROUP_PACKETS)
		err = expire_group(
			s, s->expired + i, count - i < GROUP_PACKETS ? count - i : GROUP_PACKETS);
	return err;
}

static err_t expire_subsidies(sweep *s, bool *more)
{
	return sweep_subsidies(s->w, &walks.subsidies, s->expired, s->batch, more);
}

typedef struct {
	const conf_t *conf;
	unsigned limit, count;
} crediting;

static err_t credit_tx(db_t *db, void *ctx)
{
	crediting *c = ctx;
	return credit_again(db, c->conf, c->limit, clk_wall_ms(), &c->count);
}

/* Credits that were not answered are asked for again; no lease, for nobody is waited for. */
static err_t ask_for_credits(sweep *s, bool *more)
{
	crediting c = {.conf = s->w->p->conf,
		.limit = s->batch < CREDIT_AGAIN_MAX ? s->batch : CREDIT_AGAIN_MAX};
	err_t err = role_transact(s->w, credit_tx, &c);
	*more = err == ERR_OK && c.count == c.limit;
	if (err == ERR_OK)
		metrics_add(METRICS_SWEPT, SWEPT_CREDIT, c.count);
	return err;
}

/* What needs no finance. */
static err_t (*const expiries[])(sweep *s, bool *more) = {
	expire_packets, expire_subsidies, ask_for_credits};

static const struct {
	finance_kind kind;
	unsigned state, label;
} dues[] = {
	/* what finance is asked about */
	{FINANCE_PAYMENT, STATES_PAYMENT_PENDING, SWEPT_PAYMENT},
	{FINANCE_PAYMENT, STATES_PAYMENT_CLOSING, SWEPT_PAYMENT},
	{FINANCE_TRANSFER, STATES_TRANSFER_PENDING, SWEPT_TRANSFER},
	{FINANCE_REFUND, STATES_REFUND_PENDING, SWEPT_REFUND},
	{FINANCE_WITHDRAWAL, STATES_WITHDRAWAL_PENDING, SWEPT_WITHDRAWAL},
	/* Refused for good, or paid too late, and not yet settled: by a crash, or finance is away. */
	{FINANCE_PAYMENT, STATES_PAYMENT_REFUNDING, SWEPT_PAYMENT},
	{FINANCE_TRANSFER, STATES_TRANSFER_REFUSED, SWEPT_TRANSFER},
	{FINANCE_REFUND, STATES_REFUND_REFUSED, SWEPT_REFUND},
	{FINANCE_WITHDRAWAL, STATES_WITHDRAWAL_REFUSING, SWEPT_WITHDRAWAL},
};

enum { EXPIRIES = sizeof expiries / sizeof *expiries, DUES = sizeof dues / sizeof *dues };

/* One for each of the two tables. */
typedef struct {
	rounds_t rounds;
	pthread_mutex_t lock; /* of what follows */
	outage_t outage;
	unsigned well; /* batches in a row */
} course;

static course expiring = {.rounds = ROUNDS_OF(EXPIRIES),
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.outage = {.what = "sweep.expiries", .first_ms = 1000, .most_ms = 10000}};
static course pushing = {.rounds = ROUNDS_OF(DUES),
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.outage = {.what = "sweep", .first_ms = 1000, .most_ms = 10000}};

static bool take(sweep *s, course *c, unsigned *kind)
{
	return rounds_take(
		&c->rounds, clk_mono_ms(), conf_i(s->w->p->conf, CONF_SWEEP_EVERY_MS), kind);
}

/* How long to rest. An outage is over when each kind was looked at and nothing failed. */
static int64_t judge(course *c, err_t err)
{
	int64_t pause_ms = 0;
	pthread_mutex_lock(&c->lock);
	c->well = err == ERR_OK ? c->well + 1 : 0;
	if (err != ERR_OK)
		pause_ms = outage_failed(&c->outage, err);
	else if (c->well >= c->rounds.kinds)
		outage_over(&c->outage);
	pthread_mutex_unlock(&c->lock);
	return pause_ms;
}

/* A batch, if it is time. False: there was nothing to be looked at. */
static bool expire(sweep *s)
{
	unsigned kind;
	bool more = false;
	if (pthread_mutex_trylock(&walks.lock) != 0)
		return false; /* another thread does */
	const bool any = take(s, &expiring, &kind);
	if (any)
		judge(&expiring, expiries[kind](s, &more)); /* its pause is that of the rounds */
	if (more)
		rounds_more(&expiring.rounds);
	pthread_mutex_unlock(&walks.lock);
	return any;
}

/* What of a batch is not reached comes back when its lease has run out. */
static err_t check_batch(sweep *s, unsigned due, size_t count, int64_t until_ms)
{
	unsigned unavailable = 0;
	for (size_t i = 0; i < count && !life_stopping() && clk_mono_ms() < until_ms; i++) {
		expire(s);
		err_t err = orders_check(&s->w->desk, dues[due].kind, s->order[i]);
		metrics_add(METRICS_SWEPT, dues[due].label, 1);
		if (err == ERR_CELL_UNAVAILABLE)
			return err;
		unavailable = err == ERR_FINANCE_UNAVAILABLE ? unavailable + 1 : 0;
		if (unavailable == UNAVAILABLE_IN_ROW)
			return err;
		if (err != ERR_OK && err != ERR_FINANCE_UNAVAILABLE && err != ERR_ORDER_CONFLICT)
			LOG(WARN, "sweep.order", {"order_no", LOG_U(s->order[i])},
				{"error", LOG_E(err)});
	}
	return ERR_OK;
}

static err_t push_due(sweep *s, unsigned due)
{
	size_t count;
	int64_t lease_ms = conf_i(s->w->p->conf, CONF_SWEEP_LEASE_MS);
	/* Half of the lease is for the call that is running when the time is over. */
	int64_t until_ms = clk_mono_ms() + lease_ms / 2;
	err_t err = orders_take_due(&s->w->desk, dues[due].kind, dues[due].state, s->batch,
		clk_wall_ms() + lease_ms, s->order, &count);
	if (err != ERR_OK)
		return err;
	if (count == s->batch)
		rounds_more(&pushing.rounds);
	return check_batch(s, due, count, until_ms);
}

/* As expire. */
static bool push(sweep *s)
{
	unsigned due;
	if (!conf_b(s->w->p->conf, CONF_ORDER_BY_SWEEP) || clk_mono_ms() < s->rests_until_ms ||
		!take(s, &pushing, &due))
		return false;
	s->rests_until_ms = clk_mono_ms() + judge(&pushing, push_due(s, due));
	return true;
}

void sweep_run(worker_t *w)
{
	const conf_t *conf = w->p->conf;
	sweep s = {.w = w, .batch = (unsigned)conf_i(conf, CONF_SWEEP_BATCH)};
	s.order = calloc(s.batch, sizeof *s.order);
	s.expired = calloc(s.batch, sizeof *s.expired);
	BUG_ON(!s.order || !s.expired);
	while (!life_stopping()) {
		const bool expired = expire(&s), pushed = push(&s);
		if (!expired && !pushed)
			life_wait_ms(conf_i(conf, CONF_SWEEP_EVERY_MS));
	}
	free(s.order);
	free(s.expired);
}
