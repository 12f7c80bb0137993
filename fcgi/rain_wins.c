/* The order of a win: budget, log (synced), publish (confirmed), list, answer. Dying after any of
 * these repeats no budget: what was logged is read back at start, and a lease whose win was not
 * logged is settled with the rest of its lease. A message that arrived although its confirm did not
 * is recorded like any other, and the repeat publishes it once more: the consumer knows both.
 *
 * Everything here happens on one thread, so that a group costs one sync and one round of confirms,
 * however many requests wait; they hold no thread meanwhile (http_req.later). */
#include "fcgi/rain_wins.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/outbox.h"
#include "domain/token_list.h"
#include "fcgi/win_log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BODY_BYTES = 384,
	QUEUE_BYTES = 24,
	PENDING_MAX = 65536,
	PENDING_K = UINT16_MAX, /* stands for "the user's" in the table of what is pending */
	PENDING_NONE = UINT16_MAX,
	LOOK_MS = 10,    /* how often what waits for budget or the list is looked at */
	BEAT_MS = 5000,  /* how often an idle connection is looked after */
	BROKER_MS = 300, /* between two tries to connect */
};

typedef struct {
	rain_ticket *first, **last;
	unsigned count;
} ticket_list;

struct rain_wins {
	const program_t *p;
	rain_budget_t *budget;
	token_list_t *list;
	win_log_t *log;
	char queue[QUEUE_BYTES];
	pthread_t thread, keeper;
	_Atomic bool stop;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	ticket_list arrived;
	win_table_t *pending;           /* k as the lease */
	_Atomic unsigned pending_count; /* that were ever put there since it was last empty */
	/* ---- the thread's own ---- */
	win_table_t *known;
	ticket_list waiting;
	_Atomic unsigned held; /* waiting, as submit sees it */
	mq_t *mq;
	int64_t broker_after_ms, beat_ms;
	mq_out *out;
	char (*body)[BODY_BYTES];
	rain_ticket **group;
};

static void list_init(ticket_list *l)
{
	l->first = NULL;
	l->last = &l->first;
	l->count = 0;
}

static void list_add(ticket_list *l, rain_ticket *t)
{
	t->next = NULL;
	*l->last = t;
	l->last = &t->next;
	l->count++;
}

static rain_ticket *list_take(ticket_list *l)
{
	rain_ticket *t = l->first;

	if (!t)
		return NULL;
	l->first = t->next;
	if (!l->first)
		l->last = &l->first;
	l->count--;
	return t;
}

/* ---- what a user was told to repeat ---- */

static win_key pending_key(uint32_t campaign, uint32_t round, uint64_t uid)
{
	return (win_key){uid, campaign, round, PENDING_K};
}

bool rain_wins_pending(rain_wins_t *w, uint32_t campaign, uint32_t round, uint64_t uid, unsigned *k)
{
	const win_key key = pending_key(campaign, round, uid);
	uint64_t value = PENDING_NONE;
	win_state state;

	/* Draws that do not win take no lock while nothing was ever pending. */
	if (atomic_load_explicit(&w->pending_count, memory_order_relaxed) == 0)
		return false;
	pthread_mutex_lock(&w->lock);
	bool found = win_table_get(w->pending, &key, &state, &value) && value != PENDING_NONE;
	pthread_mutex_unlock(&w->lock);
	*k = (unsigned)value;
	return found;
}

static void pending_set(rain_wins_t *w, const win_key *draw, bool pending)
{
	const win_key key = pending_key(draw->campaign, draw->round, draw->uid);
	uint64_t value = PENDING_NONE;
	win_state state;

	pthread_mutex_lock(&w->lock);
	bool found = win_table_get(w->pending, &key, &state, &value) && value != PENDING_NONE;
	if (pending) {
		if (!found)
			atomic_fetch_add(&w->pending_count, 1);
		win_table_put(w->pending, &key, WIN_LEASED, draw->k);
	} else if (found && value == draw->k) {
		win_table_put(w->pending, &key, WIN_LEASED, PENDING_NONE);
		atomic_fetch_sub(&w->pending_count, 1);
	}
	pthread_mutex_unlock(&w->lock);
}

/* ---- one ticket's end ---- */

static void answer(rain_wins_t *w, rain_ticket *t, err_t e, bool spent)
{
	t->error = e;
	t->spent = spent;
	if (e != ERR_OK)
		pending_set(w, &t->key, true);
	else if (atomic_load_explicit(&w->pending_count, memory_order_relaxed) > 0)
		pending_set(w, &t->key, false);
	http_resume(t->request); /* the last that is done to it */
}

