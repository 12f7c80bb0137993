/* Why: most of those who open a famous envelope come too late, and each would lock its row to be told
 * so. The table is cut into shards by packet, so that threads that answer about different packets do not
 * meet; within a packet the lock is held for one lookup and one binary search. */
#include "domain/settled.h"

#include "base/clk.h"
#include "domain/packet.h"
#include "domain/states.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

enum { SHARDS = 16, LOADING_MAX = 64 };

typedef struct entry {
	uint64_t packet_id;
	claim_outcome others;
	uint32_t remaining_count, count;
	int64_t until_ms;          /* monotonic */
	struct entry *prev, *next; /* newest use first */
	UT_hash_handle hh;
	settled_claim claim[]; /* by uid */
} entry;

_Static_assert(sizeof(entry) <= SETTLED_PACKET_BYTES, "the header says how large a packet is");
_Static_assert(
	sizeof(settled_claim) == SETTLED_CLAIM_BYTES, "the header says how large a claim is");

typedef struct {
	pthread_mutex_t lock;
	entry *table, *used;
	size_t bytes;
} shard;

struct settled {
	shard shard[SHARDS];
	size_t shard_max;
	int64_t keep_ms;
	pthread_mutex_t loading_lock;
	uint64_t loading[LOADING_MAX]; /* 0: free */
};

settled_t *settled_new(size_t max_bytes, int64_t keep_ms)
{
	settled_t *s = calloc(1, sizeof(*s));

	BUG_ON(!s);
	s->shard_max = max_bytes / SHARDS;
	s->keep_ms = keep_ms;
	pthread_mutex_init(&s->loading_lock, NULL);
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_init(&s->shard[i].lock, NULL);
	return s;
}

static size_t entry_bytes(uint32_t count)
{
	return SETTLED_PACKET_BYTES + (size_t)count * SETTLED_CLAIM_BYTES;
}

static void entry_drop(shard *h, entry *e)
{
	HASH_DEL(h->table, e); /* NOLINT(clang-analyzer-*): it is in there */
	DL_DELETE(h->used, e);
	h->bytes -= entry_bytes(e->count);
	free(e);
}

void settled_free(settled_t **s)
{
	if (!*s)
		return;
	for (unsigned i = 0; i < SHARDS; i++) {
		shard *h = &(*s)->shard[i];
		while (h->used)
			entry_drop(h, h->used);
		pthread_mutex_destroy(&h->lock);
	}
	pthread_mutex_destroy(&(*s)->loading_lock);
	free(*s);
	*s = NULL;
}

static shard *shard_of(settled_t *s, uint64_t packet_id)
{
	return &s->shard[(packet_id * 0x9E3779B97F4A7C15u) >> 60];
}

_Static_assert(SHARDS == 16, "shard_of takes four bits");

static entry *entry_find(const shard *h, uint64_t packet_id)
{
	entry *e;

	HASH_FIND(hh, h->table, &packet_id, sizeof(packet_id), e);
	return e;
}

static int by_uid(const void *a, const void *b)
{
	const uint64_t x = ((const settled_claim *)a)->uid, y = ((const settled_claim *)b)->uid;

	return x < y ? -1 : x > y;
}

static settled_claim *claim_of(entry *e, uint64_t uid)
{
	const settled_claim key = {.uid = uid};

	return bsearch(&key, e->claim, e->count, sizeof(key), by_uid);
}

static void answer(entry *e, uint64_t uid, claim_result *out)
{
	const settled_claim *c = claim_of(e, uid);

	*out = (claim_result){.outcome = e->others, .remaining_count = e->remaining_count};
	if (!c)
		return;
	out->outcome = CLAIM_ALREADY;
	out->transfer = c->transfer;
	out->row = (claim_row){.packet_id = e->packet_id,
		.uid = uid,
		.claim_no = c->claim_no,
		.index = c->index,
		.amount_fen = c->amount_fen,
		.claimed_at_ms = c->claimed_at_ms};
}

bool settled_answer(settled_t *s, uint64_t packet_id, uint64_t uid, claim_result *out)
{
	shard *h = shard_of(s, packet_id);

	pthread_mutex_lock(&h->lock);
	entry *e = entry_find(h, packet_id);
	if (e && clk_mono_ms() >= e->until_ms) {
		entry_drop(h, e);
		e = NULL;
	}
	if (e) {
		answer(e, uid, out);
		if (e != h->used) {
			DL_DELETE(h->used, e);
			DL_PREPEND(h->used, e);
		}
	}
	pthread_mutex_unlock(&h->lock);
	return e != NULL;
}

