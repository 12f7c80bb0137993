/* A partner's subsidies, by message instead of by call: the same two steps, which any program may
 * ask for. While a cell is away the message is held, like any during an outage; so what partners ask
 * for has a queue of its own, and wins of the rain never wait behind it. */
#include "domain/issue.h"
#include "domain/session.h"
#include "domain/states.h"
#include "workers/role.h"
#include <stdio.h>
#include <string.h>

static err_t issue_one(worker_t *w, const outbox_event *e)
{
	issue_order o = {.s = {.uid = e->uid,
				 .amount_fen = e->amount_fen,
				 .expires_at_ms = (int64_t)e->expires_at_ms,
				 .state = STATES_SUBSIDY_USABLE}},
		    tracked, granted;
	if (!subsidy_partner_ok(e->issuer) || strlen(e->campaign_name) >= sizeof o.campaign ||
		e->uid > SESSION_UID_MAX)
		return ERR_INVALID_FIELD;
	memcpy(o.s.issuer, e->issuer, strlen(e->issuer) + 1);
	memcpy(o.campaign, e->campaign_name, strlen(e->campaign_name) + 1);
	memcpy(o.s.out_order_no, e->out_order_no, sizeof o.s.out_order_no);
	const err_t err = issue_track(w->peer, &o, NULL, &tracked);
	return err == ERR_OK ? issue_grant(w->peer, &tracked, NULL, &granted) : err;
}

err_t issue_handle(worker_t *w, const outbox_events *events)
{
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++)
		err = issue_one(w, &events->event[i]);
	return err;
}
