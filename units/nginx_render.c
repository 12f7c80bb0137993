/* hbctl nginx: the configuration of nginx, from nginx/hongbao.conf.in and what only we know: slots,
 * cells and their active sites, programs, routes, and the errors that nginx must say as we do.
 *
 * Connections hold no thread of a program (lib/http/server.c), so how many nginx keeps to each is a
 * matter of memory and files only: http.keepalive. */
#include "units/nginx.h"

#include "units/doors.h"

#include "base/arena.h"
#include "base/jw.h"
#include "domain/capacity.h"
#include "domain/routes.h"
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WORKERS = 2,
	CLIENTS = 4096, /* connections of one worker that ask for nothing at the moment */
	TEMPLATE_BYTES = 1 << 18,
	PROBLEM_BYTES = 4096,
	RETRY_MS = 1000,
	GATEWAY_BYTES = 64,
	DEMO_USERS = 6,
	DEMO_FIRST_UID = 1000
};
#define SHARED_FAILS "max_fails=1 fail_timeout=10s"
#define PROBLEM_TYPE "https://hongbao.example/problems/" /* as lib/http says it */

extern char **environ;

typedef struct {
	FILE *to;
	const topology_t *topo;
	const topology_nginx *self;
	const topology_member *active[TOPOLOGY_CELLS_MAX];
	const char *user; /* of nginx's workers; NULL or "": nginx's default */
} rendering;

/* What a program may have under way of requests that came by this nginx: so many that it is never the
 * bound of a program that answers, so few that all of a cell's hung programs together leave connections
 * and memory for the other cells. Of an upstream that all cells share, what hangs takes little. */
static unsigned under_way(bool shared)
{
	unsigned most = (unsigned)conf_i(verb_conf(), CONF_HTTP_UPSTREAM_MAX);

	return shared ? most / 8 : most;
}

static void begin_upstream(const rendering *r, const char *name, const char *balance)
{
	fprintf(r->to, "\tupstream %s {\n\t\tzone %s 128k;\n", name, name);
	if (balance)
		fprintf(r->to, "\t\t%s;\n", balance);
}

/* nginx leaves a server alone for one to two seconds after a failure, and a program that is started anew
 * needs less: of a cell's own programs each is always tried, a refused connection costs nothing, and the
 * cell is back as soon as one of them listens. One that hangs is bounded by max_conns. Where all cells
 * share an upstream, others can answer, and a cell that hangs is asked again only now and then. */
static void put_servers(const rendering *r, bool shared, const topology_member *m,
	const uint16_t *port, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		fprintf(r->to, "\t\tserver %s:%u max_conns=%u %s;\n", m->host, port[i],
			under_way(shared), shared ? SHARED_FAILS : "max_fails=0");
}

static void end_upstream(const rendering *r)
{
	fprintf(r->to, "\t\tkeepalive %lld;\n\t\tkeepalive_requests 1000000;\n\t}\n",
		(long long)conf_i(verb_conf(), CONF_HTTP_KEEPALIVE));
}

static void put_upstream(const rendering *r, const topology_member *m, const char *cell,
	const char *kind, const char *balance, const uint16_t *port, unsigned count)
{
	char name[32];

	snprintf(name, sizeof(name), "hb_%s_%s", cell, kind);
	begin_upstream(r, name, balance);
	put_servers(r, false, m, port, count);
	end_upstream(r);
}

/* Of this site alone, whether active or standbys: each of them shows the counters of its own host. A site
 * without any has nothing to show. */
static void put_ops_upstream(const rendering *r)
{
	unsigned any = 0;

	begin_upstream(r, "hb_ops", NULL);
	for (unsigned i = 0; i < r->topo->cell_count; i++) {
		const topology_member *m = topology_member_at(&r->topo->cell[i], r->self->site);

		if (!m)
			continue;
		put_servers(r, true, m, m->query_port, m->query_count);
		any += m->query_count;
	}
	if (!any)
		fputs("\t\tserver 127.0.0.1:1 down;\n", r->to);
	fputs("\t}\n", r->to);
}

