/* The client of finance over HTTP. One curl handle is kept, so its connection is reused. What comes
 * back counts only when finance signed it for this very request: a proxy's error page, a stale or a
 * cut-off answer is a call whose outcome is unknown, never a refusal. */
#include "store/finance.h"

#include "base/clk.h"
#include "base/jw.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "store/endpoints.h"
#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ANSWER_MAX_BYTES = 65536,
	STATEMENT_MAX_BYTES = 4 << 20, /* of one part: 10,000 lines have some 700 KB */
	STATEMENT_TOTAL_MS = 60000,
	REQUEST_MAX_BYTES = 4096,
	PATH_BYTES = 300,
	ID_BYTES = 16,
	ANSWER_SKEW_S = 300,
	LOG_EVERY_MS = 1000,
};
enum { CALL_OK, CALL_REFUSED, CALL_UNKNOWN, CALL_LIMITED };

static const char SIGNATURE_HEADER[] = "X-Finance-Signature:";

struct finance {
	finance_target t;
	endpoints_t at;
	char prefix[ENDPOINTS_URL_BYTES]; /* their path, which is signed with the rest */
	CURL *curl;
	int64_t quiet_until_ms; /* of the log while finance is away */
	uint64_t unlogged;
	char curl_error[CURL_ERROR_SIZE];
	char signature[256]; /* of the last answer */
	size_t len, room;
	char *body; /* the last answer, zero-terminated; has room for `room` bytes and the zero */
};

/* One request and what came back; the body stays in finance_t. */
typedef struct {
	const char *method;
	char path[PATH_BYTES]; /* with the prefix */
	const char *body;
	size_t len;
	char id[2 * ID_BYTES + 1];
	uint64_t order_no;
	finance_kind kind;
	finance_op op;
	long status; /* 0: no answer that counts */
} call_t;

static void curl_once(void)
{
	BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK);
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
	finance_t *f = ctx;
	if (n * size > f->room - f->len)
		return 0;
	memcpy(f->body + f->len, p, n * size);
	f->len += n * size;
	return n * size;
}

static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
	finance_t *f = ctx;
	size_t len = n * size, name = sizeof SIGNATURE_HEADER - 1;
	if (len < name || strncasecmp(p, SIGNATURE_HEADER, name) != 0)
		return len;
	const char *from = p + name, *to = p + len;
	while (from < to && *from == ' ')
		from++;
	while (to > from && (to[-1] == '\r' || to[-1] == '\n' || to[-1] == ' '))
		to--;
	if ((size_t)(to - from) < sizeof f->signature) {
		memcpy(f->signature, from, (size_t)(to - from));
		f->signature[to - from] = 0;
	}
	return len;
}

static void set_options(finance_t *f)
{
	CURL *c = f->curl;
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)f->t.connect_ms);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)f->t.total_ms);
	if (f->t.agent[0])
		curl_easy_setopt(c, CURLOPT_USERAGENT, f->t.agent);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->curl_error);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, f);
}

static void set_room(finance_t *f, size_t bytes)
{
	if (bytes <= f->room)
		return;
	f->body = realloc(f->body, bytes + 1);
	BUG_ON(!f->body);
	f->room = bytes;
}

/* NULL: it is no address. */
static const char *path_of(const char *url)
{
	const char *host = strstr(url, "://"), *path = host ? strchr(host + 3, '/') : NULL;
	return path || !host ? path : host + strlen(host);
}

static bool same_path(const endpoints_t *at)
{
	const char *first = path_of(at->url[0]);
	bool same = first != NULL;
	for (unsigned i = 1; i < at->count && same; i++) {
		const char *path = path_of(at->url[i]);
		same = path && strcmp(path, first) == 0;
	}
	return same;
}

