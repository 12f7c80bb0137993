/* A program that cannot start says why in one line and ends: everything it needs is looked at here,
 * once, before it serves anyone. */
#include "domain/program.h"
#include "base/cfg.h"
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "domain/live.h"
#include "domain/rings.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROGRAM_INSTANCE_MAX = 99 };

typedef struct {
	const char *config, *cell, *site, *instance, *live;
} program_args;

_Noreturn static void program_refuse(const char *why)
{
	LOG(ERROR, "program.refused", {"why", LOG_S(why)});
	exit(1);
}

_Noreturn static void program_usage(const char *name)
{
	fprintf(stderr,
		"usage: %s --config FILE --cell NAME --site NAME --instance 0..%d --live FILE "
		"[...]\n",
		name, PROGRAM_INSTANCE_MAX);
	exit(2);
}

static int program_parse_args(int argc, char **argv, const char *name, program_args *a, int *argi)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"cell", required_argument, NULL, 'e'},
		{"site", required_argument, NULL, 's'},
		{"instance", required_argument, NULL, 'i'},
		{"live", required_argument, NULL, 'l'},
		{NULL, 0, NULL, 0},
	};
	uint64_t instance;
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			a->config = optarg;
			break;
		case 'e':
			a->cell = optarg;
			break;
		case 's':
			a->site = optarg;
			break;
		case 'i':
			a->instance = optarg;
			break;
		case 'l':
			a->live = optarg;
			break;
		default:
			program_usage(name);
		}
	}
	if (!a->config || !a->cell || !a->site || !a->live ||
		!parse_u64(a->instance, PROGRAM_INSTANCE_MAX, &instance))
		program_usage(name);
	*argi = optind;
	return (int)instance;
}

static logger_level program_log_level(const conf_t *c)
{
	static const char letters[] = "diwe"; /* debug, info, warn, error: checked by conf */

	return (logger_level)(strchr(letters, *conf_s(c, CONF_LOG_LEVEL)) - letters);
}

