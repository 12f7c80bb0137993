/* refund: the order that gives the unclaimed rest of a packet back through finance; of a b2c packet it
 * goes back to the campaign.
 *
 * A packet that expires keeps its `remaining` and `remaining_count`: from then on they say what was
 * never claimed, so that for every packet claims + refunds = total can be checked from the rows
 * alone. What stops claims is the state. Threads: all safe. */
#ifndef HB_DOMAIN_REFUND_H
#define HB_DOMAIN_REFUND_H

#include "domain/orders.h"
#include "domain/states.h"
#include "store/db.h"
#include "store/finance.h"

/* Stored; never reuse a number. */
typedef enum {
	REFUND_EXPIRED = 1,
	REFUND_LATE_PAYMENT = 2,
	REFUND_REFUSED_TRANSFER = 3
} refund_reason;

/* Where a walk over the expired packets stands; start with zeros. */
typedef struct {
	int64_t expires_at_ms;
	uint64_t packet_id;
} refund_cursor;

/* Up to `limit` open packets that have expired, from *at on, which moves on behind them. Locks
 * nothing. */
err_t refund_expired_packets(db_t *db, int64_t now_ms, unsigned limit, refund_cursor *at,
	uint64_t *packet_ids, size_t *count) MUST_CHECK;

typedef struct {
	uint64_t packet_id;
	uint64_t refund_no; /* a fresh number of the packet's slot, lost when it is not needed */
	int64_t now_ms, next_check_at_ms;
} refund_expiry;

/* Inside the caller's transaction: an open packet whose time is over goes to `refunding`, with one
 * refund order of what remains (reason expired) and its outbox event; a b2c packet goes to `closed`, and
 * what remains is booked back to its campaign. *expired is false when there
 * was nothing to do or the packet is locked by a claim or another sweep: come again later. */
err_t refund_expire_packet(db_t *db, const refund_expiry *x, bool *expired) MUST_CHECK;

/* Inside the caller's transaction: a refund order that is not about an expired packet, with its outbox
 * event, unless there is one of this packet, reason and claim already. Never more than the payment
 * less its other refunds: ERR_ORDER_CONFLICT, logged. */
typedef struct {
	refund_reason reason;
	uint64_t refund_no, packet_id, claim_no /* 0: none */, payment_no, payee;
	int64_t amount_fen, now_ms, next_check_at_ms;
} refund_order;
err_t refund_make(db_t *db, const refund_order *r) MUST_CHECK;
/* Whether there is one. */
err_t refund_made(db_t *db, uint64_t packet_id, refund_reason reason, uint64_t claim_no,
	bool *made) MUST_CHECK;

/* A refund that finance has refused for good goes to the payer's wallet (orders_settling in
 * orders.h). One whose reason says that the payment does not bear it (not paid, too much, another
 * payer) moves nothing: ERR_ORDER_CONFLICT, for a person. */
err_t refund_settle(db_t *db, const orders_settling *s, bool *handed) MUST_CHECK;

/* As orders_apply (orders.h); at its end, by finance or by wallet, the expired packet is closed, the late
 * payment refunded, the refused transfer returned. */
err_t refund_apply(db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms) MUST_CHECK;

#endif
