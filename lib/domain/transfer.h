/* transfer: the order that pays one claim to its claimer at finance, under the claim's number.
 * Threads: all safe. */
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
} transfer_claim;

/* Inside the caller's transaction: makes the pending transfer of a claim if there is none.
 * ERR_ORDER_CONFLICT: no claim in this cell has this number, packet, user and amount, or the number
 * is another transfer's. */
err_t transfer_add(
	db_t *db, const transfer_claim *c, int64_t now_ms, int64_t next_check_at_ms) MUST_CHECK;
/* As orders_apply (orders.h). */
err_t transfer_apply(
	db_t *db, uint64_t order_no, const finance_answer *a, int64_t now_ms) MUST_CHECK;
/* A transfer that finance has refused for good (orders_settling in orders.h): as configured
 * (order.refused_transfer) an event that credits the claimer's wallet, again with every call until
 * that cell's answer has come, or one refund order to the sender. What was begun stays, whatever is
 * configured since. */
err_t transfer_settle(db_t *db, const orders_settling *s, bool *handed) MUST_CHECK;
/* STATES_TRANSFER_…; ERR_NOT_FOUND while its message is still on the way. */
err_t transfer_state(db_t *db, uint64_t order_no, unsigned *state) MUST_CHECK;

#endif