static void put_upstreams(const rendering *r)
{
	for (unsigned i = 0; i < r->topo->cell_count; i++) {
		const char *cell = r->topo->cell[i].name;
		const topology_member *m = r->active[i];

		put_upstream(r, m, cell, "core", NULL, m->core_port, m->core_count);
		if (conf_b(verb_conf(), CONF_CLAIM_HASH))
			put_upstream(r, m, cell, "claim", "hash $hb_number consistent",
				m->core_port, m->core_count);
		put_upstream(r, m, cell, "query", NULL, m->query_port, m->query_count);
		/* One user's draws meet in one process, which remembers their wins. */
		put_upstream(r, m, cell, "rain", "hash $hb_user consistent", m->rain_port,
			m->rain_count);
	}
	/* Whose cell is not known before the body is read is served by any that lives. */
	begin_upstream(r, "hb_any_core", NULL);
	for (unsigned i = 0; i < r->topo->cell_count; i++)
		put_servers(
			r, true, r->active[i], r->active[i]->core_port, r->active[i]->core_count);
	end_upstream(r);
	put_ops_upstream(r);
}

static void put_slots(const rendering *r)
{
	unsigned cells = r->topo->cell_count;

	fputs("\t# Whom no slot is known of, any cell tells what is missing.\n"
	      "\tsplit_clients $request_id $hb_any_cell {\n",
		r->to);
	for (unsigned i = 0; i + 1 < cells; i++)
		fprintf(r->to, "\t\t%.2f%% %s;\n", 100.0 / cells, r->topo->cell[i].name);
	fprintf(r->to,
		"\t\t* %s;\n\t}\n"
		"\tmap $hb_slot $hb_cell {\n\t\tdefault $hb_any_cell;\n",
		r->topo->cell[cells - 1].name);
	for (unsigned slot = 0; slot < TOPOLOGY_SLOTS; slot++) {
		const char *cell = topology_cell_of_slot(r->topo, slot)->name;

		fprintf(r->to, "\t\t%03u %s;\n", slot, cell);
		if (slot < 100)
			fprintf(r->to, "\t\t%u %s;\n", slot, cell);
	}
	fputs("\t}\n", r->to);
}

static const struct {
	const char *name, *when; /* nginx's statuses; NULL: chosen by the template */
	int status;
	err_t error;
} problems[] = {
	{"400", "400 494 501 505", 400, ERR_INVALID_REQUEST},
	{"404", "403 404", 404, ERR_NOT_FOUND},
	{"405", "405", 405, ERR_METHOD_NOT_ALLOWED},
	{"413", "413", 413, ERR_BODY_TOO_LARGE},
	{"414", "414", 414, ERR_INVALID_REQUEST},
	{"429", "429", 429, ERR_RATE_LIMITED},
	{"500", "500", 500, ERR_INTERNAL},
	{"CELL_UNAVAILABLE", NULL, 503, ERR_CELL_UNAVAILABLE},
	{"OUTCOME_UNKNOWN", NULL, 503, ERR_OUTCOME_UNKNOWN},
};
enum { PROBLEMS = sizeof(problems) / sizeof(problems[0]) };

static void put_problem_text(const rendering *r, unsigned i, bool zh)
{
	char json[PROBLEM_BYTES], type[128];
	err_t e = problems[i].error;
	jw_t w;

	snprintf(type, sizeof(type), PROBLEM_TYPE "%s", err_code(e));
	jw_start_fixed(&w, json, sizeof(json));
	jw_obj(&w, NULL);
	jw_str(&w, "type", type);
	jw_str(&w, "title", err_title(e));
	jw_i64(&w, "status", problems[i].status);
	jw_str(&w, "detail", err_title(e));
	jw_str(&w, "code", err_code(e));
	jw_bool(&w, "retryable", err_retryable(e));
	jw_str(&w, "user_message", err_user_message(e, zh));
	jw_str(&w, "request_id", "$request_id");
	if (problems[i].status == 503 || problems[i].status == 429)
		jw_i64(&w, "retry_after_ms", RETRY_MS);
	jw_obj_end(&w);
	BUG_ON(jw_end(&w) == 0);
	for (const char *s = json; *s; s++)
		fprintf(r->to, "%s%c", *s == '\'' || *s == '\\' ? "\\" : "", *s);
}

