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
	const char *body_before, *body_after; /* NULL: none; such a request has a key */
} kinds[] = {
	{.name = "static", .before = "GET /bench.txt HTTP/1.1\r\nHost: hb\r\n", .after = ""},
	{.name = "echo",
		.before = "POST /bench/echo HTTP/1.1\r\nHost: hb\r\nContent-Length: 0\r\n",
		.after = "",
		.token = true},
	{.name = "claim",
		.before = "POST /v1/packets/",
		.after = "/claim HTTP/1.1\r\nHost: hb\r\nContent-Length: 0\r\n",
		.packet = true,
		.token = true},
	{.name = "draw",
		.before = "POST /v1/rain/dry/draw HTTP/1.1\r\nHost: hb\r\nContent-Length: 0\r\n",
		.after = "",
		.token = true},
	{.name = "win",
		.before = "POST /v1/rain/wet/draw HTTP/1.1\r\nHost: hb\r\nContent-Length: 0\r\n",
		.after = "",
		.token = true},
	{.name = "cover",
		.before = "GET /v1/packets/",
		.after = " HTTP/1.1\r\nHost: hb\r\n",
		.packet = true,
		.token = true},
	{.name = "details",
		.before = "GET /v1/packets/",
		.after = "/claims HTTP/1.1\r\nHost: hb\r\n",
		.packet = true,
		.token = true},
	{.name = "payment",
		.before = "GET /v1/payments/",
		.after = " HTTP/1.1\r\nHost: hb\r\n",
		.packet = true,
		.token = true},
	{.name = "c2c",
		.before = "POST /v1/packets HTTP/1.1\r\nHost: hb\r\n",
		.after = "",
		.token = true,
		.body_before = "{\"kind\":\"c2c\",\"split\":\"lucky\",\"count\":5,\"total\":"
			       "{\"amount\":500,\"currency\":\"CNY\"}}",
		.body_after = ""},
	{.name = "b2c",
		.before = "POST /v1/packets HTTP/1.1\r\nHost: hb\r\n",
		.after = "",
		.packet = true,
		.token = true,
		.body_before =
			"{\"kind\":\"b2c\",\"split\":\"lucky\",\"count\":1,\"subsidy_id\":\"",
		.body_after = "\"}"},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

typedef struct {
	const char *kind, *host, *port, *connections, *threads, *ms, *warm_ms, *rate, *keys,
		*first_user, *users, *packets, *tickets, *reuse, *key;
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
	} row[] = {{"kind", &o->kind}, {"host", &o->host}, {"port", &o->port},
		{"connections", &o->connections}, {"threads", &o->threads}, {"ms", &o->ms},
		{"warm-ms", &o->warm_ms}, {"rate", &o->rate}, {"keys", &o->keys},
		{"first-user", &o->first_user}, {"users", &o->users}, {"packets", &o->packets},
		{"tickets", &o->tickets}, {"reuse", &o->reuse}, {"key", &o->key}};
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
		refuse("usage: hb-load --kind "
		       "static|echo|claim|draw|win|cover|details|payment|c2c|b2c "
		       "[--host ADDRESS] "
		       "--port N "
		       "[--connections N] "
		       "[--threads N] [--ms N] [--warm-ms N] [--rate N] [--keys FILE --users N "
		       "--first-user N] [--packets FILE] [--tickets N] [--reuse 1] [--key TEXT]");
}

