/* Nothing "in flight" is ever committed: the row appears together with what it speaks of. */
#include "domain/idempotency.h"

#include "base/clk.h"
#include <string.h>

static err_t find(db_t *db, const idempotency_t *k, uint64_t *ref)
{
	db_rows_t *r;
	size_t n;
	err_t err = db_select(
		db, SQL_IDEMPOTENCY_FIND, DB_ARGS(db_u(k->uid), db_u(k->route), db_s(k->key)), &r);
	if (err != ERR_OK)
		return err;
	BUG_ON(!db_rows_next(r)); /* rows are never deleted */
	const char *hash = db_rows_s(r, 0, &n);
	bool same = n == IDEMPOTENCY_HASH_BYTES && memcmp(hash, k->body_hash, n) == 0;
	*ref = db_rows_u(r, 1);
	db_rows_free(&r);
	return same ? ERR_OK : ERR_IDEMPOTENCY_KEY_REUSED;
}

err_t idempotency_take(db_t *db, idempotency_t *k, bool *used, uint64_t *ref)
{
	const err_t err = db_exec(db, SQL_IDEMPOTENCY_INSERT,
		DB_ARGS(db_u(k->uid), db_u(k->route), db_s(k->key),
			db_b(k->body_hash, IDEMPOTENCY_HASH_BYTES), db_u(k->ref), db_i(k->now_ms)),
		NULL);
	*used = err == ERR_DB_DUPLICATE;
	k->locked = err == ERR_DB_RETRY;
	if (*used)
		return find(db, k, ref);
	/* Once our own COMMIT may be what the lock belongs to, the outcome is unknown, not busy. */
	if (err == ERR_DB_RETRY && !k->written && clk_mono_ms() - k->started_ms >= k->wait_ms)
		return ERR_IDEMPOTENCY_KEY_BUSY;
	return err;
}

err_t idempotency_end(const idempotency_t *k, err_t err)
{
	return err == ERR_DB_RETRY && k->locked && !k->written ? ERR_IDEMPOTENCY_KEY_BUSY : err;
}
