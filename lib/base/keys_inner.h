/* keys_inner: what a key ring is made of: for keys.c and keys_ring.c only. */
#ifndef HB_BASE_KEYS_INNER_H
#define HB_BASE_KEYS_INNER_H

#include "base/keys.h"

enum { KEYS_RING_MAX = 16, KEYS_SCOPES_BYTES = 256 };

typedef struct {
	char id[KEYS_ID_BYTES];
	uint8_t key[KEYS_BYTES];
	char scopes[KEYS_SCOPES_BYTES]; /* words with single spaces between them */
	int64_t until_s;                /* good before this second since 1970; 0: no end */
} keys_key;

/* One file as it was read. Never changed. */
typedef struct {
	unsigned count;
	int64_t version;
	keys_key key[KEYS_RING_MAX];
} keys_set;

/* The set that is in force; it is there until keys_release with the same *place. */
const keys_set *keys_hold(const keys_ring_t *r, unsigned *place);
void keys_release(const keys_ring_t *r, unsigned place);

bool keys_alive(const keys_key *k);
/* NULL when there is none of that id, or its time is over. */
const keys_key *keys_find(const keys_set *s, const char *id);

#endif
