/* The campaigns are one immutable set behind an atomic pointer: a draw reads it without a lock. A
 * set that was replaced is freed when many others have come and at least ten seconds have passed; no
 * request holds a campaign that long, because what waits has copied what it needs.
 *
 * A lease is used for its own round's tokens only: it may be settled once the last of those has
 * ended, and a token that lives longer could be recorded after that. */
#include "fcgi/rain_budget.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/ledger.h"
#include "domain/states.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEASES = 8, RETIRED_KEPT_MS = 10000, RETIRED = 32, LEASE_PAUSE_MS = 500, HOLDER_BYTES = 64 };

typedef struct {
	unsigned count;
	int64_t retired_at_ms; /* monotonic */
	campaign_t campaign[CAMPAIGNS_MAX];
} campaign_set;

typedef struct {
	uint64_t id; /* 0: none */
	int64_t left_fen, ends_at_ms, serves_until_ms;
} lease;

/* What this process holds of one campaign. */
typedef struct {
	uint32_t campaign; /* 0: free */
	lease lease[LEASES];
	bool spent;     /* nothing could be leased when last tried */
	int64_t wanted; /* fen that a win waits for; 0: none */
} purse;

struct rain_budget {
	const program_t *p;
	db_pool_t *db;
	numbers_t *numbers;
	char holder[HOLDER_BYTES];
	unsigned slot; /* one of the cell's, for the leases' numbers */
	_Atomic(campaign_set *) set;
	campaign_set *retired[RETIRED]; /* a ring; `oldest` is the next to go */
	unsigned oldest;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	_Atomic bool stop;
	bool hurry;
	int64_t not_before_ms; /* of the next lease, after one that failed; monotonic */
	purse purse[CAMPAIGNS_MAX];
};

/* ---- the campaigns ---- */

const campaign_t *rain_budget_campaign(const rain_budget_t *b, const char *name, size_t len)
{
	const campaign_set *set = atomic_load_explicit(&b->set, memory_order_acquire);

	for (unsigned i = 0; set && i < set->count; i++)
		if (strlen(set->campaign[i].name) == len &&
			memcmp(set->campaign[i].name, name, len) == 0)
			return &set->campaign[i];
	return NULL;
}

const campaign_t *rain_budget_campaign_at(const rain_budget_t *b, unsigned i)
{
	const campaign_set *set = atomic_load_explicit(&b->set, memory_order_acquire);

	return set && i < set->count ? &set->campaign[i] : NULL;
}

bool rain_budget_known(const rain_budget_t *b)
{
	return atomic_load_explicit(&b->set, memory_order_acquire) != NULL;
}

static void read_row(const db_rows_t *r, campaign_set *set)
{
	campaign_t *c = &set->campaign[set->count];
	size_t n;
	const char *config = db_rows_s(r, 4, &n);

	*c = (campaign_t){
		.number = (uint32_t)db_rows_u(r, 0), .version = (uint32_t)db_rows_u(r, 2)};
	snprintf(c->name, sizeof(c->name), "%s", db_rows_s(r, 1, NULL));
	if (campaign_read(config, n, c) == ERR_OK)
		set->count++;
	else
		LOG(ERROR, "rain.bad_campaign", {"number", LOG_U(c->number)});
}

static bool same_set(const campaign_set *a, const campaign_set *b)
{
	if (!a || a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++)
		if (a->campaign[i].number != b->campaign[i].number ||
			a->campaign[i].version != b->campaign[i].version)
			return false;
	return true;
}

/* False when it must wait, so that no set is freed too early. */
static bool may_retire(rain_budget_t *b)
{
	campaign_set *last = b->retired[b->oldest];

	if (last && clk_mono_ms() - last->retired_at_ms < RETIRED_KEPT_MS)
		return false;
	free(last);
	b->retired[b->oldest] = NULL;
	return true;
}

