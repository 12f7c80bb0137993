/* hb-load: one measurement with load.h, printed as one JSON object. Users are minted here, with the
 * key that the login shares with us, so each is a distinct and verified one. */
#include "base/clk.h"
#include "base/keys.h"
#include "base/parse.h"
#include "domain/session.h"
#include "tests/load/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { TOKEN_TTL_S = 7200, CONNECTIONS_MAX = 4096, THREADS_MAX = 16, DRAIN_MS = 20000 };

static const struct kind {
	const char *name, *before, *after;
	bool packet, token;
} kinds[] = {
	{"static", "GET /bench.txt HTTP/1.1\r\nHost: hb\r\n", "", false, false},
	{"echo", "POST /bench/echo HTTP/1.1\r\nHost: hb\r\nContent-Length: 0\r\n", "", false, true},
	{"claim", "POST /v1/packets/", "/claim HTTP/1.1\r\nHost: hb\r\nContent-Length: 0\r\n", true,
		true},
	{"draw", "POST /v1/rain/dry/draw HTTP/1.1\r\nHost: hb\r\nContent-Length: 0\r\n", "", false,
		true},
	{"win", "POST /v1/rain/wet/draw HTTP/1.1\r\nHost: hb\r\nContent-Length: 0\r\n", "", false,
		true},
	{"cover", "GET /v1/packets/", " HTTP/1.1\r\nHost: hb\r\n", true, true},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

typedef struct {
	const char *kind, *port, *connections, *threads, *ms, *warm_ms, *rate, *keys, *first_user,
		*users, *packets, *tickets, *reuse;
} options_t;

_Noreturn static void refuse(const char *what)
{
	fprintf(stderr, "hb-load: %s\n", what);
	exit(2);
}

static uint64_t number(const char *text, const char *name, uint64_t most, uint64_t otherwise)
{
	uint64_t v;

	if (!text)
		return otherwise;
	if (!parse_u64(text, most, &v))
		refuse(name);
	return v;
}

static void options_read(int argc, char **argv, options_t *o)
{
	const struct {
		const char *name, **into;
	} row[] = {{"kind", &o->kind}, {"port", &o->port}, {"connections", &o->connections},
		{"threads", &o->threads}, {"ms", &o->ms}, {"warm-ms", &o->warm_ms},
		{"rate", &o->rate}, {"keys", &o->keys}, {"first-user", &o->first_user},
		{"users", &o->users}, {"packets", &o->packets}, {"tickets", &o->tickets},
		{"reuse", &o->reuse}};
	enum { ROWS = sizeof(row) / sizeof(*row) };
	struct option option[ROWS + 1] = {0};
	int at;

	for (unsigned i = 0; i < ROWS; i++)
		option[i] = (struct option){row[i].name, required_argument, NULL, (int)i};
	while ((at = getopt_long(argc, argv, "", option, NULL)) != -1) {
		if (at == '?')
			exit(2);
		*row[at].into = optarg;
	}
	if (optind != argc || !o->kind || !o->port)
		refuse("usage: hb-load --kind static|echo|claim|draw|win|cover --port N "
		       "[--connections N] "
		       "[--threads N] [--ms N] [--warm-ms N] [--rate N] [--keys FILE --users N "
		       "--first-user N] [--packets FILE] [--tickets N] [--reuse 1]");
}

static const struct kind *kind_named(const char *name)
{
	for (unsigned i = 0; i < KINDS; i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	refuse("--kind: static, echo, claim, draw, win or cover");
}

/* One number a line. */
static uint64_t *packets_read(const char *path, size_t *count)
{
	FILE *f = path ? fopen(path, "re") : NULL;
	uint64_t *id = NULL;
	size_t room = 0, n = 0;
	char line[64];

	if (!f)
		refuse("--packets: no such file");
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (n == room) {
			room = room ? room * 2 : 1024;
			id = realloc(id, room * sizeof(*id));
			if (!id)
				refuse("no memory");
		}
		if (!parse_u64(line, INT64_MAX, &id[n++]))
			refuse("--packets: not a list of numbers");
	}
	fclose(f);
	if (n == 0)
		refuse("--packets: empty");
	*count = n;
	return id;
}

/* Uids of ten digits, so that all tokens are as long. */
static char *tokens_mint(const options_t *o, size_t *users, size_t *bytes)
{
	const int64_t expires_s = clk_wall_ms() / 1000 + TOKEN_TTL_S;
	const uint64_t first = number(o->first_user, "--first-user", 8999999999, 0) + 1000000000;
	char one[SESSION_TOKEN_BYTES];
	keys_ring_t *ring;

	*users = (size_t)number(o->users, "--users", 10000000, 1000);
	if (!o->keys || keys_init() != ERR_OK || keys_load(o->keys, &ring) != ERR_OK)
		refuse("--keys: the ring of session keys cannot be read");
	session_mint(ring, first, expires_s, one);
	*bytes = strlen(one);
	char *all = malloc(*users * *bytes + 1);
	if (!all)
		refuse("no memory");
	for (size_t i = 0; i < *users; i++) {
		session_mint(ring, first + i, expires_s, one);
		memcpy(all + i * *bytes, one, *bytes);
	}
	keys_free(&ring);
	return all;
}

static json_t *counts(const uint64_t *count, unsigned n, const char *const *names)
{
	json_t *o = json_object();
	char text[8];

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%u", i);
		if (count[i] > 0)
			json_object_set_new(
				o, names ? names[i] : text, json_integer((json_int_t)count[i]));
	}
	return o;
}

