/* payment: the order by which a c2c packet is paid. Created with its packet (packet.h); afterwards
 * only finance's word changes it. */
#ifndef HB_DOMAIN_PAYMENT_H
#define HB_DOMAIN_PAYMENT_H

#include "domain/orders.h"
#include "domain/states.h"
#include "store/db.h"
#include "store/finance.h"

typedef struct {
	uint64_t order_no, packet_id, payer;
	int64_t amount_fen;
	unsigned state;
	int64_t expires_at_ms, created_at_ms;
	char cashier_url[300];
} payment_row;

err_t payment_load(db_t *db, uint64_t order_no, payment_row *out) MUST_CHECK; /* ERR_NOT_FOUND */
err_t payment_of_packet(db_t *db, uint64_t packet_id, payment_row *out) MUST_CHECK;
/* Inside the caller's transaction; with packet_send only. With its first check message. */
err_t payment_insert(db_t *db, const payment_row *row, int64_t next_check_at_ms) MUST_CHECK;
/* Inside the caller's transaction; the first address stays. */
err_t payment_set_cashier(db_t *db, uint64_t order_no, const char *url) MUST_CHECK;

/* Applies finance's word (from a callback, a check or the sweep; any number of times, in any
 * order), inside the caller's transaction: DONE: payment → paid and packet → open (expires_at = now
 * + packet_ttl_ms); CLOSED or REFUSED: payment and packet → closed; PENDING and NOT_KNOWN: nothing.
 * A closed one is asked about some times more (check_add_closed), for a callback may be lost;
 * DONE of a payment that is closed already: → refunding, the packet stays closed.
 * An amount that is said and is not the payment's, and a word against the final state that the
 * payment already has, are refused with ERR_ORDER_CONFLICT, logged, and change nothing.
 * ERR_NOT_FOUND: no such payment. */
err_t payment_apply(db_t *db, uint64_t order_no, const finance_answer *a, int64_t packet_ttl_ms,
	int64_t now_ms) MUST_CHECK;
/* A payment that came in although it was closed goes back by a refund order (orders_settling in
 * orders.h), whose end makes it `refunded`. */
err_t payment_settle(db_t *db, const orders_settling *s, bool *handed) MUST_CHECK;

#endif
