/* hb-worker: one program for everything that is not asked for by a client. What it does is a row of
 * domain/roles.def; what all roles share (the pool, the numbers, threads, the orderly end) is here.
 */
#include "base/life.h"
#include "base/logger.h"
#include "base/parse.h"
#include "base/supervisor.h"
#include "domain/live.h"
#include "workers/role.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 64 };

#define LOOPS(function) .loop = function, .queue = QUEUE_COUNT
#define CONSUMES(of, function) .loop = consume_run, .queue = QUEUE_##of, .handler = function
static const role_row roles[] = {
#define ROLE(id, waits_for, user, says, ...)                                                       \
	{.name = #id, .waits = waits_for, .db_user = #user, .help = says, __VA_ARGS__},
#include "domain/roles.def"
#undef ROLE
};
#undef LOOPS
#undef CONSUMES

static _Noreturn void usage(void)
{
	fputs("usage: hb-worker ROLE [--threads N] --config FILE --cell CELL --site SITE "
	      "--instance N --live FILE\nroles:\n",
		stderr);
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		fprintf(stderr, "  %-10s %s\n", roles[i].name, roles[i].help);
	exit(2);
}

typedef struct {
	const role_row *role;
	unsigned threads; /* 0: as configured */
} options;

/* Takes the role and --threads out of the arguments; the rest is program_start's. */
static options take_options(int *argc, char **argv)
{
	options o = {0};
	int kept = 1;
	for (int i = 1; i < *argc; i++) {
		uint64_t n;
		if (i == 1) {
			for (size_t r = 0; r < sizeof roles / sizeof *roles; r++)
				if (strcmp(argv[1], roles[r].name) == 0)
					o.role = &roles[r];
		} else if (strcmp(argv[i], "--threads") == 0) {
			if (++i == *argc || !parse_u64(argv[i], THREADS_MAX, &n) || n == 0)
				usage();
			o.threads = (unsigned)n;
		} else {
			argv[kept++] = argv[i];
		}
	}
	*argc = kept;
	argv[kept] = NULL;
	if (!o.role)
		usage();
	return o;
}

static void *thread_main(void *ctx)
{
	worker_t *w = ctx;
	w->role->loop(w);
	if (!life_stopping())
		life_stop("a worker's loop has ended");
	return NULL;
}

static err_t worker_new(const worker_t *shared, worker_t *out)
{
	finance_target t;
	peer_target peer;
	*out = *shared;
	out->desk = (orders_desk){.db = shared->db,
		.conf = shared->p->conf,
		.numbers = shared->numbers,
		.topo = shared->p->topo};
	program_finance_target(shared->p, &t);
	err_t err = finance_new(&t, &out->desk.finance);
	if (err != ERR_OK)
		return err;
	program_peer_target(shared->p, &peer);
	return peer_new(&peer, &out->peer);
}

static err_t run_threads(const worker_t *shared, unsigned threads)
{
	worker_t worker[THREADS_MAX] = {0};
	pthread_t id[THREADS_MAX];
	unsigned started = 0;
	err_t err = ERR_OK;
	for (; started < threads; started++) {
		err = worker_new(shared, &worker[started]);
		if (err != ERR_OK)
			break;
		BUG_ON(pthread_create(&id[started], NULL, thread_main, &worker[started]) != 0);
	}
	if (err != ERR_OK)
		life_stop("a worker cannot start");
	for (unsigned i = 0; i < started; i++)
		pthread_join(id[i], NULL);
	for (unsigned i = 0; i < started; i++) {
		finance_free(&worker[i].desk.finance);
		peer_free(&worker[i].peer);
	}
	return err;
}

int main(int argc, char **argv)
{
	char name[32];
	int rest;
	options o = take_options(&argc, argv);
	snprintf(name, sizeof name, "hb-worker-%s", o.role->name);
	program_t *p = program_start(argc, argv, name, o.role->db_user, NULL, NULL, &rest);
	if (rest < argc)
		usage();
	live_spread(conf_i(p->conf, CONF_WORKER_SPREAD_MS));
	if (!p->active) {
		supervisor_ready();
		if (o.role->standby)
			o.role->standby(p);
		else
			life_wait_ms(-1);
		return program_exit(&p, 0);
	}
	worker_t shared = {.role = o.role, .p = p};
	unsigned configured = o.role->waits ? (unsigned)conf_i(p->conf, CONF_WORKER_THREADS) : 1;
	unsigned threads = o.threads ? o.threads : configured;
	/* One more, for numbers_next, which needs a connection of its own. */
	err_t err = program_db_pool(p, threads + 1, &shared.db);
	if (err == ERR_OK)
		err = numbers_new(shared.db, p->cell->number, conf_i(p->conf, CONF_NUMBER_BLOCK),
			&shared.numbers);
	if (err == ERR_OK && o.role->idle)
		err = program_cache(p, threads, &shared.cache);
	if (err == ERR_OK) {
		LOG(INFO, "worker.started", {"role", LOG_S(o.role->name)},
			{"threads", LOG_U(threads)});
		supervisor_ready();
		err = run_threads(&shared, threads);
	}
	if (err != ERR_OK)
		LOG(ERROR, "worker.failed", {"error", LOG_E(err)});
	else
		LOG0(INFO, "worker.stopped");
	if (shared.cache)
		cache_free(&shared.cache);
	numbers_free(&shared.numbers);
	db_pool_free(&shared.db);
	return program_exit(&p, err == ERR_OK ? 0 : 1);
}
