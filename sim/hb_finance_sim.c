/* hb-finance-sim: the payment institution, simulated. A FastCGI program behind nginx with its own
 * SQLite file, so that it can be killed, slowed down and lied to without touching anything of ours.
 */
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/parse.h"
#include "sim/api.h"
#include "sim/notify.h"
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	THREADS = 64,
	DRAIN_MS = 3000,
	ARENA_BYTES = 4194304,
	SETTINGS_MAX = 64,
	KEYS_LOOK_MS = 200
};

static const char USAGE[] =
	"usage: hb-finance-sim --listen HOST:PORT --db FILE --keys FILE --merchant NAME\n"
	"                      --public-url URL [--seed N] [--opening-fen N] [--threads N]\n"
	"                      [--set KIND.NAME=NUMBER]...\n"
	"  --listen       FastCGI address (or fd:3); nginx stands before it\n"
	"  --db           its books (SQLite, made when missing)\n"
	"  --keys         the key ring shared with the merchant\n"
	"  --public-url   its address as a payer's browser sees it\n"
	"  --seed         of the faults' probabilities (default: from the clock, logged)\n"
	"  --opening-fen  the merchant's money besides payments, for a new file (default 0)\n"
	"  --threads      requests served at once (default 64)\n"
	"  --set          behaviour, e.g. transfer.settle_ms=50, all.outage=5 (GET /sim/faults)\n";

typedef struct {
	const char *listen, *db, *keys, *merchant, *url;
	uint64_t seed, opening_fen, threads;
	const char *setting[SETTINGS_MAX];
	unsigned settings;
} options_t;

static bool read_options(int argc, char **argv, options_t *o)
{
	static const struct option known[] = {{"listen", 1, NULL, 'l'}, {"db", 1, NULL, 'd'},
		{"keys", 1, NULL, 'k'}, {"merchant", 1, NULL, 'm'}, {"public-url", 1, NULL, 'u'},
		{"seed", 1, NULL, 's'}, {"opening-fen", 1, NULL, 'o'}, {"threads", 1, NULL, 't'},
		{"set", 1, NULL, 'x'}, {NULL, 0, NULL, 0}};
	const char **text[] = {['l'] = &o->listen,
		['d'] = &o->db,
		['k'] = &o->keys,
		['m'] = &o->merchant,
		['u'] = &o->url};
	uint64_t *number[] = {['s'] = &o->seed, ['o'] = &o->opening_fen, ['t'] = &o->threads};
	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		if (c == '?')
			return false;
		if (c == 'x') {
			if (o->settings == SETTINGS_MAX)
				return false;
			o->setting[o->settings++] = optarg;
		} else if (c == 's' || c == 'o' || c == 't') {
			if (!parse_u64(optarg, INT64_MAX, number[c]))
				return false;
		} else {
			*text[c] = optarg;
		}
	}
	return optind == argc && o->listen && o->db && o->keys && o->merchant && o->url &&
	       strlen(o->merchant) < 32 && strlen(o->url) < 200 && o->threads >= 1 &&
	       o->threads <= 1024;
}

static void stop_serving(void *ctx)
{
	(void)ctx;
	http_stop();
}

static bool apply_settings(const options_t *o, faults_t *f)
{
	char why[128];
	for (unsigned i = 0; i < o->settings; i++) {
		if (faults_set(f, o->setting[i], why) != ERR_OK) {
			fprintf(stderr, "hb-finance-sim: --set: %s\n", why);
			return false;
		}
	}
	return true;
}

static err_t serve(const options_t *o, faults_t *f, keys_ring_t *keys)
{
	notify_t *n = notify_new(keys, o->merchant);
	api_t api = {.faults = f, .keys = keys, .merchant = o->merchant, .public_url = o->url};
	http_server_conf conf = {.listen = o->listen,
		.threads = (unsigned)o->threads,
		.drain_ms = DRAIN_MS,
		.arena_bytes = ARENA_BYTES,
		.handler = api_handle,
		.app = &api};
	err_t err = book_open(
		o->db, o->merchant, (int64_t)o->opening_fen, f, notify_wake, n, &api.book);
	if (err == ERR_OK)
		err = notify_start(n, api.book);
	if (err == ERR_OK) {
		LOG(INFO, "sim.start", {"listen", LOG_S(o->listen)}, {"seed", LOG_U(o->seed)});
		err = http_serve(&conf);
	}
	if (api.book) {
		vault_counts counts = book_counts(api.book);
		LOG(INFO, "sim.end", {"jobs", LOG_I(counts.jobs)},
			{"commits", LOG_I(counts.commits)});
	}
	/* The notifier writes to the book, and the book wakes the notifier: threads end first. */
	notify_quiet(n);
	book_close(&api.book);
	notify_free(&n);
	return err;
}

/* So that a key can be rotated on our side as well without an end of service. */
static void *follow_keys(void *none)
{
	while (!life_wait_ms(KEYS_LOOK_MS))
		keys_look();
	return none;
}

int main(int argc, char **argv)
{
	options_t o = {.seed = (uint64_t)clk_wall_ms() % 1000000, .threads = THREADS};
	keys_ring_t *keys = NULL;
	pthread_t follower;
	if (!read_options(argc, argv, &o)) {
		fputs(USAGE, stderr);
		return 2;
	}
	logger_init("hb-finance-sim", "", 1, LOGGER_INFO);
	faults_t *f = faults_new(o.seed);
	int code = apply_settings(&o, f) ? 0 : 2;
	if (code == 0) {
		err_t err = keys_init();
		if (err == ERR_OK)
			err = keys_load(o.keys, &keys);
		if (err == ERR_OK)
			err = life_start(stop_serving, NULL);
		if (err == ERR_OK && pthread_create(&follower, NULL, follow_keys, NULL) != 0)
			err = ERR_INTERNAL;
		if (err == ERR_OK) {
			err = serve(&o, f, keys);
			life_stop("served");
			pthread_join(follower, NULL);
		}
		code = err == ERR_OK ? 0 : 1;
	}
	if (keys)
		keys_free(&keys);
	faults_free(&f);
	return code;
}
