/* app: what the handlers of one program share, and what a handler starts with. */
#ifndef HB_FCGI_APP_H
#define HB_FCGI_APP_H

#include "domain/claim.h"
#include "domain/numbers.h"
#include "domain/partner.h"
#include "domain/program.h"
#include "domain/routes.h"
#include "domain/shares.h"
#include "http/http.h"

typedef struct fresh fresh_t;
typedef struct gate gate_t;
typedef struct pace pace_t;
typedef struct rain rain_t;

typedef struct {
	program_t *p;
	db_pool_t *db;
	cache_t *cache;
	shares_t *shares;
	numbers_t *numbers;      /* hb-core; NULL in hb-query */
	db_pool_t *leases;       /* of numbers: who needs one may hold the pool's last connection */
	claim_service_t *claims; /* hb-core; NULL in hb-query */
	partner_t *partners;     /* hb-core; NULL in hb-query */
	pace_t *pace;            /* hb-query: who was told when to ask again */
	breaker_t *token_list;   /* hb-query: of reading it */
	fresh_t *fresh;          /* hb-query: whether the cell still has a majority */
	rain_t *rain;            /* hb-rain; NULL in the others */
	gate_t *gate;
} app_t;

/* One call, past the gate: the route matched, the slot is ours, the session verified, the body's
 * type and size checked. */
typedef struct {
	http_req_t *r;
	app_t *app;
	const routes_row *route;
	uint64_t uid;     /* of the session; 0 when the route needs none */
	uint64_t number;  /* of the path; 0 when it has none */
	const char *name; /* of a {campaign} in the path, name_len bytes; NULL when it has none */
	size_t name_len;
	int64_t now_ms; /* wall clock at the start */
} app_call_t;

typedef err_t (*app_handler)(app_call_t *c);

/* What one FastCGI program has of its own. */
typedef struct {
	const char *name, *db_user;
	routes_program program;
	const app_handler *handlers; /* ROUTES_COUNT by routes_id; NULL where another serves */
	conf_id threads, connections;
	unsigned cache_handles;
	size_t shares_bytes;
	err_t (*open)(app_t *a);  /* after pool, cache, shares and gate are there */
	void (*close)(app_t *a);  /* also after an open that failed half-way */
	err_t (*ready)(app_t *a); /* of gate_conf; may be NULL, like the next */
	err_t (*not_found)(const app_call_t *c);
	http_handler handle;
	http_handler standby; /* NULL: a standby refuses whatever comes */
} app_program;

/* Starts, serves until told to stop, ends: the whole of main(). */
int app_main(const app_program *prog, int argc, char **argv) MUST_CHECK;

/* This thread's client of finance, made on first use and kept. */
err_t app_finance(app_t *a, finance_t **out) MUST_CHECK;

/* And of our own programs in other cells. */
err_t app_peer(app_t *a, peer_t **out) MUST_CHECK;

#endif