/* Processor time of this program until now. */
static int64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static void print_result(const load_result *r, int64_t spent_us)
{
	json_t *o = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:f,s:f,s:f,s:I,s:I,s:I,s:o,s:o}",
		"cpu_us", (json_int_t)spent_us, "sent", (json_int_t)r->sent, "answered",
		(json_int_t)r->answered, "in_window", (json_int_t)r->in_window, "broken",
		(json_int_t)r->broken, "missing", (json_int_t)r->missing, "ran_out", r->ran_out,
		"seconds", r->window_s, "rate", (double)r->in_window / r->window_s, "claimed_rate",
		(double)r->window_outcome[REPLY_CLAIMED] / r->window_s, "p50_us",
		(json_int_t)hist_at(&r->latency, 500), "p99_us",
		(json_int_t)hist_at(&r->latency, 990), "p999_us",
		(json_int_t)hist_at(&r->latency, 999), "status",
		counts(r->status, LOAD_STATUSES, NULL), "outcomes",
		counts(r->outcome, REPLY_OUTCOMES, reply_names));

	json_dumpf(o, stdout, JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(o);
}

int main(int argc, char **argv)
{
	options_t o = {0};
	static load_result result;

	options_read(argc, argv, &o);
	const struct kind *kind = kind_named(o.kind);
	load_conf c = {.to = {.sin_family = AF_INET,
			       .sin_port = htons((uint16_t)number(o.port, "--port", 65535, 0)),
			       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
		.before = kind->before,
		.after = kind->after,
		.reuse = o.reuse != NULL,
		.tickets = number(o.tickets, "--tickets", UINT32_MAX, 0),
		.connections =
			(unsigned)number(o.connections, "--connections", CONNECTIONS_MAX, 64),
		.threads = (unsigned)number(o.threads, "--threads", THREADS_MAX, 2),
		.rate = (double)number(o.rate, "--rate", 10000000, 0),
		.warm_ms = (int64_t)number(o.warm_ms, "--warm-ms", 60000, 500),
		.run_ms = (int64_t)number(o.ms, "--ms", 600000, 3000),
		.drain_ms = DRAIN_MS};
	if (c.threads == 0 || c.connections < c.threads || c.run_ms == 0)
		refuse("--threads, --connections and --ms must be at least 1");
	if (kind->packet)
		c.packet = packets_read(o.packets, &c.packets);
	if (kind->token)
		c.token = tokens_mint(&o, &c.users, &c.token_bytes);
	const int64_t made_us = cpu_us(); /* the users' tokens are not part of what is measured */
	const int error = load_run(&c, &result);
	if (error != 0) {
		fprintf(stderr, "hb-load: connections: %s\n", strerror(error));
		return 1;
	}
	print_result(&result, cpu_us() - made_us);
	free((void *)(uintptr_t)c.packet);
	free((void *)(uintptr_t)c.token);
	return 0;
}
