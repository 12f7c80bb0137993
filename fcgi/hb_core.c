/* hb-core: everything that writes: log in, send, claim, callbacks, partners' subsidies. */
#include "fcgi/gate.h"
#include "fcgi/handlers.h"
#include "fcgi/views.h"

enum { SHARES_MEMORY_BYTES = 64 << 20, CACHE_HANDLES = 16, LEASE_CONNECTIONS = 1 };

static const app_handler handlers[ROUTES_COUNT] = {
#define CORE(id) [ROUTES_ID_##id] = handle_##id,
#define QUERY(id)
#define RAIN(id)
#define ROUTE(id, method, pattern, program, slot, auth, body, flags) program(id)
#include "domain/routes.def"
#undef ROUTE
#undef CORE
#undef QUERY
#undef RAIN
};

static err_t core_open(app_t *a)
{
	const program_t *p = a->p;
	err_t e = program_db_pool(p, LEASE_CONNECTIONS, &a->leases);
	if (e == ERR_OK)
		e = numbers_new(a->leases, p->cell->number, conf_i(p->conf, CONF_NUMBER_BLOCK),
			&a->numbers);
	if (e == ERR_OK)
		e = partner_load(p->conf, &a->partners);
	if (e != ERR_OK)
		return e;
	const claim_service_conf claims = {.program = a->p,
		.db = a->db,
		.cache = a->cache,
		.numbers = a->numbers,
		.shares = a->shares};
	return claim_service_new(&claims, &a->claims);
}

static void core_close(app_t *a)
{
	if (a->claims)
		claim_service_free(&a->claims);
	partner_free(&a->partners);
	if (a->numbers)
		numbers_free(&a->numbers);
	if (a->leases)
		db_pool_free(&a->leases);
}

static const app_program core = {
	.name = "hb-core",
	.db_user = "hb_core",
	.program = ROUTES_CORE,
	.handlers = handlers,
	.not_found = views_not_found,
	.threads = CONF_HTTP_THREADS_CORE,
	.connections = CONF_DB_POOL_CORE,
	.cache_handles = CACHE_HANDLES,
	.shares_bytes = SHARES_MEMORY_BYTES,
	.open = core_open,
	.close = core_close,
	.handle = gate_handle,
};

int main(int argc, char **argv)
{
	return app_main(&core, argc, argv);
}
