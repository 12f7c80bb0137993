/* A ring of entries in the order of their coming, and chains over them by hash. */
#include "fcgi/win_table.h"

#include "base/err.h"

#include <stdlib.h>

enum { NONE = -1 };

typedef struct {
	win_key key;
	uint64_t lease_id;
	int32_t next; /* in its chain */
	uint8_t state;
	bool used;
} entry;

struct win_table {
	size_t capacity, buckets, at; /* at: the oldest, which the next one replaces */
	int32_t *head;
	entry *ring;
};

static size_t bucket_of(const win_table_t *t, const win_key *key)
{
	uint64_t h = key->uid * UINT64_C(0x9E3779B97F4A7C15);

	h ^= ((uint64_t)key->campaign << 40) ^ ((uint64_t)key->round << 8) ^ key->k;
	h *= UINT64_C(0xBF58476D1CE4E5B9);
	return (size_t)(h >> 32) % t->buckets;
}

win_table_t *win_table_new(size_t capacity)
{
	win_table_t *t = calloc(1, sizeof(*t));

	BUG_ON(!t || capacity == 0 || capacity > INT32_MAX / 2);
	t->capacity = capacity;
	t->buckets = capacity * 2;
	t->ring = calloc(capacity, sizeof(*t->ring));
	t->head = malloc(t->buckets * sizeof(*t->head));
	BUG_ON(!t->ring || !t->head);
	for (size_t i = 0; i < t->buckets; i++)
		t->head[i] = NONE;
	return t;
}

void win_table_free(win_table_t **t)
{
	if (!*t)
		return;
	free((*t)->ring);
	free((*t)->head);
	free(*t);
	*t = NULL;
}

static bool same(const win_key *a, const win_key *b)
{
	return a->uid == b->uid && a->campaign == b->campaign && a->round == b->round &&
	       a->k == b->k;
}

static entry *find(const win_table_t *t, const win_key *key)
{
	for (int32_t i = t->head[bucket_of(t, key)]; i != NONE; i = t->ring[i].next)
		if (same(&t->ring[i].key, key))
			return &t->ring[i];
	return NULL;
}

static void forget(win_table_t *t, int32_t at)
{
	int32_t *link = &t->head[bucket_of(t, &t->ring[at].key)];

	while (*link != at)
		link = &t->ring[*link].next;
	*link = t->ring[at].next;
}

bool win_table_get(const win_table_t *t, const win_key *key, win_state *state, uint64_t *lease_id)
{
	const entry *e = find(t, key);

	if (!e)
		return false;
	*state = (win_state)e->state;
	*lease_id = e->lease_id;
	return true;
}

void win_table_put(win_table_t *t, const win_key *key, win_state state, uint64_t lease_id)
{
	entry *e = find(t, key);

	if (!e) {
		int32_t at = (int32_t)t->at;
		size_t bucket = bucket_of(t, key);
		e = &t->ring[at];
		if (e->used)
			forget(t, at);
		*e = (entry){.key = *key, .used = true, .next = t->head[bucket]};
		t->head[bucket] = at;
		t->at = (t->at + 1) % t->capacity;
	}
	e->state = (uint8_t)state;
	e->lease_id = lease_id;
}
