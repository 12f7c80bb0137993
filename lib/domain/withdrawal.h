/* withdrawal: the order that pays out of a user's wallet through finance. The money leaves the wallet
 * in the transaction that makes the order; finance's word then says whether it is gone or comes back.
 * Threads: all safe. */
#ifndef HB_DOMAIN_WITHDRAWAL_H
#define HB_DOMAIN_WITHDRAWAL_H

#include "domain/numbers.h"
#include "domain/orders.h"
#include "store/db.h"
#include "store/finance.h"

enum {
	WITHDRAWAL_LIST_MAX = 101
}; /* rows of one page, and one more to tell whether there is more */

typedef struct {
	uint64_t order_no, uid;
	int64_t amount_fen;
	unsigned state; /* STATES_WITHDRAWAL_… */
	int64_t created_at_ms, changed_at_ms;
} withdrawal_row;

/* What it is made with; all shared and safe. */
typedef struct {
	db_pool_t *db;
	numbers_t *numbers;
	unsigned tx_tries;
	int64_t key_wait_ms; /* for another request with the same key, within tx_tries */
} withdrawal_desk;

typedef struct {
	uint64_t uid;
	int64_t amount_fen; /* > 0 */
	const char *key;    /* Idempotency-Key */
	uint8_t body_hash[32];
	int64_t now_ms, check_ms;
} withdrawal_order;

/* One transaction: the key's row, the booking WITHDRAW, the order (pending) and the event that has it sent
 * to finance. *out is the order as it was made; *replayed: by an earlier request with this key and body.
 * ERR_BALANCE_TOO_LOW: nothing is left of it, the key included. ERR_IDEMPOTENCY_KEY_REUSED,
 * ERR_IDEMPOTENCY_KEY_BUSY; ERR_OUTCOME_UNKNOWN: repeat with the same key. */
err_t withdrawal_make(const withdrawal_desk *d, const withdrawal_order *o, withdrawal_row *out,
	bool *replayed) MUST_CHECK;

err_t withdrawal_load(
	db_t *db, uint64_t order_no, withdrawal_row *out) MUST_CHECK; /* ERR_NOT_FOUND */

/* Up to `limit` (≤ WITHDRAWAL_LIST_MAX) withdrawals of the user, newest first, of before (before_ms, below)
 * in the order of time and number (INT64_MAX for both: from the newest). */
err_t withdrawal_list(db_t *db, uint64_t uid, int64_t before_ms, uint64_t below, unsigned limit,
	withdrawal_row *rows, unsigned *count) MUST_CHECK;

/* As orders_apply (orders.h); done: WITHDRAWN in the same transaction. */
err_t withdrawal_apply(
	db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms) MUST_CHECK;

/* One that finance has refused for good, and says so once more, goes back to the wallet (WITHDRAW_BACK). */
err_t withdrawal_settle(db_t *db, const orders_settling *s, bool *handed) MUST_CHECK;

#endif