err_t finance_new(const finance_target *t, finance_t **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	endpoints_t at = {0};
	if (!t->mock && (!t->keys || !t->merchant[0] || endpoints_read(t->urls, &at) != ERR_OK ||
				!same_path(&at)))
		return ERR_CONFIG_INVALID;
	finance_t *f = calloc(1, sizeof *f);
	BUG_ON(!f);
	f->t = *t;
	set_room(f, ANSWER_MAX_BYTES);
	f->at = at;
	if (!t->mock) {
		snprintf(f->prefix, sizeof f->prefix, "%s", path_of(at.url[0]));
		pthread_once(&once, curl_once);
		f->curl = curl_easy_init();
		BUG_ON(!f->curl);
		set_options(f);
	}
	*out = f;
	return ERR_OK;
}

void finance_free(finance_t **f)
{
	if (!*f)
		return;
	if ((*f)->curl)
		curl_easy_cleanup((*f)->curl);
	free((*f)->body);
	free(*f);
	*f = NULL;
}

static void add_header(struct curl_slist **list, const char *name, const char *value)
{
	char line[400];
	int n = snprintf(line, sizeof line, "%s%s", name, value);
	BUG_ON(n <= 0 || (size_t)n >= sizeof line);
	struct curl_slist *longer = curl_slist_append(*list, line);
	BUG_ON(!longer);
	*list = longer;
}

static struct curl_slist *request_headers(const finance_t *f, const call_t *c)
{
	struct curl_slist *list = NULL;
	char signature[256];
	finance_sign(f->t.keys, f->t.merchant, clk_wall_ms() / 1000, c->id, c->method, c->path,
		c->body, c->len, signature);
	add_header(&list, "X-Finance-Signature: ", signature);
	add_header(&list, "Content-Type: ", "application/json");
	add_header(&list, "Expect:", "");
	if (trace_parent())
		add_header(&list, "traceparent: ", trace_parent());
	return list;
}

/* While finance is away every call fails: a line a second says as much. */
static void log_unavailable(finance_t *f, const call_t *c, CURLcode rc, long http)
{
	const char *why = "the answer is not finance's";
	if (clk_mono_ms() < f->quiet_until_ms) {
		f->unlogged++;
		return;
	}
	if (rc != CURLE_OK)
		why = f->curl_error[0] ? f->curl_error : curl_easy_strerror(rc);
	LOG(WARN, "finance.unavailable", {"path", LOG_S(c->path)}, {"status", LOG_I(http)},
		{"why", LOG_S(why)}, {"unlogged", LOG_U(f->unlogged)});
	f->quiet_until_ms = clk_mono_ms() + LOG_EVERY_MS;
	f->unlogged = 0;
}

/* ERR_OK: finance itself answered this request; c->status and f->body are its word. */
/* At the first address that can be reached: what was not sent may go elsewhere. */
static CURLcode perform(finance_t *f, const call_t *c)
{
	char url[ENDPOINTS_URL_BYTES + PATH_BYTES];
	CURLcode rc = CURLE_COULDNT_CONNECT;
	for (unsigned i = 0; i < f->at.count && rc == CURLE_COULDNT_CONNECT; i++) {
		snprintf(url, sizeof url, "%s%s", endpoints_url(&f->at, i),
			c->path + strlen(f->prefix));
		curl_easy_setopt(f->curl, CURLOPT_URL, url);
		f->len = 0;
		f->signature[0] = f->curl_error[0] = 0;
		rc = curl_easy_perform(f->curl);
		if (rc == CURLE_OK)
			endpoints_begin_with(&f->at, i);
	}
	/* One that takes requests and answers none is not asked first again. */
	if (rc != CURLE_OK)
		endpoints_begin_with(&f->at, 1);
	return rc;
}

