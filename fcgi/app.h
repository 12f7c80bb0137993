/* app: what the handlers of one program share, and what a handler starts with. */
#ifndef HB_FCGI_APP_H
#define HB_FCGI_APP_H

#include "domain/claim.h"
#include "domain/numbers.h"
#include "domain/program.h"
#include "domain/routes.h"
#include "domain/shares.h"
#include "http/http.h"

typedef struct pace pace_t;

typedef struct {
	program_t *p;
	db_pool_t *db;
	cache_t *cache;
	shares_t *shares;
	numbers_t *numbers;      /* hb-core; NULL in hb-query */
	claim_service_t *claims; /* hb-core; NULL in hb-query */
	pace_t *pace;            /* hb-query: who was told when to ask again */
} app_t;

/* One call, past the gate: the route matched, the slot is ours, the session verified, the body's
 * type and size checked. */
typedef struct {
	http_req_t *r;
	app_t *app;
	const routes_row *route;
	uint64_t uid;    /* of the session; 0 when the route needs none */
	uint64_t number; /* of the path; 0 when it has none */
	int64_t now_ms;  /* wall clock at the start */
} app_call_t;

typedef err_t (*app_handler)(app_call_t *c);

/* This thread's client of finance, made on first use and kept. */
err_t app_finance(app_t *a, finance_t **out) MUST_CHECK;

#endif
