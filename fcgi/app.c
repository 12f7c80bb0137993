/* app: the life of a FastCGI program, the same for hb-core and hb-query but for a row of
 * differences; and this thread's clients of finance and of other cells. */
#include "fcgi/app.h"
#include "base/logger.h"
#include "base/supervisor.h"
#include "fcgi/gate.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { APP_ARENA_BYTES = 4 << 20, APP_LISTEN_BYTES = 80, APP_STANDBY_THREADS = 2 };

static pthread_key_t finance_key, peer_key;
static pthread_once_t clients_once = PTHREAD_ONCE_INIT;

static void app_finance_end(void *client)
{
	finance_t *f = client;
	finance_free(&f);
}

static void app_peer_end(void *client)
{
	peer_t *p = client;
	peer_free(&p);
}

static void app_client_keys(void)
{
	BUG_ON(pthread_key_create(&finance_key, app_finance_end) != 0 ||
		pthread_key_create(&peer_key, app_peer_end) != 0);
}

err_t app_finance(app_t *a, finance_t **out)
{
	pthread_once(&clients_once, app_client_keys);
	finance_t *f = pthread_getspecific(finance_key);
	if (!f) {
		finance_target target;
		program_finance_target(a->p, &target);
		err_t e = finance_new(&target, &f);
		if (e != ERR_OK)
			return e;
		BUG_ON(pthread_setspecific(finance_key, f) != 0);
	}
	*out = f;
	return ERR_OK;
}

err_t app_peer(app_t *a, peer_t **out)
{
	pthread_once(&clients_once, app_client_keys);
	peer_t *p = pthread_getspecific(peer_key);
	if (!p) {
		peer_target target;
		program_peer_target(a->p, &target);
		err_t e = peer_new(&target, &p);
		if (e != ERR_OK)
			return e;
		BUG_ON(pthread_setspecific(peer_key, p) != 0);
	}
	*out = p;
	return ERR_OK;
}

static const uint16_t *app_ports(routes_program program, const topology_member *m, unsigned *count)
{
	switch (program) {
	case ROUTES_QUERY:
		*count = m ? m->query_count : 0;
		return m ? m->query_port : NULL;
	case ROUTES_RAIN:
		*count = m ? m->rain_count : 0;
		return m ? m->rain_port : NULL;
	case ROUTES_CORE:
		break;
	}
	*count = m ? m->core_count : 0;
	return m ? m->core_port : NULL;
}

/* Where this instance listens: the socket that systemd hands over, or its port of the
 * topology, where instances count from 1. */
static err_t app_listen(const app_program *prog, const program_t *p, char out[APP_LISTEN_BYTES])
{
	const topology_member *m = topology_member_at(p->cell, p->site);
	if (supervisor_gives_socket()) {
		snprintf(out, APP_LISTEN_BYTES, "fd:3");
		return ERR_OK;
	}
	unsigned count;
	const uint16_t *port = app_ports(prog->program, m, &count);
	if (p->instance < 1 || (unsigned)p->instance > count) {
		LOG(ERROR, "app.no_such_instance", {"site", LOG_S(p->site)},
			{"instance", LOG_I(p->instance)}, {"count", LOG_U(count)});
		return ERR_CONFIG_INVALID;
	}
	snprintf(out, APP_LISTEN_BYTES, "%s:%u", m->host, (unsigned)port[p->instance - 1]);
	return ERR_OK;
}

static err_t app_open(const app_program *prog, app_t *a)
{
	const conf_t *conf = a->p->conf;
	const gate_conf gate = {.program = prog->program,
		.handlers = prog->handlers,
		.ready = prog->ready,
		.not_found = prog->not_found,
		.threads = (unsigned)conf_i(conf, prog->threads),
		.connections = (unsigned)conf_i(conf, prog->connections)};
	err_t e = program_db_pool(a->p, (unsigned)conf_i(conf, prog->connections), &a->db);
	if (e == ERR_OK)
		e = program_cache(a->p, prog->cache_handles, &a->cache);
	if (e == ERR_OK)
		e = gate_new(&gate, a, &a->gate);
	if (e != ERR_OK)
		return e;
	a->shares = shares_new(a->p->seal_keys, prog->shares_bytes);
	return prog->open(a);
}

static void app_close(const app_program *prog, app_t *a)
{
	prog->close(a);
	if (a->shares)
		shares_free(&a->shares);
	if (a->gate)
		gate_free(&a->gate);
	if (a->cache)
		cache_free(&a->cache);
	if (a->db)
		db_pool_free(&a->db);
}

static void app_on_stop(void *ctx)
{
	(void)ctx;
	http_stop();
}

/* Of a standby: the same for whoever comes, until the go-live file says otherwise. */
static err_t app_standby_handle(http_req_t *r)
{
	(void)r;
	return ERR_CELL_UNAVAILABLE;
}

static err_t app_serve(const app_program *prog, app_t *a, const char *listen_at)
{
	const bool active = a->p->active;
	const http_handler standby = prog->standby ? prog->standby : app_standby_handle;
	const http_server_conf server = {.listen = listen_at,
		.threads =
			active ? (unsigned)conf_i(a->p->conf, prog->threads) : APP_STANDBY_THREADS,
		.drain_ms = conf_i(a->p->conf, CONF_HTTP_DRAIN_MS),
		.arena_bytes = APP_ARENA_BYTES,
		.says_when = true,
		.handler = active ? prog->handle : standby,
		.app = a};
	const err_t e = active ? app_open(prog, a) : ERR_OK;

	return e == ERR_OK ? http_serve(&server) : e;
}

int app_main(const app_program *prog, int argc, char **argv)
{
	int argi;
	char listen_at[APP_LISTEN_BYTES];
	app_t a = {.p = program_start(
			   argc, argv, prog->name, prog->db_user, app_on_stop, NULL, &argi)};
	if (argi < argc) {
		fprintf(stderr, "%s: unexpected argument: %s\n", prog->name, argv[argi]);
		return 2;
	}
	err_t e = app_listen(prog, a.p, listen_at);
	if (e == ERR_OK)
		e = app_serve(prog, &a, listen_at);
	if (e == ERR_TIMEOUT)
		program_quit(
			0); /* threads still use what would be freed here; commits tell by themselves
			   */
	if (e != ERR_OK)
		LOG(ERROR, "app.failed", {"code", LOG_E(e)});
	app_close(prog, &a);
	return program_exit(&a.p, e == ERR_OK ? 0 : 1);
}
