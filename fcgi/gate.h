/* gate: the one http_handler of hb-core and hb-query. It matches the path against routes_table and
 * makes true what the row promises (method, slot, session, CSRF, limits, body, key, query), in that order,
 * before the row's handler runs, and that it is this request's turn. Read-only after gate_new; all threads. */
#ifndef HB_FCGI_GATE_H
#define HB_FCGI_GATE_H

#include "fcgi/app.h"

typedef struct gate gate_t;

typedef struct {
	routes_program program;      /* rows of others are 404 here */
	const app_handler *handlers; /* ROUTES_COUNT of them by routes_id; NULL for others' rows */
	/* Asked before every handler; ERR_CELL_UNAVAILABLE keeps requests out. May be NULL. */
	err_t (*ready)(app_t *a);
	/* What is answered when the handler of a ROUTE_PACKET row has found no packet. May be NULL. */
	err_t (*not_found)(const app_call_t *c);
	unsigned threads,
		connections; /* of the program: an interface gets a part of them (turns.h) */
} gate_conf;

/* ERR_CONFIG_INVALID when http.front_url is not scheme://host[:port]. */
err_t gate_new(const gate_conf *c, const app_t *app, gate_t **out) MUST_CHECK;
void gate_free(gate_t **g);
/* r->app is the app_t, whose `gate` is set. What a handler may rely on:
 * - c->uid is verified on USER routes; c->number is set where the pattern has {number}, c->name
 *   where it has {campaign}; the number's slot
 *   (or the uid's) is this cell's.
 * - JSON routes have a body of UTF-8 as application/json within HTTP_BODY_MAX_BYTES; JSON_OR_NONE
 *   have such a body or an empty one (http_fields takes that for {}); NO_BODY have none.
 * - r->idempotency_key is well formed on ROUTE_IDEMPOTENT rows.
 * - the query string is empty, but on ROUTE_LIST rows, where it holds only limit and cursor. */
err_t gate_handle(http_req_t *r) MUST_CHECK;
/* Counts one request of this interface by somebody whom only the handler could verify (a partner), by a mix
 * of who they are. ERR_RATE_LIMITED when it is too many. */
err_t gate_rate(const app_call_t *c, uint64_t who) MUST_CHECK;

#endif