static void program_need(const conf_t *c)
{
	static const conf_id needed[] = {CONF_TOPOLOGY, CONF_SECRETS, CONF_METRICS_DIR};

	for (unsigned i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (!*conf_s(c, needed[i]))
			program_refuse(
				"paths.topology, paths.secrets and paths.metrics must be set");
	if (!*conf_s(c, CONF_FINANCE_URL) && !conf_b(c, CONF_FINANCE_MOCK))
		program_refuse("finance.url must be set");
}

static void program_read_live(program_t *p, const char *path, live_file *as)
{
	char why[CFG_WHY_BYTES];

	if (live_read(path, p->cell, why, as))
		program_refuse(why);
	p->epoch = as->epoch;
	p->active = as->primary && !strcmp(as->primary->site, p->site);
}

static void program_fill_db(program_t *p, const char *user)
{
	const topology_member *m = topology_member_at(p->cell, p->site);
	char secret[64];

	p->db = (db_target){
		.port = m->mysql_port,
		.database = "hongbao",
		.connect_ms = conf_i(p->conf, CONF_DB_CONNECT_MS),
		.io_ms = conf_i(p->conf, CONF_DB_IO_MS),
		.lock_wait_s = conf_i(p->conf, CONF_DB_LOCK_WAIT_S),
		.epoch = p->epoch,
	};
	snprintf(p->db.host, sizeof(p->db.host), "%s", m->host);
	snprintf(p->db.user, sizeof(p->db.user), "%s", user);
	snprintf(secret, sizeof(secret), "db.%s", user);
	if (keys_secret(conf_secret_path(p->conf, secret), p->db.password, sizeof(p->db.password)))
		program_refuse("the database's password cannot be read");
}

static void program_load_keys(program_t *p)
{
	keys_ring_t **const rings[] = {
		[RINGS_SESSION] = &p->session_keys,
		[RINGS_GRANT] = &p->grant_keys,
		[RINGS_SEAL] = &p->seal_keys,
		[RINGS_FINANCE] = &p->finance_keys,
		[RINGS_INTERNAL] = &p->internal_keys,
	};
	char file[32];

	for (unsigned i = 0; i < sizeof(rings) / sizeof(*rings); i++) {
		snprintf(file, sizeof(file), "%s.keys", rings_table[i].name);
		if (keys_load(conf_secret_path(p->conf, file), rings[i]))
			program_refuse("a key ring cannot be read");
	}
}

static finance_limits_t *program_finance_limits(const conf_t *c)
{
	static const conf_id ids[FINANCE_OPS] = {
		[FINANCE_OP_QUERY] = CONF_FINANCE_QUERIES,
		[FINANCE_OP_PAYMENT] = CONF_FINANCE_PAYMENTS,
		[FINANCE_OP_TRANSFER] = CONF_FINANCE_TRANSFERS,
		[FINANCE_OP_REFUND] = CONF_FINANCE_REFUNDS,
		[FINANCE_OP_WITHDRAWAL] = CONF_FINANCE_WITHDRAWALS,
	};
	finance_limits_conf l = {.per_s = (unsigned)conf_i(c, CONF_FINANCE_PER_S),
		.wait_ms = conf_i(c, CONF_FINANCE_PLACE_MS),
		.rest_after = (unsigned)conf_i(c, CONF_FINANCE_REST_AFTER),
		.rest_ms = conf_i(c, CONF_FINANCE_REST_MS)};

	for (unsigned op = 0; op < FINANCE_OPS; op++)
		l.in_flight[op] = (unsigned)conf_i(c, ids[op]);
	return finance_limits_new(&l);
}

static err_t program_open_metrics(const program_t *p, const char *name)
{
	metrics_owner owner = {.instance = p->instance};

	snprintf(owner.program, sizeof(owner.program), "%s", name);
	snprintf(owner.cell, sizeof(owner.cell), "%s", p->cell->name);
	snprintf(owner.site, sizeof(owner.site), "%s", p->site);
	err_t e = metrics_open(conf_s(p->conf, CONF_METRICS_DIR), &owner);
	metrics_set(METRICS_ACTIVE, 0, p->active);
	metrics_set(METRICS_EPOCH, 0, (int64_t)p->epoch);
	metrics_set(METRICS_LOOKED, 0, clk_wall_ms());
	return e;
}

program_t *program_start(int argc, char **argv, const char *name, const char *db_user,
	void (*on_stop)(void *), void *ctx, int *argi)
{
	program_args a = {0};
	program_t *p = calloc(1, sizeof(*p));
	char why[CFG_WHY_BYTES];
	live_file live_as;

	BUG_ON(!p);
	p->instance = program_parse_args(argc, argv, name, &a, argi);
	logger_init(name, a.cell, p->instance, LOGGER_INFO);
	snprintf(p->agent, sizeof(p->agent), "%s %s %d", name, a.cell, p->instance);
	if (keys_init())
		program_refuse("libsodium does not start");
	if (conf_load(a.config, why, &p->conf))
		program_refuse(why);
	logger_init(name, a.cell, p->instance, program_log_level(p->conf));
	program_need(p->conf);
	if (topology_load(conf_s(p->conf, CONF_TOPOLOGY), why, &p->topo))
		program_refuse(why);
	p->cell = topology_cell_named(p->topo, a.cell);
	if (!p->cell || !topology_member_at(p->cell, a.site))
		program_refuse("the topology has no such cell, or the cell no member at this site");
	snprintf(p->site, sizeof(p->site), "%s", a.site);
	program_read_live(p, a.live, &live_as);
	logger_set_epoch(p->epoch);
	program_fill_db(p, db_user);
	program_load_keys(p);
	p->finance_limits = program_finance_limits(p->conf);
	if (program_open_metrics(p, name))
		program_refuse("the metrics' file cannot be opened");
	rings_look();
	if (life_start(on_stop, ctx))
		program_refuse("the signal thread does not start");
	if (live_watch(a.live, &live_as, p->cell, p->site))
		program_refuse("the go-live file cannot be watched");
	LOG(INFO, "program.start", {"site", LOG_S(p->site)},
		{"as", LOG_S(p->active ? "active" : "standby")}, {"pid", LOG_I(getpid())});
	return p;
}

void program_end(program_t **p)
{
	if (!*p)
		return;
	LOG0(INFO, "program.end");
	keys_free(&(*p)->session_keys);
	keys_free(&(*p)->grant_keys);
	keys_free(&(*p)->seal_keys);
	keys_free(&(*p)->finance_keys);
	keys_free(&(*p)->internal_keys);
	finance_limits_free(&(*p)->finance_limits);
	topology_free(&(*p)->topo);
	conf_free(&(*p)->conf);
	free(*p);
	*p = NULL;
}

void program_quit(int code)
{
	if (live_changed())
		live_again();
	_exit(code);
}

int program_exit(program_t **p, int code)
{
	program_end(p);
	if (live_changed())
		live_again();
	return code;
}

err_t program_db_pool(const program_t *p, unsigned connections, db_pool_t **out)
{
	return db_pool_new(&p->db, connections, conf_i(p->conf, CONF_DB_POOL_WAIT_MS), out);
}

void program_breaker(const program_t *p, breaker_of of, breaker_conf *out)
{
#define OF(name)                                                                                   \
	[BREAKER_##name] = {                                                                       \
		CONF_BREAKER_##name##_WINDOW_MS,                                                   \
		CONF_BREAKER_##name##_MIN_CALLS,                                                   \
		CONF_BREAKER_##name##_SLOW_MS,                                                     \
		CONF_BREAKER_##name##_OPEN_MS,                                                     \
		CONF_BREAKER_##name##_PROBES,                                                      \
		CONF_BREAKER_##name##_RECOVER_MS                                                   \
	}
	static const struct {
		conf_id window_ms, min_calls, slow_ms, open_ms, probes, recover_ms;
	} ids[] = {OF(MEMCACHED), OF(TOKEN_LIST), OF(WEBHOOK)};
#undef OF

	BUG_ON(of >= sizeof(ids) / sizeof(ids[0]));
	*out = (breaker_conf){
		.of = of,
		.window_ms = conf_i(p->conf, ids[of].window_ms),
		.min_calls = (unsigned)conf_i(p->conf, ids[of].min_calls),
		.error_percent = (unsigned)conf_i(p->conf, CONF_BREAKER_ERROR_PERCENT),
		.slow_percent = (unsigned)conf_i(p->conf, CONF_BREAKER_SLOW_PERCENT),
		.slow_ms = conf_i(p->conf, ids[of].slow_ms),
		.open_ms = conf_i(p->conf, ids[of].open_ms),
		.probes = (unsigned)conf_i(p->conf, ids[of].probes),
		.recover_ms = conf_i(p->conf, ids[of].recover_ms),
	};
}

err_t program_cache(const program_t *p, unsigned handles, cache_t **out)
{
	const topology_member *m = topology_member_at(p->cell, p->site);
	breaker_conf breaker;

	if (!m->memcached_port) {
		LOG(ERROR, "program.no_memcached", {"site", LOG_S(p->site)});
		return ERR_CONFIG_INVALID;
	}
	program_breaker(p, BREAKER_MEMCACHED, &breaker);
	return cache_new(m->host, m->memcached_port, conf_i(p->conf, CONF_CACHE_TIMEOUT_MS),
		&breaker, handles, out);
}

void program_mq_nodes(const topology_t *topo, mq_target *out)
{
	_Static_assert((int)TOPOLOGY_MQ_MAX <= (int)MQ_NODES_MAX, "they fit");
	*out = (mq_target){.nodes = topo->mq_count, .user = "hongbao", .vhost = "hongbao"};
	for (unsigned i = 0; i < topo->mq_count; i++) {
		out->node[i].port = topo->mq[i].port;
		snprintf(out->node[i].host, sizeof(out->node[i].host), "%s", topo->mq[i].host);
	}
}

void program_mq_target(const program_t *p, mq_target *out)
{
	program_mq_nodes(p->topo, out);
	if (keys_secret(
		    conf_secret_path(p->conf, "mq.hongbao"), out->password, sizeof(out->password)))
		program_refuse("RabbitMQ's password cannot be read");
}

void program_peer_target(const program_t *p, peer_target *out)
{
	*out = (peer_target){
		.connect_ms = conf_i(p->conf, CONF_PEER_CONNECT_MS),
		.total_ms = conf_i(p->conf, CONF_PEER_TOTAL_MS),
		.keys = p->internal_keys,
		.cell_of_slot = p->topo->slot_cell,
		.most = (unsigned)conf_i(p->conf, CONF_PEER_IN_FLIGHT),
	};
	_Static_assert((int)TOPOLOGY_CELLS_MAX <= (int)PEER_CELLS_MAX, "they fit");
	for (unsigned i = 0, n = 0; i < p->topo->nginx_count; i++) {
		const topology_nginx *g = &p->topo->nginx[i];

		n += (unsigned)snprintf(out->urls + n, sizeof(out->urls) - n, "%shttp://%s:%u",
			i ? "," : "", g->host, (unsigned)g->internal_port);
		BUG_ON(n >= sizeof(out->urls));
	}
}

void program_finance_target(const program_t *p, finance_target *out)
{
	const char *url = conf_s(p->conf, CONF_FINANCE_URL);
	const char *merchant = conf_s(p->conf, CONF_FINANCE_MERCHANT);

	*out = (finance_target){
		.connect_ms = conf_i(p->conf, CONF_FINANCE_CONNECT_MS),
		.total_ms = conf_i(p->conf, CONF_FINANCE_TOTAL_MS),
		.keys = p->finance_keys,
		.limits = p->finance_limits,
		.mock = conf_b(p->conf, CONF_FINANCE_MOCK),
	};
	if (strlen(url) >= sizeof(out->urls) || strlen(merchant) >= sizeof(out->merchant))
		program_refuse("finance.url or finance.merchant is too long");
	memcpy(out->urls, url, strlen(url) + 1);
	memcpy(out->merchant, merchant, strlen(merchant) + 1);
	_Static_assert(sizeof(out->agent) == sizeof(p->agent), "it fits");
	memcpy(out->agent, p->agent, sizeof(out->agent));
}

bool program_owns_slot(const program_t *p, unsigned slot)
{
	return slot < TOPOLOGY_SLOTS && topology_cell_of_slot(p->topo, slot) == p->cell;
}
