/* gate: what every request passes before its handler.
 *
 * The paths of routes_table are cut into segments once, at start; a request's path is cut once and
 * compared segment by segment with the few patterns that have as many. A pattern then holds its
 * methods. What is checked first needs the least: no session is verified for a path that is not
 * there, no body is looked at for a caller who may not write. */
#include "fcgi/gate.h"
#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "domain/flags.h"
#include "domain/session.h"
#include "fcgi/limited.h"
#include "fcgi/turns.h"
#include "fcgi/user_rate.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	GATE_SEGMENTS_MAX = 6,
	GATE_ALLOW_BYTES = 64,
	GATE_KEY_LEAST = 8,
	GATE_KEY_MOST = 64,
	GATE_ORIGIN_BYTES = 256,
	GATE_ORIGINS_MAX = 8,
	GATE_TURN_RETRY_MS = 1000,
};

typedef struct {
	const char *at;
	size_t len;
	enum { SEGMENT_TEXT, SEGMENT_NUMBER, SEGMENT_NAME } kind; /* of a pattern's */
} segment;

typedef struct {
	segment part[GATE_SEGMENTS_MAX]; /* of the first row's pattern; with their kinds */
	unsigned parts;
	const routes_row *row[ROUTES_COUNT];
	unsigned rows;
	char allow[GATE_ALLOW_BYTES]; /* "GET, POST" */
} pattern;

struct gate {
	gate_conf conf;
	app_handler handlers[ROUTES_COUNT];
	pattern pattern[ROUTES_COUNT];
	unsigned patterns;
	char origin[GATE_ORIGINS_MAX]
		   [GATE_ORIGIN_BYTES]; /* of the front door, as browsers write it */
	unsigned origins;
	user_rate_t *rate;
	turns_t *turns;
};

static const char *const list_parameters[] = {"limit", "cursor", NULL};
static const char *const no_parameters[] = {NULL};

/* The segments of "/a/b"; 0 when it is no such path or has too many. */
static unsigned path_cut(const char *path, segment out[GATE_SEGMENTS_MAX])
{
	unsigned n = 0;
	while (*path == '/') {
		if (n == GATE_SEGMENTS_MAX)
			return 0;
		size_t len = strcspn(++path, "/");
		out[n++] = (segment){path, len, SEGMENT_TEXT};
		path += len;
	}
	return *path ? 0 : n;
}

static bool segment_is(segment s, const char *text)
{
	return strlen(text) == s.len && memcmp(text, s.at, s.len) == 0;
}

static pattern *gate_pattern(gate_t *g, const char *text)
{
	for (unsigned i = 0; i < g->patterns; i++)
		if (strcmp(g->pattern[i].row[0]->pattern, text) == 0)
			return &g->pattern[i];
	pattern *p = &g->pattern[g->patterns++];
	p->parts = path_cut(text, p->part);
	BUG_ON(p->parts == 0);
	for (unsigned i = 0; i < p->parts; i++) {
		if (segment_is(p->part[i], "{number}"))
			p->part[i].kind = SEGMENT_NUMBER;
		else if (segment_is(p->part[i], "{campaign}"))
			p->part[i].kind = SEGMENT_NAME;
	}
	return p;
}

static void gate_add(gate_t *g, const routes_row *row)
{
	pattern *p = gate_pattern(g, row->pattern);
	size_t used = strlen(p->allow);
	BUG_ON(used + strlen(row->method) + 3 > sizeof(p->allow));
	if (used > 0) {
		memcpy(p->allow + used, ", ", 2);
		used += 2;
	}
	memcpy(p->allow + used, row->method, strlen(row->method) + 1);
	p->row[p->rows++] = row;
}

/* scheme://host[:port] in lower case, without a port that is the scheme's own; no more than that, or
 * what is put behind it for callbacks would lead nowhere. */
