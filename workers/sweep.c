/* The last of the three mechanisms that push orders, and alone enough. Every round walks over the
 * expired packets and subsidies, the credits that nobody has answered, then over each kind of order that is due. Orders are leased in batches by moving
 * their next_check_at, so several sweeps share the work and one that dies gives it back; packets
 * need no lease, for their row lock is all that an expiry takes. */
#include "workers/sweep.h"
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/credit.h"
#include "domain/refund.h"
#include "domain/states.h"
#include "workers/outage.h"
#include <pthread.h>
#include <stdlib.h>

enum {
	GROUP_PACKETS = 32,     /* expired in one transaction */
	UNAVAILABLE_IN_ROW = 3, /* then finance is left alone until the next round */
};

typedef struct {
	worker_t *w;
	unsigned batch;
	uint64_t *no; /* room for a batch */
	outage_t outage;
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

static err_t expired_packets(sweep *s, refund_cursor *at, size_t *count)
{
	db_t *db;
	err_t err = db_pool_take(s->w->db, &db);
	if (err != ERR_OK)
		return err;
	err = refund_expired_packets(db, clk_wall_ms(), s->batch, at, s->no, count);
	db_pool_give(s->w->db, &db);
	return err;
}

static err_t sweep_packets(sweep *s)
{
	refund_cursor at = {0};
	size_t count = s->batch;
	err_t err = ERR_OK;
	while (err == ERR_OK && count == s->batch && !life_stopping()) {
		err = expired_packets(s, &at, &count);
		for (size_t i = 0; i < count && err == ERR_OK && !life_stopping();
			i += GROUP_PACKETS)
			err = expire_group(s, s->no + i,
				count - i < GROUP_PACKETS ? count - i : GROUP_PACKETS);
	}
	return err;
}

static const struct {
	finance_kind kind;
	unsigned state, label;
} dues[] = {
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

/* What of a batch is not reached comes back when its lease has run out. */
static err_t check_batch(sweep *s, unsigned due, size_t count, int64_t until_ms)
{
	unsigned unavailable = 0;
	for (size_t i = 0; i < count && !life_stopping() && clk_mono_ms() < until_ms; i++) {
		err_t err = orders_check(&s->w->desk, dues[due].kind, s->no[i]);
		metrics_add(METRICS_SWEPT, dues[due].label, 1);
		if (err == ERR_CELL_UNAVAILABLE)
			return err;
		unavailable = err == ERR_FINANCE_UNAVAILABLE ? unavailable + 1 : 0;
		if (unavailable == UNAVAILABLE_IN_ROW)
			return err;
		if (err != ERR_OK && err != ERR_FINANCE_UNAVAILABLE && err != ERR_ORDER_CONFLICT)
			LOG(WARN, "sweep.order", {"order_no", LOG_U(s->no[i])},
				{"error", LOG_E(err)});
	}
	return ERR_OK;
}

/* Of the process: one thread looks for all of them, so that an idle cell is asked once a round and not
 * once a thread; the others join while there is more than one batch. */
static struct {
	pthread_mutex_t lock;
	bool looking, more;
	int64_t next_ms; /* monotonic: of the next round */
} turn = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool turn_take(void)
{
	pthread_mutex_lock(&turn.lock);
	bool mine = turn.more || (!turn.looking && clk_mono_ms() >= turn.next_ms);
	turn.looking |= mine;
	pthread_mutex_unlock(&turn.lock);
	return mine;
}

static void turn_end(int64_t pause_ms)
{
	pthread_mutex_lock(&turn.lock);
	turn.looking = turn.more = false;
	turn.next_ms = clk_mono_ms() + pause_ms;
	pthread_mutex_unlock(&turn.lock);
}

static void turn_more(bool more)
{
	pthread_mutex_lock(&turn.lock);
	turn.more = more;
	pthread_mutex_unlock(&turn.lock);
}

static err_t sweep_orders(sweep *s, unsigned due)
{
	size_t count = s->batch;
	int64_t lease_ms = conf_i(s->w->p->conf, CONF_SWEEP_LEASE_MS);
	err_t err = ERR_OK;
	while (err == ERR_OK && count == s->batch && !life_stopping()) {
		/* Half of the lease is for the call that is running when the time is over. */
		int64_t until_ms = clk_mono_ms() + lease_ms / 2;
		err = orders_take_due(&s->w->desk, dues[due].kind, dues[due].state, s->batch,
			clk_wall_ms() + lease_ms, s->no, &count);
		if (err != ERR_OK)
			break;
		turn_more(count == s->batch);
		err = check_batch(s, due, count, until_ms);
	}
	return err;
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
static err_t sweep_credits(sweep *s)
{
	crediting c = {.conf = s->w->p->conf,
		.limit = s->batch < CREDIT_AGAIN_MAX ? s->batch : CREDIT_AGAIN_MAX};
	err_t err;
	do {
		err = role_transact(s->w, credit_tx, &c);
		if (err == ERR_OK)
			metrics_add(METRICS_SWEPT, SWEPT_CREDIT, c.count);
	} while (err == ERR_OK && c.count == c.limit && !life_stopping());
	return err;
}

static err_t sweep_round(sweep *s)
{
	err_t first = sweep_packets(s), err = sweep_subsidies(s->w, s->no, s->batch);
	if (first == ERR_OK)
		first = err;
	err = sweep_credits(s);
	bool orders = conf_b(s->w->p->conf, CONF_ORDER_BY_SWEEP);
	if (first == ERR_OK)
		first = err;
	for (unsigned i = 0; orders && i < sizeof dues / sizeof *dues && !life_stopping(); i++) {
		err = sweep_orders(s, i);
		if (first == ERR_OK)
			first = err;
	}
	return first;
}

void sweep_run(worker_t *w)
{
	const conf_t *conf = w->p->conf;
	sweep s = {.w = w,
		.batch = (unsigned)conf_i(conf, CONF_SWEEP_BATCH),
		.outage = {.what = "sweep", .first_ms = 1000, .most_ms = 10000}};
	int64_t pause_ms;
	s.no = calloc(s.batch, sizeof *s.no);
	BUG_ON(!s.no);
	do {
		pause_ms = conf_i(conf, CONF_SWEEP_EVERY_MS);
		if (!turn_take())
			continue;
		err_t err = sweep_round(&s);
		if (err != ERR_OK)
			pause_ms = outage_failed(&s.outage, err);
		else
			outage_over(&s.outage);
		turn_end(pause_ms);
	} while (!life_wait_ms(pause_ms));
	free(s.no);
}
