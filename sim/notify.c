/* One thread and curl's multi interface: a receiver that hangs holds a slot, not the others. The
 * book remembers what is to be sent, so this thread may be killed at any moment: at worst a
 * callback is sent again, under the same event id. */
#include "sim/notify.h"

#include "base/clk.h"
#include "base/logger.h"
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SLOTS = 32,
	LOOK_MAX_MS = 1000,
	CONNECT_MS = 1000,
	TOTAL_MS = 5000,
	ANSWER_MAX_BYTES = 65536,
	ID_ROOM = 65,
};

typedef struct {
	CURL *easy;
	struct curl_slist *headers;
	size_t answer_bytes;
	bool busy;
	book_event event;
} slot_t;

struct notify {
	const keys_ring_t *keys;
	const char *merchant;
	book_t *book;
	CURLM *multi;
	slot_t slot[SLOTS];
	book_event due[2 * SLOTS];
	atomic_bool stopping;
	bool started;
	pthread_t thread;
};

static size_t drop_answer(char *p, size_t size, size_t n, void *ctx)
{
	slot_t *s = ctx;
	(void)p;
	s->answer_bytes += size * n;
	return s->answer_bytes <= ANSWER_MAX_BYTES ? size * n : 0;
}

static void slot_open(slot_t *s)
{
	s->easy = curl_easy_init();
	BUG_ON(!s->easy);
	curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(s->easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(s->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, (long)TOTAL_MS);
	curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, drop_answer);
	curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
}

/* The request target of a URL: what stands behind the host. */
static const char *target_of(const char *url)
{
	const char *host = strstr(url, "://"), *path = host ? strchr(host + 3, '/') : NULL;
	return path ? path : "/";
}

static void slot_send(notify_t *n, slot_t *s, const book_event *e)
{
	static const char *const fixed[] = {"Content-Type: application/json", "Expect:"};
	char signature[256], line[300];
	s->event = *e;
	s->answer_bytes = 0;
	s->busy = true;
	finance_sign(n->keys, n->merchant, clk_wall_ms() / 1000, e->event_id, "POST",
		target_of(e->url), s->event.body, strlen(s->event.body), signature);
	snprintf(line, sizeof line, "X-Finance-Signature: %s", signature);
	s->headers = curl_slist_append(NULL, line);
	if (s->event.trace[0]) {
		snprintf(line, sizeof line, "traceparent: %s", s->event.trace);
		BUG_ON(!curl_slist_append(s->headers, line));
	}
	for (unsigned i = 0; s->headers && i < sizeof fixed / sizeof fixed[0]; i++)
		BUG_ON(!curl_slist_append(s->headers, fixed[i]));
	BUG_ON(!s->headers);
	curl_easy_setopt(s->easy, CURLOPT_URL, s->event.url);
	curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
	curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, s->event.body);
	BUG_ON(curl_multi_add_handle(n->multi, s->easy) != CURLM_OK);
}

static void slot_end(notify_t *n, slot_t *s)
{
	curl_multi_remove_handle(n->multi, s->easy);
	curl_slist_free_all(s->headers);
	s->headers = NULL;
	s->busy = false;
}

/* A free slot for the event; NULL when it is on its way already or all slots are busy. */
static slot_t *slot_for(notify_t *n, const book_event *e)
{
	slot_t *found = NULL;
	for (unsigned i = 0; i < SLOTS; i++) {
		slot_t *s = &n->slot[i];
		if (s->busy && strcmp(s->event.event_id, e->event_id) == 0)
			return NULL;
		if (!s->busy && !found)
			found = s;
	}
	return found;
}

/* Returns how long there is nothing new to start. */
static int64_t start_due(notify_t *n)
{
	unsigned count = 0;
	int64_t next_ms = 0;
	if (book_events_due(n->book, n->due, 2 * SLOTS, &count, &next_ms) != ERR_OK)
		return LOOK_MAX_MS;
	for (unsigned i = 0; i < count; i++) {
		slot_t *s = slot_for(n, &n->due[i]);
		if (s)
			slot_send(n, s, &n->due[i]);
	}
	int64_t wait_ms = next_ms ? next_ms - clk_wall_ms() : LOOK_MAX_MS;
	return wait_ms < 0 ? 0 : wait_ms > LOOK_MAX_MS ? LOOK_MAX_MS : wait_ms;
}

/* True when some came back. */
static bool note_finished(notify_t *n)
{
	book_delivery done[SLOTS];
	unsigned count = 0;
	int left;
	for (CURLMsg *m; count < SLOTS && (m = curl_multi_info_read(n->multi, &left));) {
		long status = 0;
		slot_t *s = NULL;
		CURLcode rc = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
		curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		book_delivery *d = &done[count++];
		memcpy(d->event_id, s->event.event_id, ID_ROOM);
		d->delivered = rc == CURLE_OK && status == 204;
		trace_begin(NULL, s->event.trace[0] ? s->event.trace : NULL);
		if (d->delivered)
			LOG_STEP("notify.taken", {"event_id", LOG_S(d->event_id)});
		else
			LOG(WARN, "notify.failed", {"event_id", LOG_S(d->event_id)},
				{"status", LOG_I(status)}, {"why", LOG_S(curl_easy_strerror(rc))});
		trace_end();
		slot_end(n, s);
	}
	if (count && book_events_tried(n->book, done, count) != ERR_OK)
		LOG(ERROR, "notify.unnoted", {"count", LOG_U(count)});
	return count > 0;
}

static void *notify_main(void *arg)
{
	notify_t *n = arg;
	while (!atomic_load(&n->stopping)) {
		int running;
		int64_t wait_ms = start_due(n);
		curl_multi_perform(n->multi, &running);
		if (!note_finished(n))
			curl_multi_poll(n->multi, NULL, 0, (int)wait_ms, NULL);
	}
	return NULL;
}

notify_t *notify_new(const keys_ring_t *keys, const char *merchant)
{
	notify_t *n = calloc(1, sizeof *n);
	BUG_ON(!n || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK);
	n->keys = keys;
	n->merchant = merchant;
	n->multi = curl_multi_init();
	BUG_ON(!n->multi);
	for (unsigned i = 0; i < SLOTS; i++)
		slot_open(&n->slot[i]);
	return n;
}

err_t notify_start(notify_t *n, book_t *b)
{
	n->book = b;
	n->started = pthread_create(&n->thread, NULL, notify_main, n) == 0;
	return n->started ? ERR_OK : ERR_INTERNAL;
}

void notify_wake(void *n)
{
	curl_multi_wakeup(((notify_t *)n)->multi);
}

void notify_quiet(notify_t *n)
{
	atomic_store(&n->stopping, true);
	notify_wake(n);
	if (n->started)
		pthread_join(n->thread, NULL);
	n->started = false;
}

void notify_free(notify_t **np)
{
	notify_t *n = *np;
	if (!n)
		return;
	notify_quiet(n);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (n->slot[i].busy)
			slot_end(n, &n->slot[i]);
		curl_easy_cleanup(n->slot[i].easy);
	}
	curl_multi_cleanup(n->multi);
	curl_global_cleanup();
	free(n);
	*np = NULL;
}
