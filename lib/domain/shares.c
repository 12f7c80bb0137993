/* Why: a claim needs its share, and unsealing and drawing thousands of shares for each claim would
 * cost more than the claim. So sets are drawn once and kept, least recently used first out. A set
 * is immutable and counted; the table holds one reference, so dropping a set that somebody still
 * reads is safe. Drawing happens outside the lock: two threads may draw the same set at once, and
 * the second then takes the first's. */
#include "domain/shares.h"
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

typedef struct entry {
	UT_hash_handle hh;
	struct entry *prev, *next; /* head: most recently used */
	unsigned refs;             /* under the lock; the table's own included */
	size_t bytes;
	shares_set_t set; /* last: ends in the shares */
} entry;

struct shares {
	const keys_ring_t *seal;
	size_t max_bytes, bytes;
	pthread_mutex_t lock;
	entry *by_packet, *recent;
};

static entry *entry_of(const shares_set_t *set)
{
	return (entry *)((char *)(uintptr_t)set - offsetof(entry, set));
}

static void entry_drop(entry *e)
{
	BUG_ON(e->refs == 0);
	if (--e->refs == 0)
		free(e);
}

/* The analyzer does not follow the lists behind uthash's and utlist's macros, hence NOLINT. */
static void table_remove(shares_t *s, entry *e)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	HASH_DEL(s->by_packet, e);
	DL_DELETE(s->recent, e);
	s->bytes -= e->bytes;
	entry_drop(e);
}

static entry *table_find(shares_t *s, uint64_t packet_id)
{
	entry *e;
	HASH_FIND(hh, s->by_packet, &packet_id, sizeof packet_id, e);
	if (!e)
		return NULL;
	DL_DELETE(s->recent, e);
	DL_PREPEND(s->recent, e);
	e->refs++;
	return e;
}

shares_t *shares_new(const keys_ring_t *seal, size_t max_bytes)
{
	shares_t *s = calloc(1, sizeof *s);
	BUG_ON(!s);
	s->seal = seal;
	s->max_bytes = max_bytes;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void shares_free(shares_t **s)
{
	if (!*s)
		return;
	while ((*s)->recent)
		table_remove(*s, (*s)->recent);
	pthread_mutex_destroy(&(*s)->lock);
	free(*s);
	*s = NULL;
}

static void bound_to(uint64_t seed_id, uint8_t ad[8])
{
	for (unsigned i = 8; i-- > 0; seed_id >>= 8)
		ad[i] = (uint8_t)seed_id;
}

void shares_seal(const shares_t *s, uint64_t seed_id, const uint8_t seed[32], uint8_t *out)
{
	uint8_t ad[8];
	bound_to(seed_id, ad);
	keys_seal(s->seal, "seed", &(keys_part){ad, sizeof ad}, seed, 32, out);
}

err_t shares_unseal(const shares_t *s, const shares_source *src, uint8_t seed[32])
{
	uint8_t ad[8], plain[32];
	if (src->sealed_len != sizeof plain + KEYS_SEAL_OVERHEAD)
		return ERR_TOKEN_INVALID;
	bound_to(src->seed_id, ad);
	const err_t e = keys_open(
		s->seal, "seed", &(keys_part){ad, sizeof ad}, src->sealed, src->sealed_len, plain);
	if (e == ERR_OK)
		memcpy(seed, plain, sizeof plain);
	sodium_memzero(plain, sizeof plain);
	return e;
}

static err_t entry_draw(const shares_t *s, const shares_source *src, entry **out)
{
	split_input in = {.packet_id = src->packet_id,
		.total_fen = src->total_fen,
		.count = src->count,
		.kind = src->kind,
		.nonce = src->nonce,
		.nonce_len = src->nonce_len};
	const err_t err = shares_unseal(s, src, in.seed);
	if (err != ERR_OK)
		return err;
	const size_t bytes = sizeof(entry) + src->count * sizeof(int64_t);
	entry *e = calloc(1, bytes);
	BUG_ON(!e);
	e->bytes = bytes;
	e->refs = 1;
	e->set.packet_id = src->packet_id;
	e->set.count = src->count;
	split_shares(&in, e->set.fen);
	sodium_memzero(&in, sizeof in);
	*out = e;
	return ERR_OK;
}

/* Puts a drawn set into the table, or gives the one that another thread has put there. One that is
 * larger than the table belongs to its caller alone. */
static entry *table_add(shares_t *s, entry *e)
{
	entry *there = table_find(s, e->set.packet_id);
	if (there) {
		entry_drop(e);
		return there;
	}
	if (e->bytes > s->max_bytes)
		return e;
	while (s->recent && s->bytes + e->bytes > s->max_bytes)
		table_remove(s, s->recent->prev); /* NOLINT(clang-analyzer-unix.Malloc) */
	HASH_ADD(hh, s->by_packet, set.packet_id, sizeof e->set.packet_id, e);
	DL_PREPEND(s->recent, e);
	s->bytes += e->bytes;
	e->refs++;
	return e;
}

err_t shares_acquire(shares_t *s, const shares_source *src, const shares_set_t **out)
{
	const shares_set_t *set = shares_peek(s, src->packet_id);
	if (!set) {
		entry *e;
		const err_t err = entry_draw(s, src, &e);
		if (err != ERR_OK)
			return err;
		pthread_mutex_lock(&s->lock);
		set = &table_add(s, e)->set;
		pthread_mutex_unlock(&s->lock);
	}
	*out = set;
	return ERR_OK;
}

const shares_set_t *shares_peek(shares_t *s, uint64_t packet_id)
{
	pthread_mutex_lock(&s->lock);
	entry *e = table_find(s, packet_id);
	pthread_mutex_unlock(&s->lock);
	return e ? &e->set : NULL;
}

void shares_release(shares_t *s, const shares_set_t **set)
{
	if (!*set)
		return;
	pthread_mutex_lock(&s->lock);
	entry_drop(entry_of(*set));
	pthread_mutex_unlock(&s->lock);
	*set = NULL;
}
