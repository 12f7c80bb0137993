/* The control record in etcd, over its JSON gateway: a range to read, a transaction on the key's
 * revision to write. Reading tries the endpoints in turn. Writing goes on to the next one only when
 * the request cannot have been sent: the same compare-and-set sent twice would meet its own first
 * effect and call it a conflict. */
#include "store/control.h"

#include "base/logger.h"
#include "base/parse.h"
#include "store/endpoints.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PREFIX_BYTES = 64,
	KEY_BYTES = 128,
	ANSWER_MAX_BYTES = 65536,
	VALUE_MAX_BYTES = 1024,
	BASE64_BYTES = 2048,
};

struct control {
	CURL *curl;
	struct curl_slist *headers;
	int64_t timeout_ms;
	char prefix[PREFIX_BYTES];
	endpoints_t at;
	char answer[ANSWER_MAX_BYTES];
	size_t answer_len;
};

/* What became of a request at one endpoint. */
enum sent { SENT_ANSWERED, SENT_NEVER, SENT_REFUSED, SENT_PERHAPS };

static const struct {
	control_protection value;
	const char *name;
} protections[] = {{CONTROL_PROTECTED, "protected"}, {CONTROL_UNPROTECTED, "unprotected"}};

static const char *const changes[] = {
	[CONTROL_STEADY] = "",
	[CONTROL_SWITCHING] = "switching",
	[CONTROL_FAILING] = "failing",
	[CONTROL_DRAINED] = "drained",
	[CONTROL_MOVING] = "moving",
};
enum { CHANGES = sizeof changes / sizeof *changes };

bool control_in_sync(const control_record *r, const char *site)
{
	for (unsigned i = 0; i < r->in_sync_count; i++)
		if (!strcmp(r->in_sync[i], site))
			return true;
	return false;
}

static void curl_start(void)
{
	BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT) != 0);
}

static size_t on_answer(char *data, size_t size, size_t n, void *ctx)
{
	control_t *c = ctx;
	size_t bytes = size * n;

	if (bytes > sizeof c->answer - c->answer_len)
		return 0;
	memcpy(c->answer + c->answer_len, data, bytes);
	c->answer_len += bytes;
	return bytes;
}

err_t control_new(const char *endpoints, const char *prefix, int64_t timeout_ms, control_t **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	control_t *c = calloc(1, sizeof *c);

	BUG_ON(!c);
	pthread_once(&once, curl_start);
	c->timeout_ms = timeout_ms;
	if (strlen(prefix) >= sizeof c->prefix || endpoints_read(endpoints, &c->at) != ERR_OK) {
		LOG(ERROR, "control.endpoints", {"endpoints", LOG_S(endpoints)},
			{"prefix", LOG_S(prefix)});
		control_free(&c);
		return ERR_CONFIG_INVALID;
	}
	strcpy(c->prefix, prefix);
	c->curl = curl_easy_init();
	c->headers = curl_slist_append(NULL, "Content-Type: application/json");
	BUG_ON(!c->curl || !c->headers);
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
	*out = c;
	return ERR_OK;
}

void control_free(control_t **c)
{
	if (!*c)
		return;
	curl_easy_cleanup((*c)->curl);
	curl_slist_free_all((*c)->headers);
	free(*c);
	*c = NULL;
}

static enum sent ask_one(control_t *c, const char *endpoint, const char *path, const char *body,
	bool again, int64_t ms)
{
	char url[ENDPOINTS_URL_BYTES + 32];
	long status = 0;

	snprintf(url, sizeof url, "%s%s", endpoint, path);
	c->answer_len = 0;
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	/* On a connection that it had already, curl itself sends again when the answer is missing.
	 */
	curl_easy_setopt(c->curl, CURLOPT_FRESH_CONNECT, again ? 0L : 1L);
	curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, (long)ms);
	curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)ms);
	CURLcode rc = curl_easy_perform(c->curl);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	if (rc == CURLE_OK && status == 200)
		return SENT_ANSWERED;
	LOG(WARN, "control.failed", {"url", LOG_S(url)}, {"status", LOG_I(status)},
		{"why", LOG_S(curl_easy_strerror(rc))});
	if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST)
		return SENT_NEVER;
	return rc == CURLE_OK && status >= 400 && status < 500 ? SENT_REFUSED : SENT_PERHAPS;
}