static void install(rain_budget_t *b, campaign_set *set)
{
	campaign_set *now = atomic_load(&b->set);

	if (same_set(now, set) || (now && !may_retire(b))) {
		free(set);
		return;
	}
	if (now) {
		now->retired_at_ms = clk_mono_ms();
		b->retired[b->oldest] = now;
		b->oldest = (b->oldest + 1) % RETIRED;
	}
	atomic_store_explicit(&b->set, set, memory_order_release);
	LOG(INFO, "rain.campaigns", {"count", LOG_U(set->count)});
}

static err_t load_campaigns(rain_budget_t *b)
{
	db_rows_t *rows = NULL;
	db_t *db;
	err_t e = db_pool_take(b->db, &db);

	if (e != ERR_OK)
		return e;
	e = db_select(db, SQL_CAMPAIGN_ALL, DB_NONE, &rows);
	db_pool_give(b->db, &db);
	if (e != ERR_OK)
		return e;
	campaign_set *set = calloc(1, sizeof(*set));
	BUG_ON(!set);
	while (db_rows_next(rows) && set->count < CAMPAIGNS_MAX)
		read_row(rows, set);
	db_rows_free(&rows);
	install(b, set);
	return ERR_OK;
}

/* ---- leasing ---- */

typedef struct {
	const rain_budget_t *b;
	uint64_t id, campaign;
	int64_t want_fen, got_fen, now_ms, ends_at_ms, settle_at_ms;
} leasing;

/* Run again after an unknown COMMIT it finds its own row. */
static err_t found_again(db_t *db, leasing *l, bool *found)
{
	db_rows_t *rows = NULL;
	err_t e = db_select(db, SQL_CAMPAIGN_LEASE_FIND, DB_ARGS(db_u(l->id)), &rows);

	if (e != ERR_OK)
		return e;
	*found = db_rows_next(rows);
	if (*found)
		l->got_fen = db_rows_i(rows, 0);
	db_rows_free(&rows);
	return ERR_OK;
}

static err_t lease_tx(db_t *db, void *ctx)
{
	leasing *l = ctx;
	int64_t balance = 0;
	bool found = false, booked;
	err_t e = found_again(db, l, &found);

	if (e != ERR_OK || found)
		return e;
	e = ledger_balance(db, LEDGER_CAMPAIGN, l->campaign, &balance);
	if (e != ERR_OK)
		return e;
	l->got_fen = balance < l->want_fen ? balance : l->want_fen;
	if (l->got_fen <= 0)
		return ERR_BALANCE_TOO_LOW;
	e = db_exec(db, SQL_CAMPAIGN_LEASE_INSERT,
		DB_ARGS(db_u(l->id), db_u(l->campaign), db_i(l->got_fen), db_s(l->b->holder),
			db_u(STATES_LEASE_OPEN), db_i(l->now_ms), db_i(l->ends_at_ms),
			db_i(l->settle_at_ms)),
		NULL);
	if (e == ERR_OK)
		e = ledger_book(db, LEDGER_BY_LEASE, l->id, l->campaign, l->campaign, l->got_fen,
			l->now_ms, &booked);
	/* Another hb-rain took of it since: what it has left is read again. */
	return e == ERR_BALANCE_TOO_LOW ? ERR_DB_RETRY : e;
}

static purse *purse_of(rain_budget_t *b, uint32_t campaign)
{
	purse *empty = NULL;

	for (unsigned i = 0; i < CAMPAIGNS_MAX; i++) {
		if (b->purse[i].campaign == campaign)
			return &b->purse[i];
		if (b->purse[i].campaign == 0 && !empty)
			empty = &b->purse[i];
	}
	BUG_ON(!empty); /* campaigns are never deleted, and there are no more than this */
	empty->campaign = campaign;
	return empty;
}

static void drop_ended(purse *p, int64_t now_ms)
{
	for (unsigned i = 0; i < LEASES; i++)
		if (p->lease[i].id &&
			(p->lease[i].ends_at_ms <= now_ms || p->lease[i].left_fen == 0))
			p->lease[i] = (lease){0};
}

