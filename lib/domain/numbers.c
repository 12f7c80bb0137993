/* A second block is leased when the first is half used, by the thread that notices, while the
 * others go on: so numbers do not run out under threads that hold all connections of the pool and
 * wait for a number. A block counts only once its transaction is committed (durable on two servers,
 * under our epoch); a lost reply wastes a block, and nothing else. */
#include "domain/numbers.h"
#include "base/clk.h"
#include "base/logger.h"
#include "base/parse.h"
#include <pthread.h>
#include <stdlib.h>

enum { NUMBERS_TRIES = 3, NUMBERS_PAUSE_MS = 1000 };
static const uint64_t numbers_seq_end = (uint64_t)INT64_MAX / 100000;

typedef struct {
	uint64_t next, end;
} numbers_block;

struct numbers {
	db_pool_t *pool;
	unsigned cell;
	int64_t block;
	pthread_mutex_t lock;
	pthread_cond_t leased;
	numbers_block now, spare;
	bool leasing;
	uint64_t rounds;       /* leases that have ended, well or not */
	err_t last;            /* how the last one ended */
	int64_t not_before_ms; /* of the next spare, after one that failed; monotonic */
};

typedef struct {
	int64_t block;
	numbers_block out;
} numbers_tx;

err_t numbers_new(db_pool_t *pool, unsigned cell_number, int64_t block, numbers_t **out)
{
	numbers_t *n = calloc(1, sizeof(*n));

	BUG_ON(!n || cell_number > 99 || block < 1);
	n->pool = pool;
	n->cell = cell_number;
	n->block = block;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->leased, NULL);
	*out = n;
	return ERR_OK;
}

void numbers_free(numbers_t **n)
{
	if (!*n)
		return;
	pthread_cond_destroy(&(*n)->leased);
	pthread_mutex_destroy(&(*n)->lock);
	free(*n);
	*n = NULL;
}

static err_t numbers_lease_tx(db_t *db, void *ctx)
{
	numbers_tx *tx = ctx;
	uint64_t rows = 0, end;
	err_t e = db_exec(db, SQL_NUMBERS_LEASE, DB_ARGS(db_i(tx->block)), &rows);

	if (e)
		return e;
	end = db_insert_id(db);
	if (rows != 1 || end <= (uint64_t)tx->block || end > numbers_seq_end) {
		LOG(ERROR, "numbers.block_invalid", {"rows", LOG_U(rows)}, {"end", LOG_U(end)});
		return ERR_DB_FAILED;
	}
	tx->out = (numbers_block){end - (uint64_t)tx->block, end};
	return ERR_OK;
}

/* Called with the lock held, which is let go meanwhile. */
static void numbers_lease(numbers_t *n)
{
	numbers_tx tx = {.block = n->block};
	err_t e;

	n->leasing = true;
	pthread_mutex_unlock(&n->lock);
	e = db_transact(n->pool, NUMBERS_TRIES, numbers_lease_tx, &tx);
	if (e)
		LOG(WARN, "numbers.lease_failed", {"error", LOG_E(e)});
	pthread_mutex_lock(&n->lock);
	n->leasing = false;
	n->rounds++;
	/* Nothing of the caller's is in doubt when a lease's COMMIT is. */
	n->last = e == ERR_OUTCOME_UNKNOWN ? ERR_CELL_UNAVAILABLE : e;
	if (e)
		n->not_before_ms = clk_mono_ms() + NUMBERS_PAUSE_MS;
	else
		*(n->now.next == n->now.end ? &n->now : &n->spare) = tx.out;
	pthread_cond_broadcast(&n->leased);
}

static bool numbers_in_hand(numbers_t *n)
{
	if (n->now.next == n->now.end) {
		n->now = n->spare;
		n->spare = (numbers_block){0, 0};
	}
	return n->now.next != n->now.end;
}

/* Everyone who waited for one lease shares its failure, rather than trying again one after the
 * other. */
static err_t numbers_refill(numbers_t *n)
{
	uint64_t round = n->rounds;

	while (!numbers_in_hand(n)) {
		if (n->rounds != round && n->last)
			return n->last;
		if (n->leasing)
			pthread_cond_wait(
				&n->leased, &n->lock); /* bounded by the database's waits */
		else
			numbers_lease(n);
	}
	return ERR_OK;
}

static bool numbers_wants_spare(const numbers_t *n)
{
	return !n->leasing && n->spare.next == n->spare.end &&
	       n->now.end - n->now.next < (uint64_t)n->block / 2 &&
	       clk_mono_ms() >= n->not_before_ms;
}

err_t numbers_take(numbers_t *n, unsigned slot, unsigned count, uint64_t *out)
{
	err_t e = ERR_OK;

	BUG_ON(slot > 999);
	pthread_mutex_lock(&n->lock);
	for (unsigned i = 0; i < count && !e; i++) {
		e = numbers_refill(n);
		if (!e)
			out[i] = n->now.next++ * 100000 + (uint64_t)n->cell * 1000 + slot;
	}
	if (!e && numbers_wants_spare(n))
		numbers_lease(n);
	pthread_mutex_unlock(&n->lock);
	return e;
}

err_t numbers_renew(numbers_t *n)
{
	pthread_mutex_lock(&n->lock);
	n->now = n->spare = (numbers_block){0, 0};
	const err_t e = numbers_refill(n);
	pthread_mutex_unlock(&n->lock);
	return e;
}

err_t numbers_next(numbers_t *n, unsigned slot, uint64_t *out)
{
	return numbers_take(n, slot, 1, out);
}

bool numbers_parse(const char *s, uint64_t *out)
{
	uint64_t v;

	if (!parse_u64(s, INT64_MAX, &v) || !v)
		return false;
	*out = v;
	return true;
}
