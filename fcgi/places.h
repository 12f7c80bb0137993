/* places: which draw of their round users are at, as far as this process knows, so that most draws
 * need not ask memcached. A user's places are told to it every PLACES_STEP draws: what is lost with
 * the process, or because another user took the entry, is drawn again with the same results, and
 * nobody loses a chance. Bounded, lossy. Threads: all safe, without a lock for all. */
#ifndef HB_FCGI_PLACES_H
#define HB_FCGI_PLACES_H

#include <stdbool.h>
#include <stdint.h>

enum { PLACES_STEP = 4 };

typedef struct places places_t;

places_t *places_new(void);
void places_free(places_t **p);
/* The user's next place, if it is known here; below `limit` it is taken. *count: how many places the
 * caller has to add to memcached now; 0: none. */
bool places_next(places_t *p, uint32_t campaign, uint32_t round, uint64_t uid, unsigned limit,
	unsigned *k, unsigned *count);
/* memcached said that place k is this draw's. */
void places_set(places_t *p, uint32_t campaign, uint32_t round, uint64_t uid, unsigned k);

#endif
