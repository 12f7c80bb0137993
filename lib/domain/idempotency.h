/* idempotency: an Idempotency-Key and what it made, one row written first in the business transaction.
 * A second request with the key waits for the first's lock and then meets its row; so does the same
 * transaction when it is run again after an unknown COMMIT.
 *
 *	idempotency_t k = {.route = …, …};          before db_transact
 *	in fn:    idempotency_take(db, &k, &used, &ref), then either answer from ref, or write everything
 *	          and set k.written
 *	after:    err = idempotency_end(&k, err)
 *
 * Belongs to one call. */
#ifndef HB_DOMAIN_IDEMPOTENCY_H
#define HB_DOMAIN_IDEMPOTENCY_H

#include "store/db.h"

/* Stored in idempotency.route; never reuse a number. */
typedef enum { IDEMPOTENCY_PACKETS = 1, IDEMPOTENCY_WITHDRAWALS = 2 } idempotency_route;

enum { IDEMPOTENCY_HASH_BYTES = 32 };

typedef struct {
	idempotency_route route;
	uint64_t uid;
	const char *key;
	const uint8_t *body_hash; /* IDEMPOTENCY_HASH_BYTES */
	uint64_t ref;             /* the number of what this request is to make */
	int64_t now_ms;           /* wall */
	int64_t started_ms;       /* monotonic, of the request */
	int64_t wait_ms;          /* for another request with the key */
	bool written;             /* a run got as far as its COMMIT */
	bool locked;              /* the last run ended at the key's lock */
} idempotency_t;

/* Inside the caller's transaction, as its first write. *used: the key has made *ref already, with the
 * same body; it is k->ref when that was an earlier run of this very transaction.
 * ERR_IDEMPOTENCY_KEY_REUSED: with another body. ERR_IDEMPOTENCY_KEY_BUSY: the wait is over. */
err_t idempotency_take(db_t *db, idempotency_t *k, bool *used, uint64_t *ref) MUST_CHECK;

/* What the caller of db_transact makes of its result: tries that were used up at the key's lock are
 * ERR_IDEMPOTENCY_KEY_BUSY. */
err_t idempotency_end(const idempotency_t *k, err_t err) MUST_CHECK;

#endif
