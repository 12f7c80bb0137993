/* orders: what payments, transfers, refunds and withdrawals have in common: finance's word moves them. Callback,
 * check and sweep all end in orders_apply, so it matters to nobody which of them was first.
 * Threads: all safe. */
#ifndef HB_DOMAIN_ORDERS_H
#define HB_DOMAIN_ORDERS_H

#include "base/conf.h"
#include "domain/numbers.h"
#include "domain/states.h"
#include "domain/topology.h"
#include "store/db.h"
#include "store/finance.h"

enum { ORDERS_URL_BYTES = 300, ORDERS_TAKE_MAX = 10000 };

/* What talks to finance about orders; belongs to one thread (finance does). */
typedef struct {
	db_pool_t *db;
	finance_t *finance;
	const conf_t *conf;
	numbers_t *numbers; /* these two: NULL in hb-core, which only stores what comes */
	const topology_t *topo;
} orders_desk;

typedef struct {
	finance_kind kind;
	uint64_t order_no, uid; /* payer or payee */
	uint64_t payment_no;    /* refunds: of which payment; else 0 */
	unsigned state, tries;
	bool stuck;
	int64_t amount_fen;
	int64_t expires_at_ms; /* payments; else 0 */
} orders_row;

/* ERR_NOT_FOUND, also for a kind that this cell has no orders of. */
err_t orders_load(db_t *db, finance_kind kind, uint64_t order_no, orders_row *out) MUST_CHECK;

/* Applies finance's word inside the caller's transaction, any number of times and in any order:
 * payment_apply, transfer_apply, refund_apply or withdrawal_apply. ERR_ORDER_CONFLICT: another amount than the
 * order's, or a word against the final state it already has; logged, nothing changed.
 * ERR_NOT_FOUND: no such order. */
err_t orders_apply(db_t *db, finance_kind kind, uint64_t order_no, const finance_answer *a,
	const conf_t *conf, int64_t now_ms) MUST_CHECK;

/* The part of it that transfers, refunds and withdrawals share, for the locked row of an order: done is
 * done; refused only waits to be settled, and its check message is written. *done: it was not before. */
typedef struct {
	states_kind kind;
	unsigned pending, done, refused;
	unsigned settled[2]; /* refused, and the money has gone elsewhere; 0: no such state */
} orders_states;
err_t orders_word(db_t *db, const orders_row *row, const orders_states *s, const finance_answer *a,
	int64_t now_ms, bool *done) MUST_CHECK;

/* Which state (*to) it makes an order go to from `pending`, or 0 for none. Pure, but for the log. */
err_t orders_judge(const orders_row *row, const orders_states *s, const finance_answer *a,
	unsigned *to) MUST_CHECK;

/* What follows from a word that is not the end: a transfer, refund or withdrawal that finance has refused
 * for good (the money goes elsewhere), a closed payment that was paid all the same (it goes back). The
 * word is asked for once more, so that the money moves only on finance's answer to a question of
 * our own, and a callback that contradicts it moves nothing. Inside the caller's transaction:
 * payment_settle, transfer_settle, refund_settle, withdrawal_settle. *handed: another order goes on with it, this one
 * only waits for that one's end. */
typedef struct {
	const orders_desk *d;
	uint64_t order_no;
	const finance_answer *a; /* to the question, judged already */
	uint64_t fresh_no;       /* of the order's slot, lost when it is not needed */
	int64_t now_ms, next_check_at_ms;
} orders_settling;

/* Sends a pending transfer, refund or withdrawal to finance (its first time, or again under the same number)
 * and applies the answer. Nothing happens to an order that is not pending. The answer of finance is
 * waited for outside any transaction. An order that stays pending gets a check message (check.h),
 * also when ERR_FINANCE_UNAVAILABLE or ERR_ORDER_CONFLICT is returned. */
err_t orders_submit(const orders_desk *d, finance_kind kind, uint64_t order_no) MUST_CHECK;

/* Pushes one order that is due: asks finance (a number that finance does not know is sent again; a
 * payment past its time is closed at finance; one that is closed is only asked about), applies the answer (or settles what was refused), and, when the order is still not
 * final, counts the try, sets its next time and writes its next check message; after
 * order.stuck_tries it is marked stuck.
 * ERR_FINANCE_UNAVAILABLE and ERR_ORDER_CONFLICT come after that was done. */
err_t orders_check(const orders_desk *d, finance_kind kind, uint64_t order_no) MUST_CHECK;
/* The same for a check message: nothing happens when its try has been made already (check.h).
 * ERR_NOT_FOUND also for a kind that this cell has no orders of. */
err_t orders_check_nth(
	const orders_desk *d, finance_kind kind, uint64_t order_no, uint64_t nth) MUST_CHECK;

/* Inside the caller's transaction, for a person: the order is due now, as if it had never been asked
 * about; and should it get stuck again, somebody is told again. *pushed is false for one at its end; a closed
 * payment is only at rest, and asked about by its check messages alone.
 * ERR_NOT_FOUND. */
err_t orders_push(
	db_t *db, finance_kind kind, uint64_t order_no, int64_t now_ms, bool *pushed) MUST_CHECK;

/* Up to `limit` orders in `state` that are due, leased by moving their next_check_at to
 * lease_until_ms, so that no other sweep takes them. nos[limit], limit ≤ ORDERS_TAKE_MAX. */
err_t orders_take_due(const orders_desk *d, finance_kind kind, unsigned state, unsigned limit,
	int64_t lease_until_ms, uint64_t *nos, size_t *count) MUST_CHECK;

/* Wait before the question after `tries` questions: order.check_ms doubled each time up to
 * order.check_max_ms, less up to a quarter (jitter). */
int64_t orders_wait_ms(const conf_t *conf, unsigned tries);

/* Where finance calls back about an order. */
void orders_notify_url(const conf_t *conf, uint64_t order_no, char out[ORDERS_URL_BYTES]);

/* Callbacks: one transaction: the event's row and its outbox row. *repeated: it was there already.
 * ERR_NOT_FOUND: no such order here; ERR_ORDER_CONFLICT: the same event id came with another
 * content. */
err_t orders_event_store(const orders_desk *d, const char *event_id, const finance_event *e,
	int64_t now_ms, bool *repeated) MUST_CHECK;
/* One transaction: applies the stored event and marks it handled; a handled one changes nothing. */
err_t orders_event_handle(
	const orders_desk *d, uint64_t order_no, const char *event_id, int64_t now_ms) MUST_CHECK;

#endif
