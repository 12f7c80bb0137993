/* transfer: the order that pays one claim to its claimer, under the claim's number: at finance, or, of
 * a b2c packet, into the wallet (credit.h). Threads: all safe. */
#ifndef HB_DOMAIN_TRANSFER_H
#define HB_DOMAIN_TRANSFER_H

#include "domain/orders.h"
#include "domain/states.h"
#include "store/db.h"
#include "store/finance.h"

/* Stored; never reuse a number. */
typedef enum { TRANSFER_FINANCE = 1, TRANSFER_CREDIT = 2 } transfer_kind;

typedef struct {
	uint64_t claim_no, packet_id, uid;
	int64_t amount_fen;
	transfer_kind kind; /* as the packet's: finance for c2c, credit for b2c */
} transfer_claim;

/* Inside the caller's transaction: makes the pending transfer of a claim if there is none; *made is
 * false when it is there. ERR_ORDER_CONFLICT: no claim in this cell has this number, packet, user,
 * amount and kind, or the number is another transfer's. */
err_t transfer_add(db_t *db, const transfer_claim *c, int64_t now_ms, int64_t next_check_at_ms,
	bool *made) MUST_CHECK;
/* As orders_apply (orders.h). */
err_t transfer_apply(
	db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms) MUST_CHECK;
/* A transfer that finance has refused for good (orders_settling in orders.h): as configured
 * (order.refused_transfer) an event that credits the claimer's wallet, again with every call until
 * that cell's answer has come, or one refund order to the sender. What was begun stays, whatever is
 * configured since. */
err_t transfer_settle(db_t *db, const orders_settling *s, bool *handed) MUST_CHECK;
/* *state is one of STATES_TRANSFER_…; ERR_NOT_FOUND while its message is still on the way. */
err_t transfer_state(db_t *db, uint64_t order_no, transfer_kind *kind, unsigned *state) MUST_CHECK;

/* What the claimer is told about the money. All but `pending` stay as they are for ever. */
typedef enum {
	TRANSFER_END_PENDING,
	TRANSFER_END_DONE,    /* with the claimer, at finance */
	TRANSFER_END_WALLET,  /* in the claimer's wallet */
	TRANSFER_END_RETURNED /* refused by finance, with the sender again */
} transfer_end;
transfer_end transfer_end_of(transfer_kind kind, unsigned state); /* 0, 0: no transfer yet */
const char *transfer_end_name(transfer_end e);                    /* "pending" */

#endif
