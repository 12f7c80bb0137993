/* Why: a driver that shares its two cores with what it measures cannot keep and sort every
 * duration. */
#include "tests/load/hist.h"

static unsigned bucket_of(uint64_t us)
{
	if (us < HIST_SUB)
		return (unsigned)us;
	const unsigned top = 63 - (unsigned)__builtin_clzll(us);
	const unsigned octave = top - HIST_SUB_BITS + 1;
	const unsigned at =
		octave * HIST_SUB + (unsigned)((us >> (top - HIST_SUB_BITS)) & (HIST_SUB - 1));

	return at < HIST_BUCKETS ? at : HIST_BUCKETS - 1;
}

/* The largest duration that falls into a bucket. */
static uint64_t bucket_end(unsigned at)
{
	if (at < HIST_SUB)
		return at;
	const unsigned shift = at / HIST_SUB - 1;

	return ((uint64_t)(HIST_SUB + at % HIST_SUB + 1) << shift) - 1;
}

void hist_add(hist_t *h, uint64_t us)
{
	h->count[bucket_of(us)]++;
	h->total++;
}

void hist_merge(hist_t *into, const hist_t *from)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		into->count[i] += from->count[i];
	into->total += from->total;
}

uint64_t hist_at(const hist_t *h, unsigned permille)
{
	const uint64_t want = (h->total * permille + 999) / 1000;
	uint64_t seen = 0;

	for (unsigned i = 0; i < HIST_BUCKETS && h->total > 0; i++) {
		seen += h->count[i];
		if (seen >= want && seen > 0)
			return bucket_end(i);
	}
	return 0;
}