static void put_problems(const rendering *r)
{
	for (unsigned i = 0; i < PROBLEMS; i++) {
		fprintf(r->to, "\tmap $hb_zh $hb_problem_%s {\n\t\t1 '", problems[i].name);
		put_problem_text(r, i, true);
		fputs("';\n\t\tdefault '", r->to);
		put_problem_text(r, i, false);
		fputs("';\n\t}\n", r->to);
	}
}

static void put_problem_locations(const rendering *r)
{
	static const char head[] = "\t\t\ttypes {\n\t\t\t}\n"
				   "\t\t\tdefault_type application/problem+json;\n"
				   "\t\t\tadd_header X-Request-Id $request_id always;\n"
				   "\t\t\tadd_header X-Content-Type-Options nosniff always;\n"
				   "\t\t\tadd_header Strict-Transport-Security $hb_hsts always;\n";
	char retry[64];

	snprintf(
		retry, sizeof(retry), "\t\t\tadd_header Retry-After %d always;\n", RETRY_MS / 1000);
	for (unsigned i = 0; i < PROBLEMS; i++)
		if (problems[i].when)
			fprintf(r->to,
				"\t\terror_page %s =%d /_problem/%s;\n"
				"\t\tlocation = /_problem/%s {\n\t\t\tinternal;\n%s%s"
				"\t\t\treturn %d $hb_problem_%s;\n\t\t}\n",
				problems[i].when, problems[i].status, problems[i].name,
				problems[i].name, head, problems[i].status == 429 ? retry : "",
				problems[i].status, problems[i].name);
	fprintf(r->to,
		"\t\terror_page 502 503 504 =503 @unanswered;\n\t\tlocation @unanswered {\n%s"
		"%s\t\t\treturn 503 $hb_unanswered;\n\t\t}\n",
		head, retry);
}

static bool seen_before(const routes_row *row)
{
	for (const routes_row *other = routes_table; other < row; other++)
		if (!strcmp(other->pattern, row->pattern)) {
			BUG_ON(other->program != row->program);
			return true;
		}
	return false;
}

/* "{campaign}" is any name; "{number}" becomes the captures $hb_number and $hb_tail, its last three digits. */
static void put_pattern(const rendering *r, const char *pattern)
{
	const char *at = strstr(pattern, "{number}");

	if (at)
		fprintf(r->to,
			"\t\tlocation ~ "
			"\"^%.*s(?<hb_number>[0-9]{0,16}?(?<hb_tail>[0-9]{1,3}))%s$\" {\n",
			(int)(at - pattern), pattern, at + strlen("{number}"));
	else if ((at = strstr(pattern, "{campaign}")))
		fprintf(r->to, "\t\tlocation ~ \"^%.*s[a-z0-9-]{1,32}%s$\" {\n",
			(int)(at - pattern), pattern, at + strlen("{campaign}"));
	else
		fprintf(r->to, "\t\tlocation = %s {\n", pattern);
}

/* What a location may let through: the interfaces that share it together. */
static capacity_rate rate_of(
	capacity_rate (*of)(const conf_t *c, routes_id route), const routes_row *row)
{
	capacity_rate all = {0, 0};

	for (unsigned i = 0; i < ROUTES_COUNT; i++)
		if (!strcmp(routes_table[i].pattern, row->pattern)) {
			const capacity_rate one = of(verb_conf(), routes_table[i].id);

			all.per_s += one.per_s;
			all.burst += one.burst;
		}
	return all;
}

static bool serves(const routes_row *row, bool internal)
{
	return !seen_before(row) &&
	       (!(row->flags & ROUTE_DEMO) || conf_b(verb_conf(), CONF_DEMO_LOGIN)) &&
	       (row->auth == ROUTES_AUTH_INTERNAL) == internal;
}

static void put_gateways(const rendering *r)
{
	const char *at = conf_s(verb_conf(), CONF_LIMITS_GATEWAYS);

	while (*at) {
		const size_t n = strcspn(at, ",");

		fprintf(r->to, "\t\t%.*s 1;\n", (int)n, at);
		at += n + (at[n] == ',');
	}
}

/* Whoever is no address would be something else in nginx's configuration. */
static bool gateways_are_addresses(void)
{
	const char *all = conf_s(verb_conf(), CONF_LIMITS_GATEWAYS);

	if (all[strspn(all, "0123456789abcdefABCDEF.:/,")] == '\0')
		return true;
	fprintf(stderr, "hbctl: limits.gateways: \"%s\" are no addresses\n", all);
	return false;
}

