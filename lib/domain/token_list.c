/* Tokens are appended to one value per user and day, which is atomic: two processes that win for
 * one user at once lose nothing, and no value has to be read to be written. Old days end by
 * themselves. The tokens are the sealed ones, so that whoever can write to memcached still cannot
 * make money.
 *
 * The proof is three small values. `tl:birth` is made by `add` and lost with memcached's memory, so
 * it cannot be older than what memcached remembers; it also holds the count of evictions at that
 * time, and is made anew when that has risen. `tl:live:<n>` is a writer's word that it missed
 * nothing since a time, believed for a short while only. `tl:done` is the consumer's. A reader
 * takes `done` first and `birth` last, with the lists between them. */
#include "domain/token_list.h"

#include "base/logger.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DAY_MS = 86400000,
	KEY_BYTES = 64,
	PROOF_BYTES = 64,
	KEPT_S = TOKEN_LIST_DAYS * 86400 + 86400,
	FOR_EVER_S = 2592000, /* renewed all the time; memcached knows no more */
	LIST_BYTES = TOKEN_LIST_MAX * TOKEN_TEXT_BYTES,
};

#define BIRTH_KEY "tl:birth"
#define DONE_KEY "tl:done"

struct token_list {
	cache_t *cache;
	char live_key[KEY_BYTES];
	int64_t since_ms; /* this writer missed nothing since; 0: not yet looked. keep's own */
	pthread_mutex_t lock;
	bool hole;                 /* not yet written off by a keep */
	int64_t believed_until_ms; /* by readers, at the latest; never rises while there is a hole */
};

/* Two numbers of a proof. */
typedef struct {
	int64_t a, b;
} proof;

static err_t proof_get(cache_t *cache, const char *key, proof *out)
{
	char text[PROOF_BYTES];
	size_t n = sizeof(text) - 1;
	err_t e = cache_get(cache, key, text, &n);

	if (e != ERR_OK)
		return e;
	text[n] = '\0';
	return sscanf(text, "%" SCNd64 " %" SCNd64, &out->a, &out->b) == 2 ? ERR_OK : ERR_NOT_FOUND;
}

static err_t proof_set(cache_t *cache, const char *key, proof p)
{
	char text[PROOF_BYTES];
	int n = snprintf(text, sizeof(text), "%" PRId64 " %" PRId64, p.a, p.b);

	return cache_set(cache, key, text, (size_t)n, FOR_EVER_S);
}

static void list_key(uint64_t uid, int64_t day, char out[KEY_BYTES])
{
	snprintf(out, KEY_BYTES, "tl:%" PRIu64 ":%" PRId64, uid, day);
}

static void live_key(unsigned instance, char out[KEY_BYTES])
{
	snprintf(out, KEY_BYTES, "tl:live:%u", instance);
}

token_list_t *token_list_new(cache_t *cache, unsigned instance, int64_t now_ms)
{
	token_list_t *l = calloc(1, sizeof(*l));

	BUG_ON(!l);
	l->cache = cache;
	/* The word of whoever was here before may be alive. */
	l->believed_until_ms = now_ms + TOKEN_LIST_LEFT_MS;
	pthread_mutex_init(&l->lock, NULL);
	live_key(instance, l->live_key);
	return l;
}

void token_list_free(token_list_t **l)
{
	if (!*l)
		return;
	pthread_mutex_destroy(&(*l)->lock);
	free(*l);
	*l = NULL;
}

err_t token_list_put(token_list_t *l, uint64_t uid, const char *token, int64_t now_ms)
{
	char key[KEY_BYTES], line[TOKEN_TEXT_BYTES];
	int n = snprintf(line, sizeof(line), "%s\n", token);

	BUG_ON(n <= 1 || (size_t)n >= sizeof(line));
	list_key(uid, now_ms / DAY_MS, key);
	err_t e = cache_append(l->cache, key, line, (size_t)n, KEPT_S);
	if (e != ERR_OK) {
		pthread_mutex_lock(&l->lock);
		l->hole = true;
		pthread_mutex_unlock(&l->lock);
	}
	return e;
}