static void given(rain_wins_t *w, rain_ticket *t, int64_t now_ms)
{
	if (t->state != WIN_GIVEN) {
		t->state = WIN_GIVEN;
		win_table_put(w->known, &t->key, WIN_GIVEN, t->win.lease_id);
		win_log_add(w->log, WIN_GIVEN, &t->key, &t->win, now_ms);
	}
}

/* ---- the steps ---- */

/* Another process may have given it, and this one may have forgotten it: its token tells. */
static bool given_before(rain_wins_t *w, rain_ticket *t, int64_t now_ms)
{
	if (!token_list_find(w->list, w->p->seal_keys, t->win.uid, t->win.out_order_no, t->since_ms,
		    now_ms, &t->win))
		return false;
	t->state = WIN_GIVEN;
	win_table_put(w->known, &t->key, WIN_GIVEN, t->win.lease_id);
	return true;
}

/* Whether it has its budget, now or from before. False: it is answered, or waits. */
static bool has_budget(rain_wins_t *w, rain_ticket *t, int64_t now_ms)
{
	if (win_table_get(w->known, &t->key, &t->state, &t->win.lease_id))
		return true;
	switch (rain_budget_take(w->budget, &t->win, now_ms, &t->win.lease_id)) {
	case RAIN_BUDGET_TAKEN:
		t->state = WIN_LEASED;
		win_table_put(w->known, &t->key, WIN_LEASED, t->win.lease_id);
		return true;
	case RAIN_BUDGET_SPENT:
		if (given_before(w, t, now_ms))
			return true;
		answer(w, t, ERR_OK, true);
		return false;
	case RAIN_BUDGET_WAITING:
		break;
	}
	list_add(&w->waiting, t);
	return false;
}

/* The wins of one group that have their budget; those from before that are not given again wait for
 * nothing but their token. */
static unsigned gather(rain_wins_t *w, int64_t now_ms)
{
	unsigned most = (unsigned)conf_i(w->p->conf, CONF_RAIN_BATCH), n = 0;
	int64_t mono = clk_mono_ms();
	rain_ticket *before = w->waiting.first;

	list_init(&w->waiting);
	for (rain_ticket *t = before, *next; t; t = next) {
		next = t->next;
		if (mono >= t->deadline_ms)
			answer(w, t, ERR_DRAW_PENDING, false);
		else if (n == most)
			list_add(&w->waiting, t);
		else if (t->ready || has_budget(w, t, now_ms))
			w->group[n++] = t;
	}
	for (rain_ticket *t; n < most;) {
		pthread_mutex_lock(&w->lock);
		t = list_take(&w->arrived);
		pthread_mutex_unlock(&w->lock);
		if (!t)
			break;
		if (has_budget(w, t, now_ms))
			w->group[n++] = t;
	}
	return n;
}

/* Only what is in the log, synced, may be published. */
static bool log_group(rain_wins_t *w, unsigned n, int64_t now_ms)
{
	bool any = false;

	for (unsigned i = 0; i < n; i++)
		if (w->group[i]->state == WIN_LEASED) {
			win_log_add(
				w->log, WIN_LOGGED, &w->group[i]->key, &w->group[i]->win, now_ms);
			any = true;
		}
	if (any && (win_log_write(w->log, now_ms) != ERR_OK || win_log_sync(w->log) != ERR_OK))
		return false;
	for (unsigned i = 0; i < n; i++)
		if (w->group[i]->state == WIN_LEASED) {
			w->group[i]->state = WIN_LOGGED;
			win_table_put(
				w->known, &w->group[i]->key, WIN_LOGGED, w->group[i]->win.lease_id);
		}
	return true;
}

/* As outbox.h says of OUTBOX_SUBSIDY. */
static size_t message(const rain_ticket *t, char out[BODY_BYTES])
{
	const token_win *win = &t->win;
	jw_t j;

	jw_start_fixed(&j, out, BODY_BYTES);
	jw_arr(&j, NULL);
	jw_obj(&j, NULL);
	jw_i64(&j, "no", (int64_t)win->subsidy_id);
	jw_i64(&j, "u", (int64_t)win->uid);
	jw_i64(&j, "a", win->amount_fen);
	jw_str(&j, "o", win->out_order_no);
	jw_i64(&j, "c", (int64_t)win->campaign);
	jw_i64(&j, "x", win->expires_at_ms);
	jw_i64(&j, "l", (int64_t)win->lease_id);
	trace_begin(t->request->request_id, t->request->traceparent);
	outbox_write_trace(&j);
	trace_end();
	jw_obj_end(&j);
	jw_arr_end(&j);
	size_t n = jw_end(&j);
	BUG_ON(n == 0);
	return n;
}

