/* refund: the order that gives the unclaimed rest of a packet back through finance.
 *
 * A packet that expires keeps its `remaining` and `remaining_count`: from then on they say what was
 * never claimed, so that for every packet claims + refunds = total can be checked from the rows
 * alone. What stops claims is the state. Threads: all safe. */
#ifndef HB_DOMAIN_REFUND_H
#define HB_DOMAIN_REFUND_H

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
 * refund order of what remains (reason expired) and its outbox event. *expired is false when there
 * was nothing to do or the packet is locked by a claim or another sweep: come again later. */
err_t refund_expire_packet(db_t *db, const refund_expiry *x, bool *expired) MUST_CHECK;

/* As orders_apply (orders.h); the end of an expired packet's refund closes the packet. */
err_t refund_apply(db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms) MUST_CHECK;

#endif