static err_t exchange(finance_t *f, call_t *c)
{
	char status[16], id[65];
	uint8_t random[ID_BYTES];
	keys_random(random, sizeof random);
	parse_to_hex(random, sizeof random, c->id);
	struct curl_slist *headers = request_headers(f, c);
	curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, headers);
	if (strcmp(c->method, "GET") == 0) {
		curl_easy_setopt(f->curl, CURLOPT_HTTPGET, 1L);
	} else {
		curl_easy_setopt(f->curl, CURLOPT_POSTFIELDSIZE, (long)c->len);
		curl_easy_setopt(f->curl, CURLOPT_POSTFIELDS, c->body);
	}
	CURLcode rc = perform(f, c);
	curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	f->body[f->len] = 0;
	long http = 0;
	curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &http);
	snprintf(status, sizeof status, "%ld", http);
	if (rc == CURLE_OK &&
		finance_verify(f->t.keys, f->t.merchant, clk_wall_ms() / 1000, ANSWER_SKEW_S,
			f->signature, status, c->path, f->body, f->len, id) == ERR_OK &&
		strcmp(id, c->id) == 0) {
		c->status = http;
		return ERR_OK;
	}
	log_unavailable(f, c, rc, http);
	return ERR_FINANCE_UNAVAILABLE;
}

static err_t understand(finance_t *f, const call_t *c, finance_answer *a)
{
	char code[FINANCE_CODE_BYTES];
	const err_t err =
		finance_parse_answer(c->kind, c->order_no, c->status, f->body, f->len, a, code);
	if (err != ERR_OK)
		LOG(WARN, "finance.answer", {"path", LOG_S(c->path)}, {"status", LOG_I(c->status)},
			{"code", LOG_S(code)});
	return err;
}

static err_t call(finance_t *f, call_t *c, finance_answer *a)
{
	finance_answer got = {0};
	if (f->t.limits && finance_limits_take(f->t.limits, c->op) != ERR_OK) {
		metrics_add(METRICS_FINANCE_CALLS, CALL_LIMITED, 1);
		return ERR_FINANCE_UNAVAILABLE;
	}
	int64_t from_us = clk_mono_us();
	err_t err = exchange(f, c);
	if (f->t.limits)
		finance_limits_give(f->t.limits, c->op, err == ERR_OK);
	if (err == ERR_OK)
		err = understand(f, c, &got);
	metrics_observe_us(METRICS_FINANCE_SECONDS, clk_mono_us() - from_us);
	bool refused =
		err == ERR_ORDER_CONFLICT || (err == ERR_OK && got.outcome == FINANCE_REFUSED);
	metrics_add(METRICS_FINANCE_CALLS,
		refused         ? CALL_REFUSED
		: err == ERR_OK ? CALL_OK
				: CALL_UNKNOWN,
		1);
	if (err == ERR_OK)
		*a = got;
	return err;
}

static err_t mock(finance_kind kind, bool submitted, int64_t amount_fen, finance_answer *a)
{
	bool awaits_payer = submitted && kind == FINANCE_PAYMENT;
	*a = (finance_answer){
		.outcome = awaits_payer ? FINANCE_PENDING : FINANCE_DONE, .amount_fen = amount_fen};
	if (awaits_payer)
		snprintf(a->cashier_url, sizeof a->cashier_url, "mock:");
	metrics_add(METRICS_FINANCE_CALLS, CALL_OK, 1);
	metrics_observe_us(METRICS_FINANCE_SECONDS, 0);
	return ERR_OK;
}

static size_t order_json(const finance_t *f, const finance_order *o, char *out, size_t room)
{
	jw_t w;
	jw_start_fixed(&w, out, room);
	jw_obj(&w, NULL);
	jw_str(&w, "merchant", f->t.merchant);
	jw_id(&w, "order_no", o->order_no);
	jw_id(&w, "uid", o->uid);
	jw_money(&w, "amount", o->amount_fen);
	if (o->payment_no)
		jw_id(&w, "payment_no", o->payment_no);
	if (o->expires_at_ms)
		jw_time(&w, "expires_at", o->expires_at_ms);
	if (o->subject && o->subject[0])
		jw_str(&w, "subject", o->subject);
	if (o->return_url && o->return_url[0])
		jw_str(&w, "return_url", o->return_url);
	if (o->notify_url && o->notify_url[0])
		jw_str(&w, "notify_url", o->notify_url);
	jw_obj_end(&w);
	return jw_end(&w);
}

