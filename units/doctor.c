/* hbctl doctor: is this installation right, and what is to be done if not. Each check is a row; they run
 * one after the other, so that what they say is in the same order every time. Nothing is changed, but
 * for a value of our own in memcached; a queue that exists is declared again, which only compares. */
#include "units/doctor.h"

#include "base/arena.h"
#include "base/jw.h"
#include "units/role.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FINDINGS_MAX = 40, /* of one check; more are counted */
	OUTPUT_BYTES = 4 << 20,
	ANSWER_MS = 2000,
	COMMAND_BYTES = 1 << 20,
	INDENT = 12
};

struct doctor {
	bool stopped;
	unsigned count, more; /* findings of the check that runs */
	struct {
		doctor_result result;
		char text[DOCTOR_LINE_BYTES];
	} found[FINDINGS_MAX];
};

enum when { ALWAYS, UP };

static const struct {
	const char *name;
	void (*run)(doctor_t *d);
	enum when when;
	const char *looks_at, *remedy;
} checks[] = {
#define CHECK(name, when, looks_at, remedy) {#name, doctor_##name, when, looks_at, remedy},
#include "units/doctor.def"
#undef CHECK
};
enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

static const char *const results[] = {[DOCTOR_OK] = "ok",
	[DOCTOR_SKIPPED] = "skipped",
	[DOCTOR_NOTE] = "note",
	[DOCTOR_BAD] = "BAD"};

bool doctor_stopped(const doctor_t *d)
{
	return d->stopped;
}

static void find(doctor_t *d, doctor_result result, const char *fmt, va_list ap)
{
	if (d->count == FINDINGS_MAX) {
		d->more++;
		return;
	}
	d->found[d->count].result = result;
	vsnprintf(d->found[d->count++].text, DOCTOR_LINE_BYTES, fmt, ap);
}

void doctor_bad(doctor_t *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find(d, DOCTOR_BAD, fmt, ap);
	va_end(ap);
}

void doctor_note(doctor_t *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find(d, DOCTOR_NOTE, fmt, ap);
	va_end(ap);
}

void doctor_skip(doctor_t *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find(d, DOCTOR_SKIPPED, fmt, ap);
	va_end(ap);
}