/* A state takes 64 bytes, an address 128: 2 MB remember 16,000 of them, and who has not come for
 * longest is forgotten first. */
static void put_limits(const rendering *r)
{
	for (unsigned i = 0; i < ROUTES_COUNT; i++) {
		const routes_row *row = &routes_table[i];

		if (!serves(row, false))
			continue;
		const capacity_rate address = rate_of(capacity_of_address, row),
				    cell = rate_of(capacity_of_cell, row);

		if (address.per_s > 0)
			fprintf(r->to,
				"\tlimit_req_zone $hb_address zone=address_%s:2m rate=%" PRId64
				"r/s;\n",
				row->name, address.per_s);
		fprintf(r->to, "\tlimit_req_zone $hb_cell zone=cell_%s:64k rate=%" PRId64 "r/s;\n",
			row->name, cell.per_s);
	}
}

static void put_address_requests(const rendering *r)
{
	fprintf(r->to, "%lld", (long long)conf_i(verb_conf(), CONF_LIMITS_ADDRESS_REQUESTS));
}

static void put_limits_of(const rendering *r, const routes_row *row)
{
	const capacity_rate address = rate_of(capacity_of_address, row),
			    cell = rate_of(capacity_of_cell, row);

	if (address.per_s > 0)
		fprintf(r->to, "\t\t\tlimit_req zone=address_%s burst=%" PRId64 " nodelay;\n",
			row->name, address.burst);
	fprintf(r->to, "\t\t\tlimit_req zone=cell_%s burst=%" PRId64 " nodelay;\n", row->name,
		cell.burst);
}

static const char *slot_of(const routes_row *row)
{
	switch (row->slot) {
	case ROUTES_USER:
		return "$hb_user_slot";
	case ROUTES_PATH:
	case ROUTES_CLAIM:
		return "$hb_tail";
	case ROUTES_ANY:
		break;
	}
	return "\"\"";
}

static const char *upstream_of(const routes_row *row)
{
	if (row->program == ROUTES_QUERY)
		return "query";
	if (row->program == ROUTES_RAIN)
		return "rain";
	BUG_ON(row->program != ROUTES_CORE);
	return row->slot == ROUTES_CLAIM && conf_b(verb_conf(), CONF_CLAIM_HASH) ? "claim" : "core";
}

/* How long one program may take, and whether another is asked then. A claim that comes twice is one
 * claim (its packet and user are a key), so one that a program has taken and does not answer goes to the
 * next: a program that hangs makes claims late, and refuses none. A program that lives answers a claim
 * sooner, if only that it does not know. */
static const char *patience(const routes_row *row)
{
	if (row->slot == ROUTES_ANY) /* a cell that is away may be as many as half of them */
		return "\t\t\tfastcgi_next_upstream_tries 0;\n\t\t\tfastcgi_read_timeout 10s;\n";
	if (row->slot == ROUTES_CLAIM)
		return "\t\t\tfastcgi_next_upstream error timeout non_idempotent;\n"
		       "\t\t\tfastcgi_next_upstream_timeout 8s;\n\t\t\tfastcgi_read_timeout 7s;\n";
	return "";
}

static void put_rows(const rendering *r, bool internal)
{
	for (unsigned i = 0; i < ROUTES_COUNT; i++) {
		const routes_row *row = &routes_table[i];

		if (!serves(row, internal))
			continue;
		bool any = row->slot == ROUTES_ANY;
		put_pattern(r, row->pattern);
		if (!internal)
			put_limits_of(r, row);
		fprintf(r->to,
			"\t\t\tset $hb_slot %s;\n\t\t\tinclude %s/nginx/params.conf;\n"
			"%s\t\t\tfastcgi_pass hb_%s_%s;\n\t\t}\n",
			slot_of(row), verb_share(), patience(row), any ? "any" : "${hb_cell}",
			upstream_of(row));
	}
}
static void put_locations(const rendering *r)
{
	put_rows(r, false);
}
static void put_internal_locations(const rendering *r)
{
	put_rows(r, true);
}

