/* pace: a table of fixed size in buckets of eight. A new entry of a full bucket overwrites the one
 * that was told longest ago: to forget somebody only means that they are not slowed down. Keys are
 * 64-bit mixes of user and number with a secret of the process, so that nobody can aim at another's
 * bucket. */
#include "fcgi/pace.h"
#include "base/keys.h"
#include "fcgi/limited.h"
#include <pthread.h>
#include <stdlib.h>

enum {
	PACE_WAYS = 8,
	PACE_BUCKETS = 8192, /* × 8 ways × 32 bytes = 2 MiB */
	PACE_LOCKS = 64,
	PACE_AGE_PART = 8, /* at least this part of the age */
};

typedef struct {
	uint64_t key; /* 0: free */
	int64_t told_at_ms, interval_ms;
	unsigned early; /* how often its client asked too soon and was answered */
} entry;

static bool pace_early(const entry *e, int64_t now_mono_ms)
{
	return now_mono_ms - e->told_at_ms < e->interval_ms / 2;
}

struct pace {
	int64_t first_ms, max_ms;
	uint64_t secret[2];
	pthread_mutex_t lock[PACE_LOCKS];
	entry bucket[PACE_BUCKETS][PACE_WAYS];
};

pace_t *pace_new(int64_t first_ms, int64_t max_ms)
{
	pace_t *p = calloc(1, sizeof(*p));
	BUG_ON(!p);
	p->first_ms = first_ms;
	p->max_ms = max_ms > first_ms ? max_ms : first_ms;
	keys_random(p->secret, sizeof(p->secret));
	for (unsigned i = 0; i < PACE_LOCKS; i++)
		pthread_mutex_init(&p->lock[i], NULL);
	return p;
}

void pace_free(pace_t **p)
{
	if (!*p)
		return;
	for (unsigned i = 0; i < PACE_LOCKS; i++)
		pthread_mutex_destroy(&(*p)->lock[i]);
	free(*p);
	*p = NULL;
}

static uint64_t pace_mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t pace_key(const pace_t *p, uint64_t uid, uint64_t number)
{
	uint64_t key = pace_mix(pace_mix(uid ^ p->secret[0]) + (number ^ p->secret[1]));
	return key ? key : 1;
}

/* The key's entry; with `make` the one to use for it, otherwise NULL when there is none. */
static entry *pace_entry(pace_t *p, uint64_t key, bool make)
{
	entry *way = p->bucket[key % PACE_BUCKETS], *oldest = way;
	for (unsigned i = 0; i < PACE_WAYS; i++) {
		if (way[i].key == key)
			return &way[i];
		if (oldest->key && (!way[i].key || way[i].told_at_ms < oldest->told_at_ms))
			oldest = &way[i];
	}
	return make ? oldest : NULL;
}

err_t pace_check(pace_t *p, uint64_t uid, uint64_t number, int64_t now_mono_ms, int64_t *retry_ms)
{
	uint64_t key = pace_key(p, uid, number);
	pthread_mutex_t *lock = &p->lock[key % PACE_LOCKS];
	int64_t wait = 0;
	pthread_mutex_lock(lock);
	entry *e = pace_entry(p, key, false);
	if (e && pace_early(e, now_mono_ms) && e->early++ >= PACE_EARLY_MAX)
		wait = e->told_at_ms + e->interval_ms - now_mono_ms;
	pthread_mutex_unlock(lock);
	if (wait <= 0)
		return ERR_OK;
	limited_count(LIMITED_POLL);
	*retry_ms = wait;
	return ERR_RATE_LIMITED;
}

int64_t pace_told(pace_t *p, uint64_t uid, uint64_t number, int64_t age_ms, int64_t now_mono_ms)
{
	uint64_t key = pace_key(p, uid, number);
	pthread_mutex_t *lock = &p->lock[key % PACE_LOCKS];
	pthread_mutex_lock(lock);
	entry *e = pace_entry(p, key, true);
	const bool known = e->key == key;
	if (known && pace_early(e, now_mono_ms)) {
		const int64_t as_before = e->interval_ms;
		pthread_mutex_unlock(lock);
		return as_before;
	}
	int64_t interval = known ? e->interval_ms + e->interval_ms / 2 : p->first_ms;
	if (interval < age_ms / PACE_AGE_PART)
		interval = age_ms / PACE_AGE_PART;
	if (interval < p->first_ms)
		interval = p->first_ms;
	if (interval > p->max_ms)
		interval = p->max_ms;
	*e = (entry){.key = key,
		.told_at_ms = now_mono_ms,
		.interval_ms = interval,
		.early = known ? e->early : 0};
	pthread_mutex_unlock(lock);
	return interval;
}