/* Tries the endpoints in turn, from the one that answered last. `again`: also when an earlier one
 * may have got the request; the time is shared out among them then, so that one that hangs leaves
 * some for the others. */
static enum sent ask(control_t *c, const char *path, const char *body, bool again)
{
	enum sent s = SENT_NEVER;

	for (unsigned i = 0; i < c->at.count; i++) {
		s = ask_one(c, endpoints_url(&c->at, i), path, body, again,
			again ? c->timeout_ms / c->at.count : c->timeout_ms);
		if (s == SENT_ANSWERED)
			endpoints_begin_with(&c->at, i);
		if (s == SENT_ANSWERED || (s != SENT_NEVER && !again))
			break;
	}
	return s;
}

static void key_base64(const control_t *c, const char *cell, char out[BASE64_BYTES])
{
	char key[KEY_BYTES];
	int n = snprintf(key, sizeof key, "%scells/%s", c->prefix, cell);

	BUG_ON(n < 0 || n >= KEY_BYTES);
	sodium_bin2base64(out, BASE64_BYTES, (const unsigned char *)key, (size_t)n,
		sodium_base64_VARIANT_ORIGINAL);
}

static bool copy_site(const char *from, char out[16])
{
	size_t n = strlen(from);

	if (n == 0 || n >= 16)
		return false;
	memcpy(out, from, n + 1);
	return true;
}

static bool read_fields(json_t *value, control_record *r)
{
	const char *primary, *protection, *change = "";
	unsigned under_way = 0;
	json_t *sites;
	json_int_t epoch;

	if (json_unpack(value, "{s:I, s:s, s:o, s:s, s?:s !}", "epoch", &epoch, "primary", &primary,
		    "in_sync", &sites, "protection", &protection, "change", &change) != 0)
		return false;
	while (under_way < CHANGES && strcmp(change, changes[under_way]) != 0)
		under_way++;
	if (under_way == CHANGES)
		return false;
	r->change = (control_change)under_way;
	if (epoch < 1 || !copy_site(primary, r->primary) || !json_is_array(sites) ||
		json_array_size(sites) > CONTROL_MEMBERS_MAX)
		return false;
	r->epoch = (uint64_t)epoch;
	for (size_t i = 0; i < json_array_size(sites); i++) {
		json_t *site = json_array_get(sites, i);
		if (!json_is_string(site) || !copy_site(json_string_value(site), r->in_sync[i]))
			return false;
		r->in_sync_count++;
	}
	for (size_t i = 0; i < sizeof protections / sizeof *protections; i++) {
		if (strcmp(protection, protections[i].name) == 0)
			r->protection = protections[i].value;
	}
	return r->protection != 0;
}

static bool read_value(const char *base64, control_record *r)
{
	unsigned char text[VALUE_MAX_BYTES];
	size_t n = 0;

	if (sodium_base642bin(text, sizeof text, base64, strlen(base64), NULL, &n, NULL,
		    sodium_base64_VARIANT_ORIGINAL) != 0)
		return false;
	json_t *value = json_loadb((const char *)text, n, JSON_REJECT_DUPLICATES, NULL);
	bool ok = value && read_fields(value, r);
	json_decref(value);
	return ok;
}

static bool read_revision(const char *text, int64_t *out)
{
	uint64_t n;

	if (!text || !parse_u64(text, INT64_MAX, &n) || n == 0)
		return false;
	*out = (int64_t)n;
	return true;
}

/* ERR_CONTROL_UNAVAILABLE here: the answer makes no sense. */
static err_t read_range(json_t *answer, control_record *r)
{
	json_t *kv = json_array_get(json_object_get(answer, "kvs"), 0);
	const char *value, *revision;

	if (!json_is_object(json_object_get(answer, "header")))
		return ERR_CONTROL_UNAVAILABLE;
	if (!kv)
		return ERR_NOT_FOUND;
	if (json_unpack(kv, "{s:s, s:s}", "value", &value, "mod_revision", &revision) != 0 ||
		!read_revision(revision, &r->revision) || !read_value(value, r))
		return ERR_CONTROL_UNAVAILABLE;
	return ERR_OK;
}