err_t finance_submit(finance_t *f, finance_kind kind, const finance_order *o, finance_answer *a)
{
	char body[REQUEST_MAX_BYTES];
	finance_answer got;
	BUG_ON(o->order_no == 0 || o->uid == 0 || o->amount_fen <= 0);
	if (f->t.mock)
		return mock(kind, true, o->amount_fen, a);
	_Static_assert((int)FINANCE_OP_WITHDRAWAL == (int)FINANCE_WITHDRAWAL, "ops are kinds");
	call_t c = {.method = "POST",
		.kind = kind,
		.op = (finance_op)kind,
		.order_no = o->order_no,
		.body = body};
	snprintf(c.path, sizeof c.path, "%s/finance/v1/%ss", f->prefix, finance_kind_name(kind));
	c.len = order_json(f, o, body, sizeof body);
	if (!c.len)
		return ERR_INVALID_FIELD;
	err_t err = call(f, &c, &got);
	if (err != ERR_OK)
		return err;
	if (got.outcome == FINANCE_NOT_KNOWN)
		return ERR_FINANCE_UNAVAILABLE;
	if (got.amount_fen != o->amount_fen && got.amount_fen != 0) {
		LOG(ERROR, "finance.amount", {"order_no", LOG_U(o->order_no)},
			{"kind", LOG_S(finance_kind_name(kind))});
		return ERR_ORDER_CONFLICT;
	}
	*a = got;
	return ERR_OK;
}

err_t finance_query(finance_t *f, finance_kind kind, uint64_t order_no, finance_answer *a)
{
	if (f->t.mock)
		return mock(kind, false, 0, a);
	call_t c = {.method = "GET", .kind = kind, .order_no = order_no, .body = ""};
	snprintf(c.path, sizeof c.path, "%s/finance/v1/%ss/%llu", f->prefix,
		finance_kind_name(kind), (unsigned long long)order_no);
	return call(f, &c, a);
}

err_t finance_close(finance_t *f, uint64_t order_no, finance_answer *a)
{
	char body[REQUEST_MAX_BYTES];
	jw_t w;
	if (f->t.mock)
		return mock(FINANCE_PAYMENT, false, 0, a);
	jw_start_fixed(&w, body, sizeof body);
	jw_obj(&w, NULL);
	jw_str(&w, "merchant", f->t.merchant);
	jw_obj_end(&w);
	call_t c = {.method = "POST",
		.kind = FINANCE_PAYMENT,
		.order_no = order_no,
		.body = body,
		.len = jw_end(&w)};
	snprintf(c.path, sizeof c.path, "%s/finance/v1/payments/%llu/close", f->prefix,
		(unsigned long long)order_no);
	return call(f, &c, a);
}

err_t finance_statement(finance_t *f, const char *day, uint64_t after, const char **text, size_t *n)
{
	static const char nothing[] = "#end\n";
	if (f->t.mock) {
		*text = nothing;
		*n = sizeof nothing - 1;
		return ERR_OK;
	}
	call_t c = {.method = "GET", .body = ""};
	snprintf(c.path, sizeof c.path, "%s/finance/v1/statements/%s?after=%llu", f->prefix, day,
		(unsigned long long)after);
	set_room(f, STATEMENT_MAX_BYTES);
	curl_easy_setopt(f->curl, CURLOPT_TIMEOUT_MS, (long)STATEMENT_TOTAL_MS);
	err_t err = exchange(f, &c);
	curl_easy_setopt(f->curl, CURLOPT_TIMEOUT_MS, (long)f->t.total_ms);
	if (err == ERR_OK && c.status != 200) {
		LOG(WARN, "finance.statement", {"path", LOG_S(c.path)},
			{"status", LOG_I(c.status)});
		err = ERR_FINANCE_UNAVAILABLE;
	}
	if (err == ERR_OK) {
		*text = f->body;
		*n = f->len;
	}
	return err;
}