static bool origin_of(const char *url, char out[GATE_ORIGIN_BYTES])
{
	const char *host = strstr(url, "://");
	if (!host)
		return false;
	host += 3;
	size_t len = strcspn(host, "/?#");
	size_t total = (size_t)(host - url) + len;
	if (len == 0 || host[len] || total >= GATE_ORIGIN_BYTES)
		return false;
	for (size_t i = 0; i < total; i++)
		out[i] = (char)(url[i] >= 'A' && url[i] <= 'Z' ? url[i] + 32 : url[i]);
	out[total] = '\0';
	const char *own = strncasecmp(url, "https:", 6) == 0 ? ":443" : ":80";
	size_t own_len = strlen(own);
	if (total > own_len && strcmp(out + total - own_len, own) == 0)
		out[total - own_len] = '\0';
	return true;
}

/* Of addresses separated by commas; none is right. */
static bool origins_read(gate_t *g, const char *urls)
{
	bool right = true;
	while (*urls && right) {
		char url[GATE_ORIGIN_BYTES];
		const size_t n = strcspn(urls, ",");
		right = n < sizeof(url) && g->origins < GATE_ORIGINS_MAX;
		if (!right)
			break;
		memcpy(url, urls, n);
		url[n] = '\0';
		right = origin_of(url, g->origin[g->origins++]);
		urls += n + (urls[n] == ',');
	}
	return right;
}

static bool origin_is_ours(const gate_t *g, const char *origin)
{
	for (unsigned i = 0; i < g->origins; i++)
		if (strcmp(origin, g->origin[i]) == 0)
			return true;
	return false;
}

err_t gate_new(const gate_conf *c, const app_t *app, gate_t **out)
{
	bool demo = conf_b(app->p->conf, CONF_DEMO_LOGIN);
	gate_t *g = calloc(1, sizeof(*g));
	BUG_ON(!g);
	g->conf = *c;
	if (!origins_read(g, conf_s(app->p->conf, CONF_FRONT_URL)) || g->origins != 1 ||
		!origins_read(g, conf_s(app->p->conf, CONF_OTHER_FRONTS))) {
		LOG(ERROR, "gate.front_url", {"is", LOG_S(conf_s(app->p->conf, CONF_FRONT_URL))},
			{"others", LOG_S(conf_s(app->p->conf, CONF_OTHER_FRONTS))});
		free(g);
		return ERR_CONFIG_INVALID;
	}
	for (unsigned i = 0; i < ROUTES_COUNT; i++) {
		const routes_row *row = &routes_table[i];
		if (row->program != c->program || ((row->flags & ROUTE_DEMO) && !demo))
			continue;
		BUG_ON(!c->handlers[row->id]);
		g->handlers[row->id] = c->handlers[row->id];
		gate_add(g, row);
	}
	g->rate = user_rate_new(app->p->conf);
	g->turns = turns_new(app->p->conf, c->threads, c->connections, http_resume);
	*out = g;
	return ERR_OK;
}

void gate_free(gate_t **g)
{
	if (!*g)
		return;
	user_rate_free(&(*g)->rate);
	turns_free(&(*g)->turns);
	free(*g);
	*g = NULL;
}

static bool number_read(segment s, uint64_t *out)
{
	char digits[NUMBERS_TEXT_BYTES];
	if (s.len >= sizeof(digits))
		return false;
	memcpy(digits, s.at, s.len);
	digits[s.len] = '\0';
	return numbers_parse(digits, out);
}

static bool segment_matches(const segment *want, segment is, app_call_t *c)
{
	if (want->kind == SEGMENT_NUMBER)
		return number_read(is, &c->number);
	if (want->kind == SEGMENT_TEXT)
		return want->len == is.len && memcmp(want->at, is.at, is.len) == 0;
	c->name = is.at;
	c->name_len = is.len;
	return is.len > 0;
}

