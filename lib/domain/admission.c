/* Why a window and not a semaphore: a permit that must be given back leaks when its holder dies,
 * and memcached may apply an increment whose answer timed out. A counter per second that nobody
 * decrements is wrong by at most one second. */
#include "domain/admission.h"

#include "base/clk.h"

#include <inttypes.h>
#include <stdio.h>

enum { RETRY_LEAST_MS = 50, RETRY_MOST_MS = 300, WINDOW_MS = 1000, WINDOW_TTL_S = 2 };

uint64_t admission_limit(const admission_conf *c, uint32_t remaining)
{
	const uint64_t limit = (uint64_t)remaining * c->percent / 100;

	return limit > c->floor ? limit : c->floor;
}

int64_t admission_retry_ms(void)
{
	static _Thread_local uint64_t state;

	if (state == 0)
		state = (uint64_t)clk_mono_us() ^ (uint64_t)(uintptr_t)&state;
	state += 0x9E3779B97F4A7C15u; /* splitmix64 */
	uint64_t z = state;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	z ^= z >> 31;
	return RETRY_LEAST_MS + (int64_t)(z % (RETRY_MOST_MS - RETRY_LEAST_MS + 1));
}

bool admission_window(const admission_conf *c, cache_t *cache, uint64_t epoch, uint64_t packet_id,
	uint32_t remaining, int64_t now_ms)
{
	char key[96];
	uint64_t now;

	if (!cache || remaining == 0)
		return true;
	snprintf(key, sizeof key, "adm:%" PRIu64 ":%" PRIu64 ":%" PRId64, epoch, packet_id,
		now_ms / WINDOW_MS);
	if (cache_count(cache, key, WINDOW_TTL_S, &now) != ERR_OK)
		return true;
	return now <= admission_limit(c, remaining);
}