bool doctor_here(const char *host)
{
	struct ifaddrs *all = NULL;
	struct in_addr wanted;
	bool here = false;

	if (inet_pton(AF_INET, host, &wanted) != 1)
		return false;
	/* All of 127/8 is here, whichever of it the interface bears. */
	here = ntohl(wanted.s_addr) >> 24 == 127;
	if (getifaddrs(&all) != 0)
		return here;
	for (const struct ifaddrs *a = all; a && !here; a = a->ifa_next)
		here = a->ifa_addr && a->ifa_addr->sa_family == AF_INET &&
		       ((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr.s_addr ==
			       wanted.s_addr;
	freeifaddrs(all);
	return here;
}

bool doctor_site_here(const char *site)
{
	const topology_t *t = verb_topology();
	const topology_nginx *door = topology_nginx_at(t, site);
	bool here = door && doctor_here(door->host);

	for (unsigned i = 0; i < t->cell_count && !here; i++) {
		const topology_member *m = topology_member_at(&t->cell[i], site);

		here = m && doctor_here(m->host);
	}
	return here;
}

bool doctor_record(const topology_cell *cell, control_record *out)
{
	return control_get(verb_control(), cell->name, out) == ERR_OK;
}

void doctor_members(doctor_t *d,
	void (*look)(doctor_t *d, const topology_cell *cell, const topology_member *m, db_t *db))
{
	const topology_t *t = verb_topology();

	for (unsigned c = 0; c < t->cell_count; c++)
		for (unsigned i = 0; i < t->cell[c].member_count; i++) {
			const topology_member *m = &t->cell[c].member[i];
			db_t *db = NULL;

			if (role_open(m, DOCTOR_GREET_MS, DOCTOR_IO_MS, &db) != ERR_OK)
				continue;
			look(d, &t->cell[c], m, db);
			db_close(&db);
		}
}

/* -1: nobody takes the connection in time. */
static int connect_to(const char *host, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	const struct timeval wait = {.tv_sec = ANSWER_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	BUG_ON(fd < 0);
	/* SO_SNDTIMEO bounds connect as well. */
	if (inet_pton(AF_INET, host, &to.sin_addr) == 1 &&
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
		connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

bool doctor_listens(const char *host, uint16_t port)
{
	int fd = connect_to(host, port);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

bool doctor_ask(
	const char *host, uint16_t port, const char *request, char end, char *out, size_t bytes)
{
	int fd = connect_to(host, port);
	size_t n = 0;
	ssize_t got = 0;

	if (fd < 0)
		return false;
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request))
		do {
			got = recv(fd, out + n, bytes - 1 - n, 0);
			n += got > 0 ? (size_t)got : 0;
			out[n] = '\0';
		} while (got > 0 && n < bytes - 1 && out[n - 1] != end);
	close(fd);
	return n > 0;
}

char *doctor_output(const char *command)
{
	FILE *f = popen(command, "re");
	char *text = calloc(1, COMMAND_BYTES);

	BUG_ON(!text);
	if (f)
		(void)!fread(text, 1, COMMAND_BYTES - 1, f);
	if (f && pclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static doctor_result worst(const doctor_t *d)
{
	doctor_result w = DOCTOR_OK;

	for (unsigned i = 0; i < d->count; i++)
		w = d->found[i].result > w ? d->found[i].result : w;
	return w;
}

static void print_check(const doctor_t *d, unsigned i)
{
	const doctor_result w = worst(d);

	printf("%-*s %-8s %s\n", INDENT, checks[i].name, results[w], checks[i].looks_at);
	for (unsigned k = 0; k < d->count; k++)
		printf("%*s %-8s %s\n", INDENT, "", results[d->found[k].result], d->found[k].text);
	if (d->more)
		printf("%*s          and %u more\n", INDENT, "", d->more);
	if (w >= DOCTOR_NOTE)
		printf("%*s mend:    %s\n", INDENT, "", checks[i].remedy);
	fflush(stdout);
}

static void write_check(const doctor_t *d, unsigned i, jw_t *w)
{
	jw_obj(w, NULL);
	jw_str(w, "check", checks[i].name);
	jw_str(w, "result", results[worst(d)]);
	jw_str(w, "looks_at", checks[i].looks_at);
	jw_arr(w, "findings");
	for (unsigned k = 0; k < d->count; k++) {
		jw_obj(w, NULL);
		jw_str(w, "result", results[d->found[k].result]);
		jw_str(w, "text", d->found[k].text);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_i64(w, "more", d->more);
	jw_str(w, "remedy", checks[i].remedy);
	jw_obj_end(w);
}

/* Without a configuration, the first row, nothing else can be looked at. */
static bool run_all(doctor_t *d, jw_t *json)
{
	bool bad = false, blind = false;

	for (unsigned i = 0; i < CHECKS; i++) {
		d->count = d->more = 0;
		if (blind)
			doctor_skip(d, "without a configuration");
		else if (d->stopped && checks[i].when == UP)
			continue;
		else
			checks[i].run(d);
		blind = blind || (i == 0 && worst(d) == DOCTOR_BAD);
		bad = bad || worst(d) == DOCTOR_BAD;
		if (json)
			write_check(d, i, json);
		else
			print_check(d, i);
	}
	return bad;
}

static bool run_json(doctor_t *d)
{
	arena_t *a = arena_new(OUTPUT_BYTES);
	bool bad;
	jw_t w;

	jw_start(&w, a);
	jw_arr(&w, NULL);
	bad = run_all(d, &w);
	jw_arr_end(&w);
	jw_end(&w);
	puts(w.buf);
	arena_free(&a);
	return bad;
}

int doctor_verb(int argc, char **argv)
{
	doctor_t *d = calloc(1, sizeof(*d));
	bool bad;

	BUG_ON(!d);
	d->stopped = argc == 2 && !strcmp(argv[1], "--stopped");
	if (argc > 1 && !d->stopped) {
		free(d);
		return verb_usage("doctor [--stopped]");
	}
	bad = verb_json() ? run_json(d) : run_all(d, NULL);
	free(d);
	return bad ? VERB_FAILED : VERB_DONE;
}