/* Whoever sees the birth missing or too old for the evictions makes it; several may. */
static err_t keep_birth(token_list_t *l, int64_t now_ms)
{
	uint64_t evictions;
	proof birth;
	err_t e = cache_evictions(l->cache, &evictions);

	if (e != ERR_OK)
		return e;
	e = proof_get(l->cache, BIRTH_KEY, &birth);
	if (e == ERR_OK && birth.b == (int64_t)evictions)
		return ERR_OK;
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	LOG(WARN, "token_list.birth", {"evictions", LOG_U(evictions)});
	return proof_set(l->cache, BIRTH_KEY, (proof){now_ms, (int64_t)evictions});
}

/* A word that is still believed still holds: its writer answered nobody whom it does not cover. */
static err_t take_over(token_list_t *l, int64_t now_ms)
{
	proof left = {0, 0};
	err_t e = proof_get(l->cache, l->live_key, &left);

	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	l->since_ms = left.b >= now_ms ? left.a : now_ms;
	pthread_mutex_lock(&l->lock);
	l->believed_until_ms = left.b;
	pthread_mutex_unlock(&l->lock);
	return ERR_OK;
}

static int64_t hold_ms(const token_list_t *l, int64_t now_ms)
{
	int64_t left = l->believed_until_ms + TOKEN_LIST_SKEW_MS - now_ms;

	return left > 0 ? left : 0;
}

/* False while a hole has to be waited out; it ends when nobody believes the last word. What is
 * about to be said counts before it is: a set that failed may have been done. */
static bool may_say(token_list_t *l, int64_t now_ms, int64_t until_ms)
{
	pthread_mutex_lock(&l->lock);
	bool may = !l->hole || hold_ms(l, now_ms) == 0;
	if (may) {
		if (l->hole)
			l->since_ms = now_ms;
		l->hole = false;
		l->believed_until_ms = until_ms;
	}
	pthread_mutex_unlock(&l->lock);
	return may;
}

void token_list_keep(token_list_t *l, int64_t now_ms, bool leaving)
{
	int64_t until_ms = now_ms + (leaving ? TOKEN_LIST_LEFT_MS : TOKEN_LIST_BELIEVED_MS);
	err_t e = l->since_ms ? ERR_OK : take_over(l, now_ms);

	if (e == ERR_OK)
		e = keep_birth(l, now_ms);
	if (e == ERR_OK && may_say(l, now_ms, until_ms))
		e = proof_set(l->cache, l->live_key, (proof){l->since_ms, until_ms});
	if (e != ERR_OK)
		LOG(DEBUG, "token_list.unproved", {"error", LOG_E(e)});
}

int64_t token_list_hold_ms(token_list_t *l, int64_t now_ms)
{
	pthread_mutex_lock(&l->lock);
	int64_t left = hold_ms(l, now_ms);
	pthread_mutex_unlock(&l->lock);
	return left;
}

err_t token_list_drained(cache_t *cache, int64_t until_ms)
{
	return proof_set(cache, DONE_KEY, (proof){until_ms, 0});
}

typedef struct {
	const keys_ring_t *keys;
	uint64_t uid;
	token_list_entry *out;
	size_t count;
	bool whole;
	err_t error; /* of memcached */
} reading;

static bool known(const reading *r, const token_win *win)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->out[i].win.out_order_no, win->out_order_no) == 0)
			return true;
	return false;
}

static void read_line(reading *r, const char *line, size_t n)
{
	char token[TOKEN_TEXT_BYTES];
	token_win win;

	if (n >= sizeof(token)) {
		r->whole = false;
		return;
	}
	memcpy(token, line, n);
	token[n] = '\0';
	/* One that does not open is none of ours, or sealed under a key that is gone. */
	if (token_open(r->keys, r->uid, token, &win) != ERR_OK) {
		r->whole = false;
		return;
	}
	if (known(r, &win))
		return;
	if (r->count == TOKEN_LIST_MAX) {
		r->whole = false;
		return;
	}
	r->out[r->count].win = win;
	memcpy(r->out[r->count].token, token, n + 1);
	r->count++;
}