static int64_t in_hand(const purse *p, int64_t expires_at_ms)
{
	int64_t fen = 0;

	for (unsigned i = 0; i < LEASES; i++)
		if (p->lease[i].id && p->lease[i].serves_until_ms >= expires_at_ms)
			fen += p->lease[i].left_fen;
	return fen;
}

/* In place of the smallest rest, when there is no room. */
static void keep_lease(purse *p, const lease *got)
{
	lease *least = &p->lease[0];

	for (unsigned i = 0; i < LEASES; i++)
		if (p->lease[i].left_fen < least->left_fen)
			least = &p->lease[i];
	*least = *got;
}

static int64_t later_of(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* One block for a campaign in this round; the lock is let go meanwhile. */
static void lease_block(rain_budget_t *b, const campaign_t *c, const campaign_round *round)
{
	const conf_t *conf = b->p->conf;
	int64_t ends = round->ends_at_ms + conf_i(conf, CONF_RAIN_REPEAT_MS);
	int64_t expiry = campaign_expiry(c, round);
	leasing l = {.b = b,
		.campaign = c->number,
		.want_fen = c->lease_fen,
		.now_ms = clk_wall_ms(),
		.ends_at_ms = ends,
		.settle_at_ms = later_of(ends, expiry) + conf_i(conf, CONF_RAIN_SETTLE_MS)};

	pthread_mutex_unlock(&b->lock);
	err_t e = numbers_next(b->numbers, b->slot, &l.id);
	if (e == ERR_OK)
		e = db_transact(b->db, (unsigned)conf_i(conf, CONF_DB_TX_TRIES), lease_tx, &l);
	pthread_mutex_lock(&b->lock);
	purse *p = purse_of(b, c->number);
	p->spent = e == ERR_BALANCE_TOO_LOW;
	if (e == ERR_OK) {
		const lease got = {l.id, l.got_fen, ends, expiry};
		keep_lease(p, &got);
		p->wanted = 0;
		METRICS_INC(RAIN_LEASES);
	} else if (e != ERR_BALANCE_TOO_LOW) {
		b->not_before_ms = clk_mono_ms() + LEASE_PAUSE_MS;
		LOG(WARN, "rain.lease_failed", {"campaign", LOG_U(c->number)}, {"error", LOG_E(e)});
	}
}

static bool wants_more(rain_budget_t *b, const campaign_t *c, const campaign_round *round)
{
	purse *p = purse_of(b, c->number);
	int64_t fen = in_hand(p, campaign_expiry(c, round));

	return fen < c->lease_fen / 2 || fen < p->wanted || (p->wanted > 0 && !p->spent);
}

static bool reload_due(const rain_budget_t *b, int64_t last_ms)
{
	return clk_mono_ms() - last_ms >= conf_i(b->p->conf, CONF_RAIN_RELOAD_MS);
}

static void top_up(rain_budget_t *b)
{
	const campaign_set *set = atomic_load(&b->set);
	int64_t now_ms = clk_wall_ms(), repeat_ms = conf_i(b->p->conf, CONF_RAIN_REPEAT_MS);
	campaign_round round;

	pthread_mutex_lock(&b->lock);
	b->hurry = false;
	for (unsigned i = 0; set && i < set->count && !b->stop; i++) {
		const campaign_t *c = &set->campaign[i];
		drop_ended(purse_of(b, c->number), now_ms);
		/* Also for draws that are repeated after their round. */
		bool rains = campaign_at(c, now_ms, &round) == CAMPAIGN_RAINING;
		if (!rains && purse_of(b, c->number)->wanted > 0)
			rains = campaign_at(c, now_ms - repeat_ms, &round) == CAMPAIGN_RAINING;
		if (rains && clk_mono_ms() >= b->not_before_ms && wants_more(b, c, &round))
			lease_block(b, c, &round);
	}
	pthread_mutex_unlock(&b->lock);
}

/* Until it is time, or a win waits. */
static void rest(rain_budget_t *b, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&b->lock);
	int rc = 0;
	while (!b->stop && !b->hurry && rc == 0)
		rc = pthread_cond_timedwait(&b->wake, &b->lock, &until);
	pthread_mutex_unlock(&b->lock);
}

