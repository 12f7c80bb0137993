/* cache: memcached, never believed about money. A pool of handles with short time-outs and a
 * breaker: calls that it holds back fail at once. Values carry their key and are checked against it,
 * because a reply after a time-out once belonged to another key. Threads: all safe. */
#ifndef HB_STORE_CACHE_H
#define HB_STORE_CACHE_H

#include "base/breaker.h"
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct cache cache_t;

err_t cache_new(const char *host, uint16_t port, int64_t timeout_ms, const breaker_conf *breaker,
	unsigned handles, cache_t **out) MUST_CHECK;
void cache_free(cache_t **c);
/* ERR_NOT_FOUND, ERR_CACHE_UNAVAILABLE. *len: in the room, out the bytes. */
err_t cache_get(cache_t *c, const char *key, void *value, size_t *len) MUST_CHECK;
/* ttl 1..2592000 s. */
err_t cache_set(
	cache_t *c, const char *key, const void *value, size_t len, uint32_t ttl_s) MUST_CHECK;
err_t cache_delete(cache_t *c, const char *key) MUST_CHECK;
/* Puts the bytes behind the value, or makes it; atomic, but a call that failed may have been done.
 * Making it starts ttl_s, which later calls leave as it is. */
err_t cache_append(
	cache_t *c, const char *key, const void *value, size_t len, uint32_t ttl_s) MUST_CHECK;
/* How many values memcached has thrown out before their time since it was started. */
err_t cache_evictions(cache_t *c, uint64_t *count) MUST_CHECK;
/* Adds 1, or `by` (below 10), to a counter that starts at 0 and lives ttl_s; *now is its value
 * after. A hint: a timed-out call may have counted. */
err_t cache_count(cache_t *c, const char *key, uint32_t ttl_s, uint64_t *now) MUST_CHECK;
err_t cache_count_by(
	cache_t *c, const char *key, unsigned by, uint32_t ttl_s, uint64_t *now) MUST_CHECK;

#endif
