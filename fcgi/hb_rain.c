/* hb-rain: the red-envelope rain: draws, and what becomes of those that win. */
#include "fcgi/gate.h"
#include "fcgi/handlers.h"
#include "fcgi/rain.h"

#include <stdlib.h>

enum { SHARES_MEMORY_BYTES = 1 << 20, CACHE_HANDLES = 16 };

static const app_handler handlers[ROUTES_COUNT] = {
#define CORE(id)
#define QUERY(id)
#define RAIN(id) [ROUTES_ID_##id] = handle_##id,
#define ROUTE(id, method, pattern, program, slot, auth, body, flags) program(id)
#include "domain/routes.def"
#undef ROUTE
#undef CORE
#undef QUERY
#undef RAIN
};

static err_t rain_open(app_t *a)
{
	const program_t *p = a->p;
	rain_t *rain = calloc(1, sizeof(*rain));

	BUG_ON(!rain);
	a->rain = rain;
	rain->places = places_new();
	err_t e = numbers_new(
		a->db, p->cell->number, conf_i(p->conf, CONF_NUMBER_BLOCK), &a->numbers);
	if (e == ERR_OK)
		e = rain_budget_new(p, a->db, a->numbers, &rain->budget);
	if (e == ERR_OK)
		e = rain_wins_new(p, rain->budget, a->cache, &rain->wins);
	return e;
}

static void rain_close(app_t *a)
{
	if (!a->rain)
		return;
	rain_wins_free(&a->rain->wins);
	rain_budget_free(&a->rain->budget);
	places_free(&a->rain->places);
	numbers_free(&a->numbers);
	free(a->rain);
	a->rain = NULL;
}

static const app_program rain = {
	.name = "hb-rain",
	.db_user = "hb_rain",
	.program = ROUTES_RAIN,
	.handlers = handlers,
	.threads = CONF_HTTP_THREADS_RAIN,
	.connections = CONF_DB_POOL_RAIN,
	.cache_handles = CACHE_HANDLES,
	.shares_bytes = SHARES_MEMORY_BYTES,
	.open = rain_open,
	.close = rain_close,
	.handle = gate_handle,
};

int main(int argc, char **argv)
{
	return app_main(&rain, argc, argv);
}
