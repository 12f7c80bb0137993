/* A partner's subsidies, by message instead of by call: the same two steps, which any program may ask
 * for. What partners ask for has a queue of its own, so that wins of the rain never wait behind it; and
 * what needs a cell that is away does not hold what is behind it in the queue: it goes back into the
 * outbox and comes again after a while. Since when it does so goes with it, in a field of its own: an
 * outage passes, but what a healthy cell has not understood for an hour a person has to look at. A cell
 * that has just failed is not asked for each of them: one that hangs costs a time-out each time. */
#include "domain/issue.h"
#include "base/clk.h"
#include "base/logger.h"
#include "domain/session.h"
#include "domain/states.h"
#include "workers/role.h"
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_MS = 15000, REST_MS = 3000 };
#define SINCE "f" /* of an event that was put off: since when, in ms */

/* Of the cells of numbers, by their place in the topology; of the process. */
static _Atomic int64_t rests_until_ms[TOPOLOGY_CELLS_MAX];

static bool is_away(err_t e)
{
	return e == ERR_CELL_UNAVAILABLE || e == ERR_OUTCOME_UNKNOWN || e == ERR_TIMEOUT;
}

static err_t ask(worker_t *w, const issue_order *o)
{
	const topology_cell *cell =
		topology_cell_of_slot(w->p->topo, subsidy_slot(o->s.issuer, o->s.out_order_no));
	_Atomic int64_t *rests = &rests_until_ms[cell - w->p->topo->cell];
	issue_order tracked, granted;
	if (clk_mono_ms() < atomic_load(rests))
		return ERR_CELL_UNAVAILABLE;
	const err_t err = issue_track(w->peer, o, NULL, &tracked);
	if (is_away(err))
		atomic_store(rests, clk_mono_ms() + REST_MS);
	return err == ERR_OK ? issue_grant(w->peer, &tracked, NULL, &granted) : err;
}

typedef struct {
	uint64_t uid;
	const char *payload;
	size_t n;
} later;

static err_t later_tx(db_t *db, void *ctx)
{
	const later *l = ctx;
	const int64_t now_ms = clk_wall_ms();
	err_t err = outbox_add(db, OUTBOX_ISSUE, l->uid, now_ms, l->payload, l->n);
	const uint64_t id = db_insert_id(db);
	return err == ERR_OK ? outbox_lease(db, &id, 1, now_ms + AGAIN_MS) : err;
}

/* Put back by a person it may come again for as long as before. */
static err_t park(worker_t *w, const later *l, err_t e, int64_t waited_ms)
{
	char queue[QUEUE_NAME_BYTES], why[64];
	queue_name(QUEUE_ISSUE, w->p->cell->name, queue);
	snprintf(why, sizeof why, "%s for %lld s", err_code(e), (long long)waited_ms / 1000);
	return role_park(w, queue, why, l->payload, l->n);
}

/* The relay passes over it until then, and sends it to the same queue again. */
static err_t postpone(worker_t *w, const outbox_events *events, size_t i, err_t e)
{
	json_t *event = json_array_get(events->array, i);
	const int64_t now_ms = clk_wall_ms(),
		      since = json_integer_value(json_object_get(event, SINCE));
	const int64_t waited_ms = since > 0 ? now_ms - since : 0;
	const bool enough = waited_ms >= conf_i(w->p->conf, CONF_SUBSIDY_AWAY_S) * 1000;
	if (enough)
		json_object_del(event, SINCE);
	else if (since <= 0)
		json_object_set_new(event, SINCE, json_integer(now_ms));
	json_t *one = json_pack("[O]", event);
	char *payload = one ? json_dumps(one, JSON_COMPACT) : NULL;
	BUG_ON(!payload);
	later l = {events->event[i].uid, payload, strlen(payload)};
	const err_t err = enough ? park(w, &l, e, waited_ms) : role_transact(w, later_tx, &l);
	free(payload);
	json_decref(one);
	return err;
}

static err_t issue_one(worker_t *w, const outbox_event *e)
{
	issue_order o = {.s = {.uid = e->uid,
				 .amount_fen = e->amount_fen,
				 .expires_at_ms = (int64_t)e->expires_at_ms,
				 .state = STATES_SUBSIDY_USABLE}};
	if (!subsidy_partner_ok(e->issuer) || strlen(e->campaign_name) >= sizeof o.campaign ||
		e->uid > SESSION_UID_MAX)
		return ERR_INVALID_FIELD;
	memcpy(o.s.issuer, e->issuer, strlen(e->issuer) + 1);
	memcpy(o.campaign, e->campaign_name, strlen(e->campaign_name) + 1);
	memcpy(o.s.out_order_no, e->out_order_no, sizeof o.s.out_order_no);
	const err_t err = ask(w, &o);
	if (err != ERR_SUBSIDY_EXPIRED)
		return err;
	/* Its time was over before anybody heard of it: there is nothing to give. */
	LOG(WARN, "issue.late", {"issuer", LOG_S(o.s.issuer)},
		{"out_order_no", LOG_S(o.s.out_order_no)});
	return ERR_OK;
}

err_t issue_handle(worker_t *w, const outbox_events *events)
{
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++) {
		err = issue_one(w, &events->event[i]);
		if (is_away(err))
			err = postpone(w, events, i, err);
	}
	return err;
}