static bool pattern_matches(const pattern *p, const segment *part, unsigned parts, app_call_t *c)
{
	if (p->parts != parts)
		return false;
	for (unsigned i = 0; i < parts; i++)
		if (!segment_matches(&p->part[i], part[i], c))
			return false;
	return true;
}

static err_t gate_route(const gate_t *g, app_call_t *c)
{
	segment part[GATE_SEGMENTS_MAX];
	unsigned parts = path_cut(c->r->path, part);
	for (unsigned i = 0; i < g->patterns && parts > 0; i++) {
		const pattern *p = &g->pattern[i];
		if (!pattern_matches(p, part, parts, c))
			continue;
		for (unsigned k = 0; k < p->rows; k++)
			if (strcmp(p->row[k]->method, c->r->method) == 0) {
				c->route = p->row[k];
				return ERR_OK;
			}
		http_header(c->r, "Allow", p->allow);
		return ERR_METHOD_NOT_ALLOWED;
	}
	return ERR_NOT_FOUND;
}

static err_t gate_slot(const app_call_t *c, uint64_t of)
{
	if (program_owns_slot(c->app->p, numbers_slot(of)))
		return ERR_OK;
	METRICS_INC(WRONG_CELL);
	return ERR_WRONG_CELL;
}

/* The token of "Bearer <token>"; NULL for another scheme. */
static const char *bearer_token(const char *authorization)
{
	if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
		return NULL;
	return authorization + 7 + strspn(authorization + 7, " ");
}

static err_t gate_session(const gate_t *g, app_call_t *c)
{
	const char *bearer = bearer_token(c->r->authorization), *cookie = c->r->session_cookie;
	int64_t expires_s;
	if (bearer && cookie)
		return ERR_SESSION_AMBIGUOUS;
	if (!bearer && !cookie)
		return ERR_SESSION_INVALID;
	err_t e = session_verify(c->app->p->session_keys, bearer ? bearer : cookie,
		c->now_ms / 1000, &c->uid, &expires_s);
	if (e != ERR_OK)
		return e;
	if (c->route->slot == ROUTES_USER)
		e = gate_slot(c, c->uid);
	if (e != ERR_OK || bearer || strcmp(c->route->method, "GET") == 0)
		return e;
	bool ours = c->r->csrf && strcmp(c->r->csrf, "1") == 0 && c->r->origin &&
		    origin_is_ours(g, c->r->origin);
	return ours ? ERR_OK : ERR_CSRF_REFUSED;
}

/* application/json, with or without parameters. */
static bool type_is_json(const char *type)
{
	static const char json[] = "application/json";
	size_t n = sizeof(json) - 1;
	if (!type || strncasecmp(type, json, n) != 0)
		return false;
	n += strspn(type + n, " \t");
	return type[n] == '\0' || type[n] == ';';
}

static bool body_is_utf8(const char *body, size_t len)
{
	while (len > 0) {
		uint32_t character;
		size_t n = parse_utf8(body, len, &character);
		if (n == 0)
			return false;
		body += n;
		len -= n;
	}
	return true;
}

static err_t gate_body(const app_call_t *c)
{
	const http_req_t *r = c->r;
	if (r->body_error != ERR_OK)
		return r->body_error;
	if (r->body_len == 0)
		return c->route->body == ROUTES_JSON ? ERR_INVALID_JSON : ERR_OK;
	if (c->route->body == ROUTES_NO_BODY)
		return ERR_INVALID_REQUEST;
	if (!type_is_json(r->content_type))
		return ERR_UNSUPPORTED_MEDIA_TYPE;
	return body_is_utf8(r->body, r->body_len) ? ERR_OK : ERR_INVALID_JSON;
}