static void put_user(const rendering *r)
{
	if (r->user && *r->user)
		fprintf(r->to, "user %s;\n", r->user);
}
static void put_workers(const rendering *r)
{
	fprintf(r->to, "%d", WORKERS);
}
static void put_state(const rendering *r)
{
	fputs(verb_state(), r->to);
}
/* The folder of hongbao.cfg, whole: nginx takes a relative one for its own. */
static void put_config(const rendering *r)
{
	char path[512], *whole;

	snprintf(path, sizeof(path), "%s", verb_config());
	whole = realpath(dirname(path), NULL);
	fputs(whole ? whole : dirname(path), r->to);
	free(whole);
}
static void put_share(const rendering *r)
{
	fputs(verb_share(), r->to);
}
/* Each request takes two connections, and all of them may come to one worker. */
static void put_connections(const rendering *r)
{
	unsigned all = 0;

	for (unsigned i = 0; i < r->topo->cell_count; i++) {
		const topology_member *m = r->active[i];
		unsigned cores = m->core_count * (conf_b(verb_conf(), CONF_CLAIM_HASH) ? 2 : 1);

		all += (cores + m->query_count + m->rain_count) * under_way(false) +
		       (m->core_count + m->query_count) * under_way(true);
	}
	fprintf(r->to, "%u", CLIENTS + 2 * all);
}
static void put_site(const rendering *r)
{
	fputs(r->self->site, r->to);
}
static void put_host(const rendering *r)
{
	fputs(r->self->host, r->to);
}
static void put_front(const rendering *r)
{
	fprintf(r->to, "%u", r->self->front_port);
}
static void put_ops(const rendering *r)
{
	fprintf(r->to, "%u", r->self->ops_port);
}
static void put_internal(const rendering *r)
{
	fprintf(r->to, "%u", r->self->internal_port);
}
static void put_finance(const rendering *r)
{
	fprintf(r->to, "%u", r->self->finance_port);
}
/* What the demo's page cannot know: users of each cell, and where finance is. */
static void put_demo(const rendering *r)
{
	char json[2048];
	char url[128];
	jw_t w;

	if (!conf_b(verb_conf(), CONF_DEMO_LOGIN))
		return;
	snprintf(url, sizeof(url), "http://%s:%u", r->self->host, r->self->finance_port);
	jw_start_fixed(&w, json, sizeof(json));
	jw_obj(&w, NULL);
	jw_obj(&w, "users");
	for (unsigned i = 0; i < r->topo->cell_count; i++) {
		unsigned found = 0;
		jw_arr(&w, r->topo->cell[i].name);
		for (unsigned slot = 1; slot < TOPOLOGY_SLOTS && found < DEMO_USERS; slot++)
			if (r->topo->slot_cell[slot] == (int8_t)i) {
				jw_id(&w, NULL, DEMO_FIRST_UID + slot);
				found++;
			}
		jw_arr_end(&w);
	}
	jw_obj_end(&w);
	jw_str(&w, "finance_url", url);
	jw_obj_end(&w);
	BUG_ON(jw_end(&w) == 0);
	fprintf(r->to,
		"\t\tlocation = /demo.json {\n\t\t\tdefault_type application/json;\n"
		"\t\t\treturn 200 '%s';\n\t\t}\n",
		json);
}

static void put_finance_fcgi(const rendering *r)
{
	fprintf(r->to, "%s:%u", r->topo->finance_host, r->topo->finance_port);
}

static const struct {
	const char *name;
	void (*put)(const rendering *r);
} names[] = {
	{"user", put_user},
	{"workers", put_workers},
	{"connections", put_connections},
	{"state", put_state},
	{"config", put_config},
	{"share", put_share},
	{"site", put_site},
	{"host", put_host},
	{"front", put_front},
	{"ops", put_ops},
	{"internal", put_internal},
	{"finance", put_finance},
	{"finance_fcgi", put_finance_fcgi},
	{"upstreams", put_upstreams},
	{"gateways", put_gateways},
	{"limits", put_limits},
	{"address_requests", put_address_requests},
	{"slots", put_slots},
	{"problems", put_problems},
	{"problem_locations", put_problem_locations},
	{"locations", put_locations},
	{"internal_locations", put_internal_locations},
	{"demo", put_demo},
};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

