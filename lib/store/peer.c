/* One curl handle is kept, so its connection is reused. An answer that is no JSON of ours is a call
 * whose outcome is not known: never a refusal. */
#include "store/peer.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/parse.h"
#include "base/signature.h"
#include "store/endpoints.h"
#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_BYTES = 16, URL_BYTES = 400, HEADER_BYTES = 400 };

struct peer {
	peer_target t;
	endpoints_t at;
	CURL *curl;
	char curl_error[CURL_ERROR_SIZE];
	peer_answer answer; /* of the last call */
};

static void curl_once(void)
{
	BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT) != 0);
}

static size_t take_body(char *from, size_t size, size_t n, void *ctx)
{
	peer_answer *a = ctx;
	if (n * size >= sizeof a->body - a->len)
		return 0;
	memcpy(a->body + a->len, from, n * size);
	a->len += n * size;
	a->body[a->len] = 0;
	return n * size;
}

err_t peer_new(const peer_target *t, peer_t **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	peer_t *p = calloc(1, sizeof *p);
	BUG_ON(!p);
	pthread_once(&once, curl_once);
	p->t = *t;
	if (endpoints_read(t->urls, &p->at) != ERR_OK) {
		free(p);
		return ERR_CONFIG_INVALID;
	}
	p->curl = curl_easy_init();
	BUG_ON(!p->curl);
	curl_easy_setopt(p->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(p->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(p->curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(p->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)t->connect_ms);
	curl_easy_setopt(p->curl, CURLOPT_TIMEOUT_MS, (long)t->total_ms);
	curl_easy_setopt(p->curl, CURLOPT_ERRORBUFFER, p->curl_error);
	curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(p->curl, CURLOPT_WRITEDATA, &p->answer);
	*out = p;
	return ERR_OK;
}

void peer_free(peer_t **p)
{
	if (!*p)
		return;
	curl_easy_cleanup((*p)->curl);
	free(*p);
	*p = NULL;
}

static void add_header(struct curl_slist **list, const char *name, const char *value)
{
	char line[HEADER_BYTES];
	const int n = snprintf(line, sizeof line, "%s%s", name, value);
	BUG_ON(n <= 0 || (size_t)n >= sizeof line);
	struct curl_slist *longer = curl_slist_append(*list, line);
	BUG_ON(!longer);
	*list = longer;
}

static CURLcode exchange(
	peer_t *p, const char *path, const char *body, size_t n, const char *traceparent)
{
	char url[URL_BYTES], signature[SIGNATURE_BYTES], id[2 * ID_BYTES + 1];
	uint8_t random[ID_BYTES];
	struct curl_slist *headers = NULL;
	keys_random(random, sizeof random);
	parse_to_hex(random, sizeof random, id);
	signature_make(
		p->t.keys, PEER_WHO, clk_wall_ms() / 1000, id, "POST", path, body, n, signature);
	add_header(&headers, "X-Hb-Signature: ", signature);
	add_header(&headers, "Content-Type: ", "application/json");
	add_header(&headers, "Expect:", "");
	if (traceparent && strlen(traceparent) < 100)
		add_header(&headers, "traceparent: ", traceparent);
	curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(p->curl, CURLOPT_POSTFIELDSIZE, (long)n);
	curl_easy_setopt(p->curl, CURLOPT_POSTFIELDS, body);
	CURLcode rc = CURLE_COULDNT_CONNECT;
	/* The signature says nothing of the address. */
	for (unsigned i = 0; i < p->at.count && rc == CURLE_COULDNT_CONNECT; i++) {
		snprintf(url, sizeof url, "%s%s", endpoints_url(&p->at, i), path);
		curl_easy_setopt(p->curl, CURLOPT_URL, url);
		p->answer = (peer_answer){0};
		p->curl_error[0] = 0;
		rc = curl_easy_perform(p->curl);
		if (rc == CURLE_OK)
			endpoints_begin_with(&p->at, i);
	}
	/* One that takes requests and answers none is not asked first again. */
	if (rc != CURLE_OK)
		endpoints_begin_with(&p->at, 1);
	curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &p->answer.status);
	return rc;
}

/* What a problem+json says; anything else says nothing. */
static err_t problem_of(const peer_answer *a)
{
	err_t e = ERR_OUTCOME_UNKNOWN;
	json_t *o = json_loadb(a->body, a->len, JSON_REJECT_DUPLICATES, NULL);
	const char *code = json_string_value(json_object_get(o, "code"));
	if (code && a->status >= 400)
		e = err_named(code);
	json_decref(o);
	return e;
}

static err_t post(peer_t *p, const char *path, const char *body, size_t n, const char *traceparent,
	peer_answer *out)
{
	const CURLcode rc = exchange(p, path, body, n, traceparent);
	err_t e = ERR_OK;
	if (rc == CURLE_COULDNT_CONNECT)
		e = ERR_CELL_UNAVAILABLE;
	else if (rc != CURLE_OK)
		e = ERR_OUTCOME_UNKNOWN;
	else if (p->answer.status != 200 && p->answer.status != 201)
		e = problem_of(&p->answer);
	if (e == ERR_OK)
		*out = p->answer;
	else if (rc != CURLE_OK || err_http(e) >= 500)
		LOG(WARN, "peer.failed", {"path", LOG_S(path)}, {"status", LOG_I(p->answer.status)},
			{"error", LOG_E(e)}, {"why", LOG_S(p->curl_error)});
	return e;
}

/* All threads of the process share the places. */
static atomic_uint under_way[PEER_CELLS_MAX];

err_t peer_post(peer_t *p, const char *path, unsigned slot, const char *body, size_t n,
	const char *traceparent, peer_answer *out)
{
	/* NOLINTNEXTLINE(*-signed-char-misuse,cert-str34-c): -1: none */
	const int cell = p->t.cell_of_slot[slot];
	BUG_ON(cell < 0 || cell >= PEER_CELLS_MAX);
	const unsigned before = atomic_fetch_add(&under_way[cell], 1);
	const err_t e = before < p->t.most ? post(p, path, body, n, traceparent, out)
					   : ERR_CELL_UNAVAILABLE;
	atomic_fetch_sub(&under_way[cell], 1);
	return e;
}
