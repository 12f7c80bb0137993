/* routes: the table of routes.def as data. Handlers are bound in fcgi/, locations are rendered in
 * units/. */
#ifndef HB_DOMAIN_ROUTES_H
#define HB_DOMAIN_ROUTES_H

typedef enum { ROUTES_CORE, ROUTES_QUERY, ROUTES_RAIN } routes_program;
typedef enum { ROUTES_ANY, ROUTES_USER, ROUTES_PATH, ROUTES_CLAIM } routes_slot;
typedef enum {
	ROUTES_AUTH_NONE,
	ROUTES_AUTH_USER,
	ROUTES_AUTH_FINANCE,
	ROUTES_AUTH_PARTNER,
	ROUTES_AUTH_INTERNAL
} routes_auth;
typedef enum { ROUTES_NO_BODY, ROUTES_JSON, ROUTES_JSON_OR_NONE } routes_body;
enum {
	ROUTE_IDEMPOTENT = 1,
	ROUTE_DEMO = 2,
	ROUTE_LIST = 4,
	ROUTE_SAYS_WHEN = 8,
	ROUTE_PACKET = 16
};

typedef enum {
#define ROUTE(id, method, pattern, program, slot, auth, body, flags) ROUTES_ID_##id,
#include "domain/routes.def"
#undef ROUTE
	ROUTES_COUNT
} routes_id;

typedef struct {
	const char *name, *method, *pattern;
	routes_id id;
	routes_program program;
	routes_slot slot;
	routes_auth auth;
	routes_body body;
	unsigned flags;
} routes_row;

extern const routes_row routes_table[ROUTES_COUNT];

#endif