static size_t put_name(const rendering *r, const char *at)
{
	size_t n = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_");

	if (at[1 + n] != '@')
		return 0;
	for (unsigned i = 0; i < NAMES; i++)
		if (strlen(names[i].name) == n && !memcmp(names[i].name, at + 1, n)) {
			names[i].put(r);
			return n + 2;
		}
	return 0;
}

static err_t fill_template(const rendering *r)
{
	char path[512], *text = calloc(1, TEMPLATE_BYTES);
	FILE *f;

	BUG_ON(!text);
	snprintf(path, sizeof(path), "%s/nginx/hongbao.conf.in", verb_share());
	f = fopen(path, "re");
	if (!f || fread(text, 1, TEMPLATE_BYTES - 1, f) == 0) {
		fprintf(stderr, "hbctl: cannot read %s\n", path);
		free(text);
		if (f)
			fclose(f);
		return ERR_CONFIG_INVALID;
	}
	fclose(f);
	for (const char *at = text; *at;) {
		size_t n = *at == '@' ? put_name(r, at) : 0;

		if (n == 0)
			fputc(*at++, r->to);
		at += n;
	}
	free(text);
	return ERR_OK;
}

/* The active site is where the record says the primary is; the topology only says where a cell
 * starts its life. */
static err_t find_active(rendering *r, bool offline)
{
	for (unsigned i = 0; i < r->topo->cell_count; i++) {
		const topology_cell *cell = &r->topo->cell[i];
		control_record record;
		err_t e = offline ? ERR_OK : control_get(verb_control(), cell->name, &record);

		if (e != ERR_OK)
			return e;
		r->active[i] = topology_member_at(cell, offline ? cell->active : record.primary);
		if (!r->active[i] || !r->active[i]->core_count || !r->active[i]->query_count ||
			!r->active[i]->rain_count) {
			fprintf(stderr, "hbctl: cell %s has no programs at its active site\n",
				cell->name);
			return ERR_CONFIG_INVALID;
		}
	}
	return ERR_OK;
}

err_t nginx_text(const topology_nginx *self, const char *user, bool offline, char **text, size_t *n)
{
	rendering r = {.topo = verb_topology(), .self = self, .user = user};
	err_t e = find_active(&r, offline);

	if (e == ERR_OK && !gateways_are_addresses())
		e = ERR_CONFIG_INVALID;
	if (e != ERR_OK)
		return e;
	r.to = open_memstream(text, n);
	BUG_ON(!r.to);
	e = fill_template(&r);
	BUG_ON(fclose(r.to) != 0);
	return e;
}

static err_t render(const topology_nginx *self, const char *out, const char *user, bool offline)
{
	char *text = NULL;
	size_t n = 0;
	err_t e = nginx_text(self, user, offline, &text, &n);

	if (e == ERR_OK && out)
		e = verb_write_file(out, text, n);
	else if (e == ERR_OK)
		fwrite(text, 1, n, stdout);
	free(text);
	return e;
}

/* nginx -t makes the files that are missing, the pid's among them, and as root gives folders to its default user, so
 * for root it runs as whom the state belongs to, who may still listen below 1024. nginx takes relative paths as its own. */
bool nginx_accepts(const char *path)
{
	char *whole = realpath(path, NULL), uid[32], gid[32];
	enum { NGINX = 6 }; /* where its own words begin */
	char *const argv[] = {"setpriv", uid, gid, "--clear-groups", "--inh-caps=+net_bind_service",
		"--ambient-caps=+net_bind_service", "nginx", "-t", "-q", "-e", "stderr", "-c",
		whole, NULL};
	struct stat state;
	pid_t pid;
	int status = -1;
	const bool step_down =
		geteuid() == 0 && stat(verb_state(), &state) == 0 && state.st_uid != 0;
	char *const *command = step_down ? argv : argv + NGINX;

	if (step_down) {
		snprintf(uid, sizeof(uid), "--reuid=%u", (unsigned)state.st_uid);
		snprintf(gid, sizeof(gid), "--regid=%u", (unsigned)state.st_gid);
	}
	if (whole && posix_spawnp(&pid, *command, NULL, NULL, command, environ) == 0 &&
		waitpid(pid, &status, 0) != pid)
		status = -1;
	free(whole);
	return status == 0;
}

