/* hb-query: everything that only reads, from the cell's primary, as long as its heartbeat is young
 * enough to believe it; and, a standby too, what the operations listener asks of the site (ops.h). */
#include "fcgi/fresh.h"
#include "fcgi/gate.h"
#include "fcgi/handlers.h"
#include "fcgi/ops.h"
#include "fcgi/pace.h"
#include "fcgi/views.h"

enum { SHARES_MEMORY_BYTES = 64 << 20, CACHE_HANDLES = 8 };

static const app_handler handlers[ROUTES_COUNT] = {
#define CORE(id)
#define QUERY(id) [ROUTES_ID_##id] = handle_##id,
#define RAIN(id)
#define ROUTE(id, method, pattern, program, slot, auth, body, flags) program(id)
#include "domain/routes.def"
#undef ROUTE
#undef CORE
#undef QUERY
#undef RAIN
};

static err_t query_open(app_t *a)
{
	const conf_t *conf = a->p->conf;
	breaker_conf token_list;
	program_breaker(a->p, BREAKER_TOKEN_LIST, &token_list);
	a->token_list = breaker_new(&token_list);
	a->pace = pace_new(conf_i(conf, CONF_POLL_FIRST_MS), conf_i(conf, CONF_POLL_MAX_MS));
	return fresh_new(&a->p->db, conf_i(conf, CONF_HEARTBEAT_STALE_MS), &a->fresh);
}

static void query_close(app_t *a)
{
	fresh_free(&a->fresh);
	pace_free(&a->pace);
	breaker_free(&a->token_list);
}

static err_t query_ready(app_t *a)
{
	return fresh_ok(a->fresh) ? ERR_OK : ERR_CELL_UNAVAILABLE;
}

static err_t query_handle(http_req_t *r)
{
	if (!r->ops)
		return gate_handle(r);
	http_may_wait();
	return ops_handle(r);
}

/* What is asked of the site any of its hb-query can tell. */
static err_t query_standby(http_req_t *r)
{
	return r->ops ? query_handle(r) : ERR_CELL_UNAVAILABLE;
}

static const app_program query = {
	.name = "hb-query",
	.db_user = "hb_query",
	.program = ROUTES_QUERY,
	.handlers = handlers,
	.threads = CONF_HTTP_THREADS_QUERY,
	.connections = CONF_DB_POOL_QUERY,
	.cache_handles = CACHE_HANDLES,
	.shares_bytes = SHARES_MEMORY_BYTES,
	.open = query_open,
	.close = query_close,
	.ready = query_ready,
	.not_found = views_not_found,
	.handle = query_handle,
	.standby = query_standby,
};

int main(int argc, char **argv)
{
	return app_main(&query, argc, argv);
}
