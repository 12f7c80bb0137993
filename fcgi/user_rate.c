/* The whole state of a user and an interface is one time: when everything that they have sent would have
 * come at their rate (GCRA). A request moves it on by one interval, and is too many when it is then further
 * ahead of now than the burst. A time that has passed says the same as none, so nothing has to be
 * cleaned, and an entry is one word, changed by compare-and-swap: 40 bits of time in tenths of a
 * millisecond since the program started (3 years), 24 that tell one user from another. Eight entries of a
 * bucket are one line of the cache, which is all that a request touches.
 *
 * Two who are alike in bucket and tag share a limit: one in two million while both ask. Buckets are found
 * with a secret, so that nobody can aim at another's. */
#include "fcgi/user_rate.h"
#include "base/clk.h"
#include "base/keys.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	WAYS = 8,
	BUCKETS = 1 << 15, /* × 8 ways × 8 bytes = 2 MiB */
	TAG_SHIFT = 40,
	TICK_US = 100,
	TICKS_PER_S = 10000,
	TRIES = 4, /* of a word that others change meanwhile */
};
#define TIME_MASK ((UINT64_C(1) << TAG_SHIFT) - 1)

typedef _Atomic uint64_t entry;

struct user_rate {
	struct {
		uint64_t interval, ahead; /* ticks; interval 0: no limit */
	} limit[ROUTES_COUNT];
	uint64_t secret[2];
	int64_t start_us;
	_Alignas(64) entry bucket[BUCKETS][WAYS];
};

user_rate_t *user_rate_new(const conf_t *c)
{
	user_rate_t *u = aligned_alloc(64, sizeof(*u));

	BUG_ON(!u);
	memset(u, 0, sizeof(*u));
	keys_random(u->secret, sizeof(u->secret));
	u->start_us = clk_mono_us();
	for (unsigned i = 0; i < ROUTES_COUNT; i++) {
		const capacity_rate most = capacity_of_user(c, i);
		const uint64_t interval = most.per_s > 0 ? (uint64_t)(TICKS_PER_S / most.per_s) : 0;

		u->limit[i].interval = most.per_s > 0 && interval == 0 ? 1 : interval;
		u->limit[i].ahead = (uint64_t)most.burst * u->limit[i].interval;
	}
	return u;
}

void user_rate_free(user_rate_t **u)
{
	free(*u);
	*u = NULL;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* The user's entry, else one whose time has passed, else the one that passes next. */
static entry *entry_of(entry *way, uint64_t tag, uint64_t now, uint64_t *word)
{
	entry *best = NULL;
	uint64_t best_time = UINT64_MAX;

	for (unsigned i = 0; i < WAYS; i++) {
		const uint64_t w = atomic_load_explicit(&way[i], memory_order_relaxed);

		if (w >> TAG_SHIFT == tag && (w & TIME_MASK) > now) {
			*word = w;
			return &way[i];
		}
		if ((w & TIME_MASK) < best_time) {
			best_time = w & TIME_MASK;
			best = &way[i];
			*word = w;
		}
	}
	return best;
}

err_t user_rate_check(
	user_rate_t *u, routes_id route, uint64_t who, int64_t now_us, int64_t *retry_ms)
{
	const uint64_t interval = u->limit[route].interval, ahead = u->limit[route].ahead;

	if (interval == 0)
		return ERR_OK;
	const uint64_t key = mix(mix(who ^ u->secret[0]) + (route ^ u->secret[1])),
		       tag = key >> TAG_SHIFT,
		       now = (uint64_t)(now_us - u->start_us) / TICK_US & TIME_MASK;
	entry *way = u->bucket[key % BUCKETS];

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t word = 0;
		entry *e = entry_of(way, tag, now, &word);
		const bool known = word >> TAG_SHIFT == tag && (word & TIME_MASK) > now;
		const uint64_t next = (known ? word & TIME_MASK : now) + interval;

		if (next > now + ahead) {
			*retry_ms = (int64_t)((next - now - ahead) * TICK_US + 999) / 1000;
			return ERR_RATE_LIMITED;
		}
		if (atomic_compare_exchange_weak_explicit(e, &word,
			    tag << TAG_SHIFT | (next & TIME_MASK), memory_order_relaxed,
			    memory_order_relaxed))
			break;
	}
	return ERR_OK;
}
