/* request: from FastCGI parameters and body to a http_req_t.
 *
 * The parameters are walked once, against a table in the order in which our nginx sends them, so
 * that each usually meets its row at the first look. Nothing is copied: the strings are libfcgi's
 * and live as long as the request. The body is read to its end on every path, because libfcgi drops
 * the next request of a connection on which a body was left unread. */
#include "base/clk.h"
#include "base/keys.h"
#include "base/parse.h"
#include "base/trace.h"
#include "http/wire.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
	DRAIN_MAX_BYTES = 1048576, /* of a refused body; beyond it the connection is dropped */
	DRAIN_STEP_BYTES = 4096,
	REQUEST_ID_BYTES = 16,
};

typedef struct {
	char *method, *uri, *content_type, *content_length, *remote_addr, *request_id,
		*authorization, *session, *idempotency_key, *origin, *csrf, *language, *traceparent,
		*signature, *hb_signature, *ops;
} params;

typedef struct {
	const char *name;
	size_t len, offset;
} param_row;

#define PARAM(name, member)                                                                        \
	{                                                                                          \
		name, sizeof(name) - 1, offsetof(params, member)                                   \
	}
static const param_row param_rows[] = {
	PARAM("REQUEST_METHOD", method),
	PARAM("REQUEST_URI", uri),
	PARAM("CONTENT_TYPE", content_type),
	PARAM("CONTENT_LENGTH", content_length),
	PARAM("REMOTE_ADDR", remote_addr),
	PARAM("HTTP_X_REQUEST_ID", request_id),
	PARAM("HTTP_AUTHORIZATION", authorization),
	PARAM("HB_SESSION", session),
	PARAM("HTTP_IDEMPOTENCY_KEY", idempotency_key),
	PARAM("HTTP_ORIGIN", origin),
	PARAM("HTTP_X_HB_CSRF", csrf),
	PARAM("HTTP_ACCEPT_LANGUAGE", language),
	PARAM("HTTP_TRACEPARENT", traceparent),
	PARAM("HTTP_X_HB_SIGNATURE", hb_signature),
	PARAM("HTTP_X_FINANCE_SIGNATURE", signature),
	PARAM("HB_OPS", ops),
};
enum { PARAM_ROWS = sizeof(param_rows) / sizeof(param_rows[0]) };

static void params_read(char **envp, params *out)
{
	memset(out, 0, sizeof(*out));
	size_t next = 0;
	for (; *envp; envp++) {
		for (size_t i = 0; i < PARAM_ROWS; i++) {
			const param_row *row = &param_rows[(next + i) % PARAM_ROWS];
			char *eq = *envp + row->len;
			if (strncmp(row->name, *envp, row->len) != 0 || *eq != '=')
				continue;
			/* nginx sends an empty value for an absent header */
			if (eq[1])
				*(char **)(void *)((char *)out + row->offset) = eq + 1;
			next = (size_t)(row - param_rows) + 1;
			break;
		}
	}
}

static bool request_id_ok(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");
	return s[n] == '\0' && n >= 8 && n <= 64;
}

static const char *request_id_new(arena_t *a)
{
	uint8_t raw[REQUEST_ID_BYTES];
	char *id = arena_alloc(a, 2 * REQUEST_ID_BYTES + 1);
	keys_random(raw, sizeof(raw));
	parse_to_hex(raw, sizeof(raw), id);
	return id;
}

static const char *traceparent_new(arena_t *a, const char *request_id)
{
	char *text = arena_alloc(a, TRACE_TEXT_BYTES);
	trace_make(request_id, text);
	return text;
}

/* The weight of one range of Accept-Language in thousandths; 1000 when it has none. */
static int language_weight(const char *params_text, size_t len)
{
	const char *end = params_text + len;
	for (const char *p = params_text; p + 2 < end; p++) {
		if (tolower((unsigned char)p[0]) != 'q' || p[1] != '=')
			continue;
		int weight = 0, unit = 1000;
		for (p += 2; p < end && (isdigit((unsigned char)*p) || *p == '.'); p++) {
			if (*p == '.')
				continue;
			weight += (*p - '0') * unit;
			unit /= 10;
		}
		return weight < 1000 ? weight : 1000;
	}
	return 1000;
}

/* We speak Chinese and English; Chinese when nobody says otherwise. */
static bool language_prefers_zh(const char *header)
{
	if (!header)
		return true;
	int zh = 0, en = 0, any = 0;
	for (const char *p = header; *p;) {
		size_t len = strcspn(p, ",");
		const char *tag = p + strspn(p, " \t");
		size_t tag_len = strcspn(tag, ",; \t");
		int weight = language_weight(p, len);
		int *of = NULL;
		if (tag_len == 1 && *tag == '*')
			of = &any;
		else if (tag_len >= 2 && (tag_len == 2 || tag[2] == '-'))
			of = strncasecmp(tag, "zh", 2) == 0   ? &zh
			     : strncasecmp(tag, "en", 2) == 0 ? &en
							      : NULL;
		if (of && weight > *of)
			*of = weight;
		p += len + (p[len] == ',');
	}
	if (zh == 0 && en == 0)
		return any > 0;
	return zh >= en;
}

