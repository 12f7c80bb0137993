/* One entry for each hash, whoever comes last has it. Entries share a few locks by their number. */
#include "fcgi/places.h"

#include "base/err.h"

#include <pthread.h>
#include <stdlib.h>

enum { ENTRIES = 1 << 18, LOCKS = 64 };

typedef struct {
	uint64_t uid; /* 0: free */
	uint32_t campaign, round;
	uint16_t next, uncounted;
} entry;

struct places {
	pthread_mutex_t lock[LOCKS];
	entry entry[ENTRIES];
};

places_t *places_new(void)
{
	places_t *p = calloc(1, sizeof(*p));

	BUG_ON(!p);
	for (unsigned i = 0; i < LOCKS; i++)
		pthread_mutex_init(&p->lock[i], NULL);
	return p;
}

void places_free(places_t **p)
{
	if (!*p)
		return;
	for (unsigned i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&(*p)->lock[i]);
	free(*p);
	*p = NULL;
}

static unsigned place_of(uint32_t campaign, uint32_t round, uint64_t uid)
{
	uint64_t h = (uid ^ (uint64_t)campaign << 44 ^ (uint64_t)round << 20) *
		     UINT64_C(0x9E3779B97F4A7C15);

	return (unsigned)(h >> 40) % ENTRIES;
}

static bool is_of(const entry *e, uint32_t campaign, uint32_t round, uint64_t uid)
{
	return e->uid == uid && e->campaign == campaign && e->round == round;
}

bool places_next(places_t *p, uint32_t campaign, uint32_t round, uint64_t uid, unsigned limit,
	unsigned *k, unsigned *count)
{
	unsigned at = place_of(campaign, round, uid);
	entry *e = &p->entry[at];

	*count = 0;
	pthread_mutex_lock(&p->lock[at % LOCKS]);
	bool known = is_of(e, campaign, round, uid);
	if (known)
		*k = e->next;
	if (known && e->next < limit) {
		e->next++;
		if (++e->uncounted == PLACES_STEP) {
			*count = PLACES_STEP;
			e->uncounted = 0;
		}
	}
	pthread_mutex_unlock(&p->lock[at % LOCKS]);
	return known;
}

void places_set(places_t *p, uint32_t campaign, uint32_t round, uint64_t uid, unsigned k)
{
	unsigned at = place_of(campaign, round, uid);
	entry *e = &p->entry[at];

	pthread_mutex_lock(&p->lock[at % LOCKS]);
	/* Two first draws at once: the later place stays. */
	if (!is_of(e, campaign, round, uid) || e->next <= k)
		*e = (entry){uid, campaign, round, (uint16_t)(k + 1), 0};
	pthread_mutex_unlock(&p->lock[at % LOCKS]);
}
