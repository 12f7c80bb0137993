/* Nothing but the rows, as data. */
#include "domain/routes.h"

const routes_row routes_table[ROUTES_COUNT] = {
#define ROUTE(id, method, pattern, program, slot, auth, body, flags)                               \
	[ROUTES_ID_##id] = {#id, method, pattern, ROUTES_ID_##id, ROUTES_##program, ROUTES_##slot, \
		ROUTES_AUTH_##auth, ROUTES_##body, flags},
#include "domain/routes.def"
#undef ROUTE
};
