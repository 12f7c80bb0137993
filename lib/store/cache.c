/* memcached through libmemcached. A memcached_st is not thread-safe and remembers failures in ways
 * of its own, so handles are lent out one thread at a time, and one that failed is thrown away with
 * its connection: a late reply can then never meet another question. A value carries its key in
 * front all the same. Waiting in vain for a handle is a failure of memcached's like any other: those
 * that have one wait for it. */
#include "store/cache.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/parse.h"

#include <libmemcached/memcached.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	KEY_MAX_BYTES = 200,
	VALUE_MAX_BYTES = 512 * 1024,
	TTL_MAX_S = 2592000, /* memcached reads more as a date */
	COUNT_TRIES = 2,
};

struct cache {
	char host[64];
	uint16_t port;
	int64_t timeout_ms;
	breaker_t *breaker;
	pthread_mutex_t lock;
	pthread_cond_t given;
	unsigned idle_count, handles;
	memcached_st *idle[]; /* NULL: to be made */
};

static memcached_st *handle_new(const cache_t *c)
{
	const uint64_t ms = (uint64_t)c->timeout_ms;
	const struct {
		memcached_behavior_t behavior;
		uint64_t value;
	} set[] = {
		{MEMCACHED_BEHAVIOR_NO_BLOCK, 1}, /* or connecting would block */
		{MEMCACHED_BEHAVIOR_TCP_NODELAY, 1},
		{MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, ms},
		{MEMCACHED_BEHAVIOR_POLL_TIMEOUT, ms},
		{MEMCACHED_BEHAVIOR_SND_TIMEOUT, ms * 1000}, /* µs */
		{MEMCACHED_BEHAVIOR_RCV_TIMEOUT, ms * 1000},
	};
	memcached_st *h = memcached_create(NULL);

	BUG_ON(!h);
	for (size_t i = 0; i < sizeof set / sizeof *set; i++)
		memcached_behavior_set(h, set[i].behavior, set[i].value);
	BUG_ON(memcached_server_add(h, c->host, c->port) != MEMCACHED_SUCCESS);
	return h;
}

err_t cache_new(const char *host, uint16_t port, int64_t timeout_ms, const breaker_conf *breaker,
	unsigned handles, cache_t **out)
{
	pthread_condattr_t attr;
	cache_t *c = calloc(1, sizeof *c + handles * sizeof c->idle[0]);

	BUG_ON(!c || handles == 0 || strlen(host) >= sizeof c->host);
	strcpy(c->host, host);
	c->port = port;
	c->timeout_ms = timeout_ms;
	c->breaker = breaker_new(breaker);
	c->handles = c->idle_count = handles;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->given, &attr);
	pthread_condattr_destroy(&attr);
	*out = c;
	return ERR_OK;
}

void cache_free(cache_t **c)
{
	if (!*c)
		return;
	BUG_ON((*c)->idle_count != (*c)->handles);
	for (unsigned i = 0; i < (*c)->handles; i++) {
		if ((*c)->idle[i])
			memcached_free((*c)->idle[i]);
	}
	breaker_free(&(*c)->breaker);
	pthread_cond_destroy(&(*c)->given);
	pthread_mutex_destroy(&(*c)->lock);
	free(*c);
	*c = NULL;
}

/* One question: who may ask it, and with what. */
typedef struct {
	breaker_ticket ticket;
	memcached_st *h;
} question;