static void *budget_main(void *ctx)
{
	rain_budget_t *b = ctx;
	int64_t reload_ms = conf_i(b->p->conf, CONF_RAIN_RELOAD_MS), loaded_ms = clk_mono_ms();

	while (!b->stop) {
		rest(b, reload_ms);
		if (reload_due(b, loaded_ms)) {
			err_t e = load_campaigns(b);
			if (e != ERR_OK)
				LOG(WARN, "rain.campaigns_unread", {"error", LOG_E(e)});
			loaded_ms = clk_mono_ms();
		}
		top_up(b);
	}
	return NULL;
}

err_t rain_budget_new(const program_t *p, db_pool_t *db, numbers_t *numbers, rain_budget_t **out)
{
	rain_budget_t *b = calloc(1, sizeof(*b));
	pthread_condattr_t attr;

	BUG_ON(!b);
	*b = (rain_budget_t){.p = p, .db = db, .numbers = numbers};
	while (!program_owns_slot(p, b->slot))
		b->slot++;
	snprintf(b->holder, sizeof(b->holder), "hb-rain %s.%d", p->site, p->instance);
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->wake, &attr);
	pthread_condattr_destroy(&attr);
	err_t e = load_campaigns(b);
	if (e != ERR_OK)
		LOG(WARN, "rain.campaigns_unread", {"error", LOG_E(e)});
	top_up(b);
	BUG_ON(pthread_create(&b->thread, NULL, budget_main, b) != 0);
	*out = b;
	return ERR_OK;
}

void rain_budget_free(rain_budget_t **bp)
{
	rain_budget_t *b = *bp;

	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_signal(&b->wake);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	pthread_cond_destroy(&b->wake);
	pthread_mutex_destroy(&b->lock);
	free(atomic_load(&b->set));
	for (unsigned i = 0; i < RETIRED; i++)
		free(b->retired[i]);
	free(b);
	*bp = NULL;
}

/* ---- taking ---- */

rain_budget_result rain_budget_take(
	rain_budget_t *b, const token_win *win, int64_t now_ms, uint64_t *lease_id)
{
	rain_budget_result result = RAIN_BUDGET_WAITING;

	pthread_mutex_lock(&b->lock);
	purse *p = purse_of(b, (uint32_t)win->campaign);
	for (unsigned i = 0; i < LEASES && result == RAIN_BUDGET_WAITING; i++) {
		lease *l = &p->lease[i];
		if (!l->id || l->left_fen < win->amount_fen || l->ends_at_ms <= now_ms ||
			l->serves_until_ms < win->expires_at_ms)
			continue;
		l->left_fen -= win->amount_fen;
		*lease_id = l->id;
		result = RAIN_BUDGET_TAKEN;
	}
	bool low = result == RAIN_BUDGET_TAKEN && !p->spent &&
		   in_hand(p, win->expires_at_ms) < win->amount_fen * 4;
	if (result == RAIN_BUDGET_WAITING && p->spent)
		result = RAIN_BUDGET_SPENT;
	else if (result == RAIN_BUDGET_WAITING)
		p->wanted = win->amount_fen;
	if (low || result == RAIN_BUDGET_WAITING) {
		b->hurry = true;
		pthread_cond_signal(&b->wake);
	}
	pthread_mutex_unlock(&b->lock);
	return result;
}

bool rain_budget_spent(rain_budget_t *b, uint32_t campaign)
{
	bool spent = false;

	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < CAMPAIGNS_MAX; i++)
		if (b->purse[i].campaign == campaign)
			spent = b->purse[i].spent && in_hand(&b->purse[i], 0) == 0;
	pthread_mutex_unlock(&b->lock);
	return spent;
}
