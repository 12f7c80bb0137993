/* The bots answer 200 with a code of their own when they refuse (too often, wrong signature), so the
 * code decides. An answer is small: more than that is not one. */
#include "store/webhook.h"

#include "base/clk.h"
#include "base/jw.h"
#include "base/logger.h"
#include <curl/curl.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_BYTES = 4096 };

struct webhook {
	webhook_target t;
	CURL *curl;
	size_t len;
	char answer[ANSWER_BYTES];
	char body[WEBHOOK_BODY_BYTES];
};

static void curl_once(void)
{
	BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK);
}

static size_t take_answer(char *p, size_t size, size_t n, void *ctx)
{
	webhook_t *w = ctx;
	size_t bytes = n * size;
	if (bytes > sizeof w->answer - w->len)
		return 0;
	memcpy(w->answer + w->len, p, bytes);
	w->len += bytes;
	return bytes;
}

webhook_t *webhook_new(const webhook_target *t)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	webhook_t *w = calloc(1, sizeof *w);
	BUG_ON(!w);
	pthread_once(&once, curl_once);
	w->t = *t;
	w->curl = curl_easy_init();
	BUG_ON(!w->curl);
	curl_easy_setopt(w->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(w->curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(w->curl, CURLOPT_TIMEOUT_MS, (long)t->timeout_ms);
	curl_easy_setopt(w->curl, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(w->curl, CURLOPT_WRITEDATA, w);
	return w;
}

void webhook_free(webhook_t **w)
{
	if (!*w)
		return;
	curl_easy_cleanup((*w)->curl);
	sodium_memzero(&(*w)->t, sizeof(*w)->t);
	free(*w);
	*w = NULL;
}

/* The bots' scheme: the key is "<seconds>\n<secret>", the message is empty. */
static void sign(const webhook_target *t, int64_t unix_s, char out[64])
{
	crypto_auth_hmacsha256_state st;
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	char key[160];
	int n = snprintf(key, sizeof key, "%" PRId64 "\n%s", unix_s, t->secret);
	BUG_ON(n <= 0 || (size_t)n >= sizeof key);
	crypto_auth_hmacsha256_init(&st, (const uint8_t *)key, (size_t)n);
	crypto_auth_hmacsha256_final(&st, mac);
	sodium_bin2base64(out, 64, mac, sizeof mac, sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(key, sizeof key);
}

size_t webhook_body(
	const webhook_target *t, const char *text, int64_t unix_s, char out[WEBHOOK_BODY_BYTES])
{
	char seconds[24], mac[64];
	jw_t w;
	jw_start_fixed(&w, out, WEBHOOK_BODY_BYTES);
	jw_obj(&w, NULL);
	if (t->secret[0]) {
		snprintf(seconds, sizeof seconds, "%" PRId64, unix_s);
		sign(t, unix_s, mac);
		jw_str(&w, "timestamp", seconds);
		jw_str(&w, "sign", mac);
	}
	jw_str(&w, "msg_type", "text");
	jw_obj(&w, "content");
	jw_str(&w, "text", text);
	jw_obj_end(&w);
	jw_obj_end(&w);
	return jw_end(&w);
}

/* Newer bots say "code", older ones "StatusCode". */
static bool taken(const webhook_t *w, long status)
{
	json_t *o = status == 200 ? json_loadb(w->answer, w->len, 0, NULL) : NULL;
	json_t *code = json_object_get(o, "code");
	if (!code)
		code = json_object_get(o, "StatusCode");
	bool yes = json_is_integer(code) && json_integer_value(code) == 0;
	json_decref(o);
	return yes;
}

err_t webhook_say(webhook_t *w, const char *text)
{
	struct curl_slist *headers =
		curl_slist_append(NULL, "Content-Type: application/json; charset=utf-8");
	size_t n = webhook_body(&w->t, text, clk_wall_ms() / 1000, w->body);
	long status = 0;
	BUG_ON(!headers || n == 0);
	w->len = 0;
	curl_easy_setopt(w->curl, CURLOPT_URL, w->t.url);
	curl_easy_setopt(w->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(w->curl, CURLOPT_POSTFIELDSIZE, (long)n);
	curl_easy_setopt(w->curl, CURLOPT_POSTFIELDS, w->body);
	CURLcode rc = curl_easy_perform(w->curl);
	curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_setopt(w->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	if (rc == CURLE_OK && taken(w, status))
		return ERR_OK;
	LOG(WARN, "webhook.not_taken", {"status", LOG_I(status)},
		{"why", LOG_S(rc == CURLE_OK ? "the bot refuses" : curl_easy_strerror(rc))});
	return ERR_WEBHOOK_UNAVAILABLE;
}