/* The first line of a small file. */
static bool first_line(const char *path, char *out, int room)
{
	FILE *f = fopen(path, "re");
	bool got = f && fgets(out, room, f);

	if (f)
		fclose(f);
	return got;
}

/* A pid file outlives its process, so the process must be an nginx as well. */
long nginx_running(const topology_nginx *self)
{
	char path[512], line[32];
	long pid;

	snprintf(path, sizeof(path), "%s/run/nginx-%s.pid", verb_state(), self->site);
	if (!first_line(path, line, sizeof(line)))
		return 0;
	pid = strtol(line, NULL, 10);
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	return pid > 1 && first_line(path, line, sizeof(line)) && !strncmp(line, "nginx", 5) ? pid
											     : 0;
}

/* What nginx refuses never replaces the file that runs. */
static int reload(const topology_nginx *self, const char *user)
{
	char out[512], beside[520];
	pid_t pid;
	err_t e;

	snprintf(out, sizeof(out), "%s/etc/nginx-%s.conf", verb_state(), self->site);
	snprintf(beside, sizeof(beside), "%s.next", out);
	e = render(self, beside, user, false);
	if (e != ERR_OK)
		return verb_fail(e, "nginx render");
	if (!nginx_accepts(beside)) {
		fprintf(stderr, "hbctl: nginx refuses %s; nothing changed\n", beside);
		return VERB_REFUSED;
	}
	if (rename(beside, out) != 0) {
		fprintf(stderr, "hbctl: cannot rename to %s: %s\n", out, strerror(errno));
		return VERB_FAILED;
	}
	pid = (pid_t)nginx_running(self);
	if (!pid || kill(pid, SIGHUP) != 0) {
		fprintf(stderr, "hbctl: %s is written, but no nginx runs from it\n", out);
		return VERB_PARTLY;
	}
	printf("nginx at %s reloads %s\n", self->site, out);
	return VERB_DONE;
}

/* By the sites' own commands: their files are on other hosts. One that cannot be reloaded does not keep the others
 * from it. */
static int reload_all(void)
{
	const unsigned all = verb_topology()->nginx_count;
	unsigned reloaded;
	doors_t d;

	doors_begin(&d);
	reloaded = doors_end(&d);
	if (reloaded == all)
		return VERB_DONE;
	return reloaded ? VERB_PARTLY : VERB_UNREACHABLE;
}

typedef struct {
	const char *out, *user, *site;
	bool offline;
} nginx_options;

static bool read_options(int argc, char **argv, nginx_options *o)
{
	static const struct option options[] = {{"out", required_argument, NULL, 'f'},
		{"user", required_argument, NULL, 'u'}, {"site", required_argument, NULL, 's'},
		{"offline", no_argument, NULL, 'l'}, {NULL, 0, NULL, 0}};
	int got;

	while ((got = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (got == 'f')
			o->out = optarg;
		else if (got == 'u')
			o->user = optarg;
		else if (got == 's')
			o->site = optarg;
		else if (got == 'l')
			o->offline = true;
		else
			return false;
	}
	return optind == argc;
}

int nginx_verb(int argc, char **argv)
{
	static const char usage[] =
		"nginx render [--site SITE] [--out FILE] [--user NAME] [--offline] | "
		"nginx reload [--site SITE [--user NAME]]";
	const char *const usual = getenv("HB_NGINX_USER");
	nginx_options o = {.user = usual};
	const topology_nginx *self;
	bool reloads = !strcmp(argv[0], "reload");
	err_t e;

	/* What runs must follow the control records, and lies where nginx reads it. */
	if (!read_options(argc, argv, &o) ||
		(reloads && (o.offline || o.out || (!o.site && o.user != usual))))
		return verb_usage(usage);
	self = o.site ? topology_nginx_at(verb_topology(), o.site) : NULL;
	if (o.site && !self) {
		fprintf(stderr, "hbctl: there is no nginx at \"%s\"\n", o.site);
		return VERB_USAGE;
	}
	if (reloads)
		return self ? reload(self, o.user) : reload_all();
	e = render(self ? self : &verb_topology()->nginx[0], o.out, o.user, o.offline);
	return e == ERR_OK ? VERB_DONE : verb_fail(e, "nginx render");
}