err_t control_get(control_t *c, const char *cell, control_record *out)
{
	char key[BASE64_BYTES], body[BASE64_BYTES + 32];
	control_record r = {0};

	key_base64(c, cell, key);
	snprintf(body, sizeof body, "{\"key\":\"%s\"}", key);
	if (ask(c, "/v3/kv/range", body, true) != SENT_ANSWERED)
		return ERR_CONTROL_UNAVAILABLE;
	json_t *answer = json_loadb(c->answer, c->answer_len, JSON_REJECT_DUPLICATES, NULL);
	err_t e = read_range(answer, &r);
	json_decref(answer);
	if (e == ERR_OK)
		*out = r;
	else if (e == ERR_CONTROL_UNAVAILABLE)
		LOG(ERROR, "control.malformed", {"cell", LOG_S(cell)});
	return e;
}

static void value_base64(const control_record *r, char out[BASE64_BYTES])
{
	const char *protection = NULL;
	json_t *sites = json_array();

	for (size_t i = 0; i < sizeof protections / sizeof *protections; i++) {
		if (protections[i].value == r->protection)
			protection = protections[i].name;
	}
	BUG_ON(!protection || r->epoch == 0 || !r->primary[0] || (unsigned)r->change >= CHANGES ||
		r->in_sync_count > CONTROL_MEMBERS_MAX);
	for (unsigned i = 0; i < r->in_sync_count; i++)
		json_array_append_new(sites, json_string(r->in_sync[i]));
	json_t *value = json_pack("{s:I, s:s, s:o, s:s}", "epoch", (json_int_t)r->epoch, "primary",
		r->primary, "in_sync", sites, "protection", protection);
	BUG_ON(!value);
	if (r->change != CONTROL_STEADY)
		json_object_set_new(value, "change", json_string(changes[r->change]));
	char *text = json_dumps(value, JSON_COMPACT);
	BUG_ON(!text || strlen(text) > VALUE_MAX_BYTES);
	sodium_bin2base64(out, BASE64_BYTES, (const unsigned char *)text, strlen(text),
		sodium_base64_VARIANT_ORIGINAL);
	free(text);
	json_decref(value);
}

/* The gateway leaves fields out that have their default value: no "succeeded" is false. */
static err_t read_put_answer(control_t *c, control_record *rec)
{
	json_t *answer = json_loadb(c->answer, c->answer_len, JSON_REJECT_DUPLICATES, NULL);
	json_t *header = json_object_get(answer, "header");
	const char *revision = json_string_value(json_object_get(header, "revision"));
	err_t e = ERR_OK;
	int64_t now = 0;

	if (!answer || !read_revision(revision, &now))
		e = ERR_OUTCOME_UNKNOWN;
	else if (!json_is_true(json_object_get(answer, "succeeded")))
		e = ERR_CONTROL_CONFLICT;
	else
		rec->revision = now;
	json_decref(answer);
	return e;
}

err_t control_put(control_t *c, const char *cell, control_record *rec)
{
	char key[BASE64_BYTES], value[BASE64_BYTES], body[3 * BASE64_BYTES + 256];

	key_base64(c, cell, key);
	value_base64(rec, value);
	/* Revision 0: the key does not exist. */
	int n = snprintf(body, sizeof body,
		"{\"compare\":[{\"key\":\"%s\",\"target\":\"MOD\",\"result\":\"EQUAL\","
		"\"mod_revision\":\"%lld\"}],"
		"\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\"}}]}",
		key, (long long)rec->revision, key, value);
	BUG_ON(n < 0 || (size_t)n >= sizeof body);
	switch (ask(c, "/v3/kv/txn", body, false)) {
	case SENT_ANSWERED:
		return read_put_answer(c, rec);
	case SENT_PERHAPS:
		return ERR_OUTCOME_UNKNOWN;
	default:
		return ERR_CONTROL_UNAVAILABLE;
	}
}