/* Reads on to the end of the body; the bytes that came, *whole when the end was reached. */
static size_t body_drain(FCGX_Request *f, bool *whole)
{
	char scratch[DRAIN_STEP_BYTES];
	size_t got = 0;
	*whole = false;
	while (got < DRAIN_MAX_BYTES) {
		int n = FCGX_GetStr(scratch, sizeof(scratch), f->in);
		if (n > 0)
			got += (size_t)n;
		if (n < (int)sizeof(scratch)) {
			*whole = FCGX_GetError(f->in) == 0;
			return got;
		}
	}
	f->keepConnection = 0;
	return got;
}

static void body_read(http_req_t *r, FCGX_Request *f, const char *content_length)
{
	uint64_t want = 0;
	bool whole, length_ok = !content_length || parse_u64(content_length, INT64_MAX, &want);
	r->body = "";
	size_t got = 0;
	char *body = NULL;
	if (length_ok && want > 0 && want <= HTTP_BODY_MAX_BYTES) {
		body = arena_alloc(r->arena, (size_t)want + 1);
		int n = FCGX_GetStr(body, (int)want, f->in);
		got = n > 0 ? (size_t)n : 0;
	}
	size_t more = body_drain(f, &whole);
	if (want > HTTP_BODY_MAX_BYTES || got + more > HTTP_BODY_MAX_BYTES)
		r->body_error = ERR_BODY_TOO_LARGE;
	else if (!length_ok || !whole || more > 0 || got != want)
		r->body_error = ERR_INVALID_REQUEST;
	else if (body) {
		r->body = body;
		r->body_len = got;
	}
}

void request_read(http_req_t *r, FCGX_Request *f)
{
	params p;
	r->started_us = clk_mono_us();
	params_read(f->envp, &p);
	r->method = p.method ? p.method : "";
	r->path = p.uri ? p.uri : "";
	r->query = "";
	char *mark = p.uri ? strchr(p.uri, '?') : NULL;
	if (mark) {
		*mark = '\0';
		r->query = mark + 1;
	}
	r->request_id = p.request_id && request_id_ok(p.request_id) ? p.request_id
								    : request_id_new(r->arena);
	r->traceparent = p.traceparent && trace_ok(p.traceparent)
				 ? p.traceparent
				 : traceparent_new(r->arena, r->request_id);
	r->authorization = p.authorization;
	r->session_cookie = p.session;
	r->idempotency_key = p.idempotency_key;
	r->origin = p.origin;
	r->csrf = p.csrf;
	r->signature = p.signature;
	r->hb_signature = p.hb_signature;
	r->remote_addr = p.remote_addr;
	r->zh = language_prefers_zh(p.language);
	r->content_type = p.content_type;
	r->ops = p.ops && strcmp(p.ops, "1") == 0;
	r->status = 200;
	jw_start(&r->out, r->arena);
	body_read(r, f, p.content_length);
}

/* Decodes %XX and + of one query value; NULL when badly encoded or holding a zero. */
static const char *query_decode(arena_t *a, const char *s, size_t len)
{
	char *out = arena_alloc(a, len + 1);
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)s[i];
		if (byte == '+') {
			byte = ' ';
		} else if (byte == '%') {
			char pair[3] = {0};
			if (i + 2 >= len)
				return NULL;
			memcpy(pair, s + i + 1, 2);
			if (!parse_hex(pair, 1, &byte) || byte == 0)
				return NULL;
			i += 2;
		}
		out[n++] = (char)byte;
	}
	out[n] = '\0';
	return out;
}

/* The next name=value of a query string; false at its end. */
typedef struct {
	const char *at, *name, *value;
	size_t name_len, value_len;
} query_pair;

static bool query_next(query_pair *q)
{
	while (*q->at == '&')
		q->at++;
	if (!*q->at)
		return false;
	size_t len = strcspn(q->at, "&");
	const char *eq = memchr(q->at, '=', len);
	q->name = q->at;
	q->name_len = eq ? (size_t)(eq - q->at) : len;
	q->value = eq ? eq + 1 : q->at + len;
	q->value_len = (size_t)(q->at + len - q->value);
	q->at += len;
	return true;
}

static bool query_named(const query_pair *q, const char *name)
{
	return strlen(name) == q->name_len && memcmp(name, q->name, q->name_len) == 0;
}

const char *http_query(http_req_t *r, const char *name, bool *twice)
{
	const char *found = NULL;
	query_pair q = {.at = r->query};
	*twice = false;
	while (query_next(&q)) {
		if (!query_named(&q, name))
			continue;
		const char *value = query_decode(r->arena, q.value, q.value_len);
		if (found || !value)
			*twice = true;
		found = value ? value : found;
	}
	return found;
}

err_t http_query_only(http_req_t *r, const char *const *names)
{
	query_pair q = {.at = r->query};
	while (query_next(&q)) {
		const char *const *n = names;
		while (*n && !query_named(&q, *n))
			n++;
		if (!*n) {
			r->detail = "The query string holds an unknown parameter";
			return ERR_INVALID_REQUEST;
		}
	}
	return ERR_OK;
}