static err_t gate_key(const app_call_t *c)
{
	const char *key = c->r->idempotency_key;
	if (!(c->route->flags & ROUTE_IDEMPOTENT))
		return ERR_OK;
	if (!key)
		return ERR_IDEMPOTENCY_KEY_MISSING;
	size_t n = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
	return key[n] == '\0' && n >= GATE_KEY_LEAST && n <= GATE_KEY_MOST
		       ? ERR_OK
		       : ERR_IDEMPOTENCY_KEY_INVALID;
}

err_t gate_rate(const app_call_t *c, uint64_t who)
{
	const err_t e = user_rate_check(
		c->app->gate->rate, c->route->id, who, c->r->started_us, &c->r->retry_after_ms);

	if (e == ERR_RATE_LIMITED)
		limited_count(LIMITED_USER);
	return e;
}

static err_t gate_checks(const gate_t *g, app_call_t *c)
{
	err_t e = gate_route(g, c);
	if (e == ERR_OK && (c->route->slot == ROUTES_PATH || c->route->slot == ROUTES_CLAIM))
		e = gate_slot(c, c->number);
	if (e == ERR_OK && c->route->auth == ROUTES_AUTH_USER)
		e = gate_session(g, c);
	if (e == ERR_OK && c->uid)
		e = gate_rate(c, c->uid);
	if (e == ERR_OK && flags_refuses(c->route->id, c->uid))
		e = ERR_FEATURE_DEGRADED;
	if (e == ERR_OK)
		e = gate_body(c);
	if (e == ERR_OK)
		e = gate_key(c);
	if (e == ERR_OK)
		e = http_query_only(
			c->r, c->route->flags & ROUTE_LIST ? list_parameters : no_parameters);
	if (e == ERR_OK && g->conf.ready)
		e = g->conf.ready(c->app);
	return e;
}

static err_t gate_serve(app_call_t *c)
{
	const gate_t *g = c->app->gate;
	err_t e;

	if (!(c->route->flags & ROUTE_SAYS_WHEN))
		http_may_wait();
	e = g->handlers[c->route->id](c);
	if (e == ERR_NOT_FOUND && (c->route->flags & ROUTE_PACKET) && g->conf.not_found)
		e = g->conf.not_found(c);
	return e;
}

/* A request that waits for its turn. */
typedef struct {
	app_call_t call;
	turns_ticket ticket;
} gate_wait;

static err_t gate_served(app_call_t *c)
{
	const err_t e = gate_serve(c);

	turns_end(c->app->gate->turns, c->route->id, clk_mono_ms());
	return e;
}

static err_t gate_refused(http_req_t *r)
{
	limited_count(LIMITED_INTERFACE);
	r->retry_after_ms = GATE_TURN_RETRY_MS;
	return ERR_RATE_LIMITED;
}

static err_t gate_later(http_req_t *r)
{
	gate_wait *w = r->state;

	if (!w->ticket.came)
		return gate_refused(r);
	w->call.now_ms = clk_wall_ms();
	return gate_served(&w->call);
}

/* Where each interface has its places, a request may have to wait for one; it holds no thread meanwhile. */
static err_t gate_in_turn(app_call_t *c)
{
	http_req_t *r = c->r;
	gate_wait *w = arena_alloc(r->arena, sizeof(*w));

	w->call = *c;
	w->ticket.r = r;
	r->state = w;
	r->later = gate_later; /* it may be resumed before the next line is done */
	const turns_answer turn =
		turns_begin(c->app->gate->turns, c->route->id, clk_mono_ms(), &w->ticket);
	if (turn == TURNS_LATER)
		return ERR_OK;
	r->later = NULL;
	return turn == TURNS_NOW ? gate_served(c) : gate_refused(r);
}

err_t gate_handle(http_req_t *r)
{
	app_t *a = r->app;
	app_call_t c = {.r = r, .app = a, .now_ms = clk_wall_ms()};
	const err_t e = gate_checks(a->gate, &c);

	if (e != ERR_OK)
		return e;
	return turns_bound(a->gate->turns, c.route->id) ? gate_in_turn(&c) : gate_serve(&c);
}