static bool broker_ready(rain_wins_t *w)
{
	mq_target target;

	if (w->mq && !mq_alive(w->mq))
		mq_close(&w->mq);
	if (w->mq)
		return true;
	if (clk_mono_ms() < w->broker_after_ms)
		return false;
	program_mq_target(w->p, &target);
	if (mq_open(&target, &w->mq) == ERR_OK)
		return true;
	w->broker_after_ms = clk_mono_ms() + BROKER_MS;
	return false;
}

/* What was given before needs no message, nor does what was confirmed and waits for the list. */
static bool unconfirmed(const rain_ticket *t)
{
	return t->state != WIN_GIVEN && !t->ready;
}

static int64_t first_deadline(const rain_wins_t *w, unsigned n)
{
	int64_t first = INT64_MAX;

	for (unsigned i = 0; i < n; i++)
		if (unconfirmed(w->group[i]) && w->group[i]->deadline_ms < first)
			first = w->group[i]->deadline_ms;
	return first;
}

/* Sets `confirmed` of each in w->out. */
static void publish(rain_wins_t *w, unsigned n)
{
	unsigned sent = 0;
	int64_t left = first_deadline(w, n) - clk_mono_ms();

	for (unsigned i = 0; i < n; i++) {
		rain_ticket *t = w->group[i];
		if (!unconfirmed(t))
			continue;
		w->out[sent] = (mq_out){
			.queue = w->queue, .body = w->body[sent], .len = message(t, w->body[sent])};
		sent++;
	}
	if (sent > 0 && broker_ready(w)) {
		err_t e = mq_publish(w->mq, w->out, sent, left > 1 ? left : 1);
		if (e != ERR_OK)
			LOG(WARN, "rain.unconfirmed", {"wins", LOG_U(sent)}, {"error", LOG_E(e)});
	}
	w->beat_ms = clk_mono_ms();
}

/* The token, and its place in the user's list; a win that is not on it waits until nobody takes the
 * list for whole, and so do repeats that come meanwhile: it is given only then. True when its user
 * may be told. */
static bool give(rain_wins_t *w, rain_ticket *t, int64_t now_ms)
{
	if (!t->ready) {
		token_seal(w->p->seal_keys, &t->win, t->token);
		t->ready = true;
		if (t->state == WIN_GIVEN /* and listed, then */ ||
			token_list_put(w->list, t->win.uid, t->token, now_ms) == ERR_OK)
			t->repeated = true;
	}
	bool may = t->repeated || token_list_hold_ms(w->list, clk_wall_ms()) == 0;
	if (may)
		given(w, t, now_ms);
	return may;
}

static void run_group(rain_wins_t *w)
{
	int64_t now_ms = clk_wall_ms();
	unsigned n = gather(w, now_ms), sent = 0, told = 0;

	if (n == 0)
		return;
	METRICS_INC(RAIN_GROUPS);
	if (!log_group(w, n, now_ms)) {
		for (unsigned i = 0; i < n; i++)
			answer(w, w->group[i], ERR_DRAW_PENDING, false);
		return;
	}
	publish(w, n);
	for (unsigned i = 0; i < n; i++) {
		rain_ticket *t = w->group[i];
		bool confirmed = !unconfirmed(t) || w->out[sent++].confirmed;
		if (confirmed && give(w, t, now_ms))
			w->group[told++] = t;
		else if (!confirmed && (clk_mono_ms() >= t->deadline_ms || !w->mq))
			answer(w, t, ERR_DRAW_PENDING, false);
		else
			list_add(&w->waiting, t);
	}
	/* Before anybody is told: what is written outlives this process. */
	if (win_log_write(w->log, now_ms) != ERR_OK)
		LOG0(WARN, "rain.given_unlogged"); /* the wins themselves are */
	for (unsigned i = 0; i < told; i++)
		answer(w, w->group[i], ERR_OK, false);
}

/* Until something arrives; sooner while something waits. */
static void rest(rain_wins_t *w)
{
	struct timespec until;
	long ms = w->waiting.count ? LOOK_MS : 1000;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms % 1000 * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&w->lock);
	int rc = 0;
	while (!w->stop && !w->arrived.first && rc == 0)
		rc = pthread_cond_timedwait(&w->wake, &w->lock, &until);
	pthread_mutex_unlock(&w->lock);
}