static const struct kind *kind_named(const char *name)
{
	for (unsigned i = 0; i < KINDS; i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	refuse("--kind: static, echo, claim, draw, win, cover, details, payment, c2c or b2c");
}

typedef struct {
	uint64_t *id, *uid; /* uid[i]: 0: not said */
	size_t count;
} list_t;

static uint64_t *longer(uint64_t *numbers, size_t room)
{
	numbers = realloc(numbers, room * sizeof(*numbers));
	if (!numbers)
		refuse("no memory");
	return numbers;
}

/* A number a line; all or none followed by the user who may ask about it. */
static list_t packets_read(const char *path)
{
	FILE *f = path ? fopen(path, "re") : NULL;
	list_t l = {0};
	size_t room = 0;
	char line[64];

	if (!f)
		refuse("--packets: no such file");
	while (fgets(line, sizeof(line), f)) {
		char *uid = line + strcspn(line, " \n");
		const bool owned = *uid == ' ';
		*uid++ = '\0';
		uid[owned ? strcspn(uid, "\n") : 0] = '\0';
		if (l.count == room) {
			room = room ? room * 2 : 1024;
			l.id = longer(l.id, room);
			l.uid = longer(l.uid, room);
		}
		l.uid[l.count] = 0;
		if (!parse_u64(line, INT64_MAX, &l.id[l.count]) ||
			(owned && !parse_u64(uid, SESSION_UID_MAX, &l.uid[l.count])))
			refuse("--packets: not a list of numbers");
		l.count++;
	}
	fclose(f);
	if (l.count == 0)
		refuse("--packets: empty");
	return l;
}

/* Uids of ten digits, so that all tokens are as long: a range, or the owners of the list. */
static char *tokens_mint(const options_t *o, const list_t *l, size_t *users, size_t *bytes)
{
	const int64_t expires_s = clk_wall_ms() / 1000 + TOKEN_TTL_S;
	const uint64_t first = number(o->first_user, "--first-user", 8999999999, 0) + 1000000000;
	char one[SESSION_TOKEN_BYTES];
	keys_ring_t *ring;

	const uint64_t *owner = l->count && l->uid[0] ? l->uid : NULL;
	*users = owner ? l->count : (size_t)number(o->users, "--users", 10000000, 1000);
	if (!o->keys || keys_init() != ERR_OK || keys_load(o->keys, &ring) != ERR_OK)
		refuse("--keys: the ring of session keys cannot be read");
	session_mint(ring, owner ? owner[0] : first, expires_s, one);
	*bytes = strlen(one);
	char *all = malloc(*users * *bytes + 1);
	if (!all)
		refuse("no memory");
	for (size_t i = 0; i < *users; i++) {
		session_mint(ring, owner ? owner[i] : first + i, expires_s, one);
		if (strlen(one) != *bytes)
			refuse("--packets: an owner has not ten digits");
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
	json_t *o = json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:f,s:f,s:f,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "cpu_us",
		(json_int_t)spent_us, "sent", (json_int_t)r->sent, "answered",
		(json_int_t)r->answered, "in_window", (json_int_t)r->in_window, "broken",
		(json_int_t)r->broken, "missing", (json_int_t)r->missing, "ran_out", r->ran_out,
		"seconds", r->window_s, "rate", (double)r->in_window / r->window_s, "claimed_rate",
		(double)r->window_outcome[REPLY_CLAIMED] / r->window_s, "p50_us",
		(json_int_t)hist_at(&r->latency, 500), "p99_us",
		(json_int_t)hist_at(&r->latency, 990), "p999_us",
		(json_int_t)hist_at(&r->latency, 999), "served_p99_us",
		(json_int_t)hist_at(&r->served, 990), "refused_p99_us",
		(json_int_t)hist_at(&r->refused, 990), "status",
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
	list_t list = {0};

	options_read(argc, argv, &o);
	const struct kind *kind = kind_named(o.kind);
	load_conf c = {.to = {.sin_family = AF_INET,
			       .sin_port = htons((uint16_t)number(o.port, "--port", 65535, 0)),
			       .sin_addr.s_addr = inet_addr(o.host ? o.host : "127.0.0.1")},
		.before = kind->before,
		.after = kind->after,
		.body_before = kind->body_before,
		.body_after = kind->body_after,
		.key = kind->body_before ? o.key : NULL,
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
	if (kind->body_before && !o.key)
		refuse("--key: what makes an order needs one");
	if (kind->packet)
		list = packets_read(o.packets);
	c.packet = list.id;
	c.packets = list.count;
	if (kind->token)
		c.token = tokens_mint(&o, &list, &c.users, &c.token_bytes);
	const int64_t made_us = cpu_us(); /* the users' tokens are not part of what is measured */
	const int error = load_run(&c, &result);
	if (error != 0) {
		fprintf(stderr, "hb-load: connections: %s\n", strerror(error));
		return 1;
	}
	print_result(&result, cpu_us() - made_us);
	free(list.id);
	free(list.uid);
	free((void *)(uintptr_t)c.token);
	return 0;
}