void settled_put(settled_t *s, uint64_t packet_id, claim_outcome others, uint32_t remaining_count,
	const settled_claim *claims, uint32_t count)
{
	shard *h = shard_of(s, packet_id);
	const size_t bytes = entry_bytes(count);

	if (bytes > s->shard_max)
		return;
	entry *e = calloc(1, sizeof(*e) + count * sizeof(*claims));
	BUG_ON(!e);
	e->packet_id = packet_id;
	e->others = others;
	e->remaining_count = remaining_count;
	e->count = count;
	e->until_ms = clk_mono_ms() + s->keep_ms;
	if (count > 0)
		memcpy(e->claim, claims, count * sizeof(*claims));
	pthread_mutex_lock(&h->lock);
	entry *old = entry_find(h, packet_id);
	if (old)
		entry_drop(h, old);
	while (h->bytes + bytes > s->shard_max)
		entry_drop(h, h->used->prev); /* NOLINT(clang-analyzer-*): there is one */
	HASH_ADD(hh, h->table, packet_id, sizeof(packet_id), e);
	DL_PREPEND(h->used, e);
	h->bytes += bytes;
	pthread_mutex_unlock(&h->lock);
}

void settled_transfer_end(settled_t *s, uint64_t packet_id, uint64_t uid, transfer_end end)
{
	shard *h = shard_of(s, packet_id);

	pthread_mutex_lock(&h->lock);
	entry *e = entry_find(h, packet_id);
	settled_claim *c = e ? claim_of(e, uid) : NULL;
	if (c)
		c->transfer = end;
	pthread_mutex_unlock(&h->lock);
}

size_t settled_bytes(settled_t *s)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&s->shard[i].lock);
		bytes += s->shard[i].bytes;
		pthread_mutex_unlock(&s->shard[i].lock);
	}
	return bytes;
}

/* False when another thread reads this packet already, or too many are read at once. */
static bool loading_begin(settled_t *s, uint64_t packet_id)
{
	uint64_t *room = NULL;
	bool mine = true;

	pthread_mutex_lock(&s->loading_lock);
	for (unsigned i = 0; i < LOADING_MAX; i++) {
		if (s->loading[i] == packet_id)
			mine = false;
		if (s->loading[i] == 0)
			room = &s->loading[i];
	}
	mine = mine && room;
	if (mine)
		*room = packet_id;
	pthread_mutex_unlock(&s->loading_lock);
	return mine;
}

static void loading_end(settled_t *s, uint64_t packet_id)
{
	pthread_mutex_lock(&s->loading_lock);
	for (unsigned i = 0; i < LOADING_MAX; i++)
		if (s->loading[i] == packet_id)
			s->loading[i] = 0;
	pthread_mutex_unlock(&s->loading_lock);
}

static err_t claims_read(db_t *db, uint64_t packet_id, settled_claim **claims, uint32_t *count)
{
	db_rows_t *r;
	const err_t err = db_select(db, SQL_SETTLED_CLAIMS, DB_ARGS(db_u(packet_id)), &r);
	uint32_t n = 0;

	if (err != ERR_OK)
		return err;
	settled_claim *c = calloc(db_rows_count(r) + 1, sizeof(*c));
	BUG_ON(!c);
	for (; db_rows_next(r); n++)
		c[n] = (settled_claim){.uid = db_rows_u(r, 0),
			.index = (uint32_t)db_rows_u(r, 1),
			.claim_no = db_rows_u(r, 2),
			.amount_fen = db_rows_i(r, 3),
			.claimed_at_ms = db_rows_i(r, 4),
			.transfer = transfer_end_of(
				(transfer_kind)db_rows_u(r, 5), (unsigned)db_rows_u(r, 6))};
	db_rows_free(&r);
	*claims = c;
	*count = n;
	return ERR_OK;
}

/* The state is read before the claims: once it is final there, the claims are complete, unless they are
 * leaving at this moment. */
static err_t packet_read(settled_t *s, db_t *db, uint64_t packet_id)
{
	packet_row row;
	bool was_open;
	settled_claim *claims;
	uint32_t count;
	err_t err = packet_load(db, packet_id, &row);

	if (err != ERR_OK || row.state == STATES_PACKET_UNPAID || row.state == STATES_PACKET_OPEN)
		return err;
	err = packet_was_open(db, &row, &was_open);
	if (err == ERR_OK)
		err = claims_read(db, packet_id, &claims, &count);
	if (err != ERR_OK)
		return err;
	if (count != row.count - row.remaining_count) {
		free(claims);
		return ERR_NOT_FOUND;
	}
	const claim_outcome others = !was_open                              ? CLAIM_NOT_OPEN
				     : row.state == STATES_PACKET_EXHAUSTED ? CLAIM_EXHAUSTED
									    : CLAIM_EXPIRED;
	settled_put(s, packet_id, others, row.remaining_count, claims, count);
	free(claims);
	return ERR_OK;
}

err_t settled_load(settled_t *s, db_pool_t *pool, uint64_t packet_id)
{
	db_t *db;

	if (!loading_begin(s, packet_id))
		return ERR_OK;
	err_t err = db_pool_take(pool, &db);
	if (err == ERR_OK) {
		err = packet_read(s, db, packet_id);
		db_pool_give(pool, &db);
	}
	loading_end(s, packet_id);
	return err;
}