static void read_day(cache_t *cache, reading *r, int64_t day)
{
	char key[KEY_BYTES];
	size_t n = LIST_BYTES;
	char *text = malloc(n);

	BUG_ON(!text);
	list_key(r->uid, day, key);
	err_t e = cache_get(cache, key, text, &n);
	if (e != ERR_OK) {
		/* Too long for us is not found either, and 256 wins of a day are more than any
		 * campaign allows. */
		r->whole = r->whole && e == ERR_NOT_FOUND;
		r->error = e == ERR_NOT_FOUND ? r->error : e;
		n = 0;
	}
	for (size_t at = 0; at < n;) {
		const char *end = memchr(text + at, '\n', n - at);
		if (!end) {
			r->whole = false;
			break;
		}
		read_line(r, text + at, (size_t)(end - text) - at);
		at = (size_t)(end - text) + 1;
	}
	free(text);
}

bool token_list_find(token_list_t *l, const keys_ring_t *keys, uint64_t uid,
	const char *out_order_no, int64_t since_ms, int64_t now_ms, token_win *win)
{
	int64_t day = now_ms / DAY_MS, first = day - TOKEN_LIST_DAYS + 1;
	reading r = {.keys = keys, .uid = uid, .out = calloc(TOKEN_LIST_MAX, sizeof(*r.out))};
	bool found = false;

	BUG_ON(!r.out);
	if (since_ms / DAY_MS > first)
		first = since_ms / DAY_MS;
	for (; day >= first && !found; day--) {
		r.count = 0;
		read_day(l->cache, &r, day);
		for (size_t i = 0; i < r.count && !found; i++) {
			found = strcmp(r.out[i].win.out_order_no, out_order_no) == 0;
			if (found)
				*win = r.out[i].win;
		}
	}
	free(r.out);
	return found;
}

/* Since when all that was won is on the lists. */
static err_t listed_since(cache_t *cache, unsigned writers, int64_t now_ms, int64_t *since)
{
	char key[KEY_BYTES];
	uint64_t evictions;
	proof p;
	err_t e = ERR_OK;

	*since = 0;
	for (unsigned i = 1; i <= writers && e == ERR_OK; i++) {
		live_key(i, key);
		e = proof_get(cache, key, &p);
		if (e == ERR_OK && p.b < now_ms)
			e = ERR_TIMEOUT;
		if (e == ERR_OK && p.a > *since)
			*since = p.a;
	}
	if (e == ERR_OK)
		e = cache_evictions(cache, &evictions);
	if (e == ERR_OK)
		e = proof_get(cache, BIRTH_KEY, &p);
	if (e == ERR_OK && p.b != (int64_t)evictions)
		e = ERR_TIMEOUT;
	if (e == ERR_OK && p.a > *since)
		*since = p.a;
	return e;
}

err_t token_list_read(cache_t *cache, const keys_ring_t *keys, unsigned writers, uint64_t uid,
	int64_t now_ms, token_list_entry *out, size_t *count, bool *complete)
{
	reading r = {.keys = keys, .uid = uid, .out = out};
	int64_t today = (now_ms + TOKEN_LIST_SKEW_MS) / DAY_MS, first = today, since;
	proof done = {0};

	err_t e = proof_get(cache, DONE_KEY, &done);
	r.whole = e == ERR_OK;
	if (r.whole) {
		first = (done.a - TOKEN_LIST_SKEW_MS) / DAY_MS;
		if (first <= today - TOKEN_LIST_DAYS) {
			r.whole = false;
			first = today - TOKEN_LIST_DAYS + 1;
		}
	}
	for (int64_t day = first; day <= today; day++)
		read_day(cache, &r, day);
	*count = r.count;
	*complete = false;
	if (r.whole) {
		e = listed_since(cache, writers, now_ms, &since);
		*complete = e == ERR_OK && since + TOKEN_LIST_SKEW_MS <= done.a;
	}
	return e == ERR_CACHE_UNAVAILABLE ? e : r.error;
}