static void look_after_broker(rain_wins_t *w)
{
	mq_in in;

	if (!broker_ready(w) || clk_mono_ms() - w->beat_ms < BEAT_MS)
		return;
	w->beat_ms = clk_mono_ms();
	err_t e = mq_next(w->mq, 0, &in);
	if (e != ERR_OK && e != ERR_TIMEOUT)
		mq_close(&w->mq);
}

static void *wins_main(void *ctx)
{
	rain_wins_t *w = ctx;
	int64_t synced_ms = clk_mono_ms();

	while (!w->stop) {
		rest(w);
		look_after_broker(w);
		run_group(w);
		atomic_store(&w->held, w->waiting.count);
		metrics_set(METRICS_RAIN_WAITING, 0, w->waiting.count);
		if (clk_mono_ms() - synced_ms >= 1000) {
			if (win_log_sync(w->log) != ERR_OK)
				LOG0(WARN, "rain.given_unsynced");
			synced_ms = clk_mono_ms();
		}
	}
	for (rain_ticket *t; (t = list_take(&w->waiting)) || (t = list_take(&w->arrived));)
		answer(w, t, ERR_DRAW_PENDING, false);
	return NULL;
}

static void *keeper_main(void *ctx)
{
	rain_wins_t *w = ctx;
	const struct timespec pause = {0, TOKEN_LIST_KEEP_MS * 1000000L};

	while (!w->stop) {
		token_list_keep(w->list, clk_wall_ms(), false);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

err_t rain_wins_submit(rain_wins_t *w, rain_ticket *t)
{
	unsigned most = (unsigned)conf_i(w->p->conf, CONF_RAIN_QUEUE_MAX);

	t->deadline_ms = clk_mono_ms() + conf_i(w->p->conf, CONF_RAIN_CONFIRM_MS);
	pthread_mutex_lock(&w->lock);
	bool room = !w->stop && w->arrived.count + atomic_load(&w->held) < most;
	if (room) {
		list_add(&w->arrived, t);
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&w->lock);
	if (!room)
		pending_set(w, &t->key, true);
	return room ? ERR_OK : ERR_DRAW_PENDING;
}

static void replayed(void *ctx, win_state state, const win_key *key, const token_win *win)
{
	rain_wins_t *w = ctx;
	win_state was;
	uint64_t lease;

	if (state == WIN_LOGGED && win_table_get(w->known, key, &was, &lease) && was == WIN_GIVEN)
		return;
	win_table_put(w->known, key, state, win->lease_id);
	pending_set(w, key, state == WIN_LOGGED);
}

err_t rain_wins_new(const program_t *p, rain_budget_t *budget, cache_t *cache, rain_wins_t **out)
{
	rain_wins_t *w = calloc(1, sizeof(*w));
	size_t batch = (size_t)conf_i(p->conf, CONF_RAIN_BATCH);
	pthread_condattr_t attr;

	BUG_ON(!w);
	err_t e = win_log_open(conf_s(p->conf, CONF_WINS_DIR), p->cell->name, p->instance, &w->log);
	if (e != ERR_OK) {
		free(w);
		return e;
	}
	w->p = p;
	w->budget = budget;
	snprintf(w->queue, sizeof(w->queue), "%s.subsidy", p->cell->name);
	list_init(&w->arrived);
	list_init(&w->waiting);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	w->pending = win_table_new(PENDING_MAX);
	w->known = win_table_new((size_t)conf_i(p->conf, CONF_RAIN_REMEMBERED));
	w->list = token_list_new(cache, (unsigned)p->instance, clk_wall_ms());
	w->out = calloc(batch, sizeof(*w->out));
	w->body = calloc(batch, sizeof(*w->body));
	w->group = calloc(batch, sizeof(*w->group));
	BUG_ON(!w->out || !w->body || !w->group);
	win_log_replay(w->log, clk_wall_ms(), replayed, w);
	BUG_ON(pthread_create(&w->thread, NULL, wins_main, w) != 0);
	BUG_ON(pthread_create(&w->keeper, NULL, keeper_main, w) != 0);
	*out = w;
	return ERR_OK;
}

void rain_wins_free(rain_wins_t **wp)
{
	rain_wins_t *w = *wp;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_join(w->keeper, NULL);
	token_list_keep(w->list, clk_wall_ms(), true);
	mq_close(&w->mq);
	win_log_close(&w->log);
	token_list_free(&w->list);
	win_table_free(&w->known);
	win_table_free(&w->pending);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w->out);
	free(w->body);
	free(w->group);
	free(w);
	*wp = NULL;
}