static struct timespec deadline_in(int64_t ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	ts.tv_sec += (time_t)(ms / 1000) + ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

static bool take_handle(cache_t *c, memcached_st **out)
{
	struct timespec deadline = deadline_in(c->timeout_ms);
	int rc = 0;
	bool got = false;

	pthread_mutex_lock(&c->lock);
	while (c->idle_count == 0 && rc == 0)
		rc = pthread_cond_timedwait(&c->given, &c->lock, &deadline);
	if (c->idle_count > 0) {
		*out = c->idle[--c->idle_count];
		got = true;
	}
	pthread_mutex_unlock(&c->lock);
	return got;
}

static err_t take(cache_t *c, question *q)
{
	if (!breaker_take(c->breaker, clk_mono_us(), &q->ticket))
		return ERR_CACHE_UNAVAILABLE;
	if (!take_handle(c, &q->h)) {
		breaker_give(c->breaker, &q->ticket, BREAKER_FAILED, clk_mono_us());
		return ERR_CACHE_UNAVAILABLE;
	}
	if (!q->h)
		q->h = handle_new(c);
	return ERR_OK;
}

static void give(cache_t *c, memcached_st *h)
{
	pthread_mutex_lock(&c->lock);
	c->idle[c->idle_count++] = h;
	pthread_cond_signal(&c->given);
	pthread_mutex_unlock(&c->lock);
}

/* Gives the handle back after an answer of any kind. */
static void answered(cache_t *c, const question *q)
{
	breaker_give(c->breaker, &q->ticket, BREAKER_OK, clk_mono_us());
	give(c, q->h);
}

static err_t failed(cache_t *c, const question *q, const char *why)
{
	LOG(DEBUG, "cache.failed", {"port", LOG_U(c->port)}, {"why", LOG_S(why)});
	breaker_give(c->breaker, &q->ticket, BREAKER_FAILED, clk_mono_us());
	METRICS_INC(CACHE_FAILURES);
	memcached_free(q->h);
	give(c, NULL);
	return ERR_CACHE_UNAVAILABLE;
}

/* Keys are ours; a blank in one would be a second command. */
static size_t key_length(const char *key)
{
	size_t n = 0;

	for (; key[n]; n++)
		BUG_ON(key[n] <= ' ' || key[n] > '~');
	BUG_ON(n == 0 || n > KEY_MAX_BYTES);
	return n;
}

err_t cache_get(cache_t *c, const char *key, void *value, size_t *len)
{
	size_t key_len = key_length(key), n = 0;
	memcached_return_t rc;
	question q;
	uint32_t flags;
	err_t e = take(c, &q);

	if (e != ERR_OK)
		return e;
	char *got = memcached_get(q.h, key, key_len, &n, &flags, &rc);
	if (rc == MEMCACHED_NOTFOUND) {
		answered(c, &q);
		return ERR_NOT_FOUND;
	}
	if (rc != MEMCACHED_SUCCESS) {
		e = failed(c, &q, memcached_strerror(q.h, rc));
	} else if (!got || n < key_len + 1 || memcmp(got, key, key_len + 1) != 0) {
		e = failed(c, &q, "the value of another key");
	} else if (answered(c, &q), n - key_len - 1 > *len) {
		e = ERR_NOT_FOUND; /* of another release: as good as none */
	} else {
		*len = n - key_len - 1;
		memcpy(value, got + key_len + 1, *len);
	}
	free(got);
	return e;
}

err_t cache_set(cache_t *c, const char *key, const void *value, size_t len, uint32_t ttl_s)
{
	size_t key_len = key_length(key);
	question q;

	BUG_ON(len > VALUE_MAX_BYTES || ttl_s == 0 || ttl_s > TTL_MAX_S);
	err_t e = take(c, &q);
	if (e != ERR_OK)
		return e;
	char *whole = malloc(key_len + 1 + len);
	BUG_ON(!whole);
	memcpy(whole, key, key_len + 1);
	memcpy(whole + key_len + 1, value, len);
	memcached_return_t rc =
		memcached_set(q.h, key, key_len, whole, key_len + 1 + len, (time_t)ttl_s, 0);
	free(whole);
	if (rc != MEMCACHED_SUCCESS)
		return failed(c, &q, memcached_strerror(q.h, rc));
	answered(c, &q);
	return ERR_OK;
}

static memcached_return_t append_once(memcached_st *h, const char *key, size_t key_len,
	const char *whole, size_t whole_len, uint32_t ttl_s)
{
	memcached_return_t rc = memcached_append(
		h, key, key_len, whole + key_len + 1, whole_len - key_len - 1, 0, 0);

	if (rc != MEMCACHED_NOTSTORED)
		return rc;
	return memcached_add(h, key, key_len, whole, whole_len, (time_t)ttl_s, 0);
}

err_t cache_append(cache_t *c, const char *key, const void *value, size_t len, uint32_t ttl_s)
{
	size_t key_len = key_length(key);
	memcached_return_t rc = MEMCACHED_NOTSTORED;
	question q;

	BUG_ON(len > VALUE_MAX_BYTES || ttl_s == 0 || ttl_s > TTL_MAX_S);
	err_t e = take(c, &q);
	if (e != ERR_OK)
		return e;
	char *whole = malloc(key_len + 1 + len);
	BUG_ON(!whole);
	memcpy(whole, key, key_len + 1);
	memcpy(whole + key_len + 1, value, len);
	/* Not stored by the add: somebody made the value meanwhile. */
	for (int i = 0; i < COUNT_TRIES && rc == MEMCACHED_NOTSTORED; i++)
		rc = append_once(q.h, key, key_len, whole, key_len + 1 + len, ttl_s);
	free(whole);
	if (rc != MEMCACHED_SUCCESS)
		return failed(c, &q, memcached_strerror(q.h, rc));
	answered(c, &q);
	return ERR_OK;
}

err_t cache_evictions(cache_t *c, uint64_t *count)
{
	memcached_return_t rc, got = MEMCACHED_FAILURE;
	question q;
	err_t e = take(c, &q);

	if (e != ERR_OK)
		return e;
	memcached_stat_st *stat = memcached_stat(q.h, NULL, &rc);
	char *text = stat && rc == MEMCACHED_SUCCESS
			     ? memcached_stat_get_value(q.h, stat, "evictions", &got)
			     : NULL;
	bool ok = text && got == MEMCACHED_SUCCESS && parse_u64(text, INT64_MAX, count);
	free(text);
	memcached_stat_free(q.h, stat);
	if (!ok)
		return failed(c, &q, memcached_strerror(q.h, rc));
	answered(c, &q);
	return ERR_OK;
}

err_t cache_delete(cache_t *c, const char *key)
{
	size_t key_len = key_length(key);
	question q;
	err_t e = take(c, &q);

	if (e != ERR_OK)
		return e;
	memcached_return_t rc = memcached_delete(q.h, key, key_len, 0);
	if (rc != MEMCACHED_SUCCESS && rc != MEMCACHED_NOTFOUND)
		return failed(c, &q, memcached_strerror(q.h, rc));
	answered(c, &q);
	return ERR_OK;
}

static memcached_return_t count_once(memcached_st *h, const char *key, size_t key_len, unsigned by,
	uint32_t ttl_s, uint64_t *now)
{
	const char first = (char)('0' + by);
	memcached_return_t rc = memcached_increment(h, key, key_len, by, now);

	if (rc != MEMCACHED_NOTFOUND)
		return rc;
	*now = by;
	return memcached_add(h, key, key_len, &first, 1, (time_t)ttl_s, 0);
}

err_t cache_count(cache_t *c, const char *key, uint32_t ttl_s, uint64_t *now)
{
	return cache_count_by(c, key, 1, ttl_s, now);
}

err_t cache_count_by(cache_t *c, const char *key, unsigned by, uint32_t ttl_s, uint64_t *now)
{
	size_t key_len = key_length(key);
	memcached_return_t rc = MEMCACHED_NOTSTORED;
	question q;
	uint64_t value = 0;

	BUG_ON(ttl_s == 0 || ttl_s > TTL_MAX_S || by == 0 || by > 9);
	err_t e = take(c, &q);
	if (e != ERR_OK)
		return e;
	/* Not stored: somebody made the counter meanwhile. */
	for (int i = 0; i < COUNT_TRIES && rc == MEMCACHED_NOTSTORED; i++)
		rc = count_once(q.h, key, key_len, by, ttl_s, &value);
	if (rc != MEMCACHED_SUCCESS)
		return failed(c, &q, memcached_strerror(q.h, rc));
	answered(c, &q);
	*now = value;
	return ERR_OK;
}
