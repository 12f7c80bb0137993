/* credit: the order that brings a claim's money into its claimer's wallet, in the claimer's own cell. It
 * is a transfer (transfer.h) of kind credit, or one of kind finance that finance has refused:
 *
 *	packet's cell: books what it owes the claimer's cell, writes OUTBOX_CREDIT
 *	claimer's cell (role credit): books it into the wallet, writes OUTBOX_CREDITED
 *	packet's cell (role credited): the transfer is at its end
 *
 * Each step is one transaction and may be run any number of times: the booking under the claim's number
 * is there once. While no answer has come, the same event is sent again. Threads: all safe. */
#ifndef HB_DOMAIN_CREDIT_H
#define HB_DOMAIN_CREDIT_H

#include "base/conf.h"
#include "domain/transfer.h"

/* Inside the caller's transaction, in the packet's cell: the pending transfer of a b2c claim if there is
 * none, with its booking CREDIT_OUT to the cell `payee_cell` (its number) and the event.
 * ERR_ORDER_CONFLICT as transfer_add. */
err_t credit_begin(db_t *db, const transfer_claim *c, unsigned payee_cell, int64_t now_ms,
	int64_t next_check_at_ms) MUST_CHECK;

/* Inside the caller's transaction, in the packet's cell: the event that asks the cell of `uid` for the
 * credit; any number of times. */
err_t credit_event(
	db_t *db, uint64_t claim_no, uint64_t uid, int64_t amount_fen, int64_t now_ms) MUST_CHECK;

/* Inside the caller's transaction, in the claimer's cell: CREDIT_IN from the cell `packet_cell` (its
 * number), and the answer, which goes out every time. *credited is false for a repeat.
 * ERR_ORDER_CONFLICT: it was credited with another amount or to another user. */
err_t credit_take(db_t *db, uint64_t claim_no, uint64_t uid, int64_t amount_fen,
	unsigned packet_cell, int64_t now_ms, bool *credited) MUST_CHECK;

/* Inside the caller's transaction, in the packet's cell: the answer has come. A credit is done, a refused
 * transfer is in the wallet; again changes nothing. ERR_NOT_FOUND; ERR_ORDER_CONFLICT: a transfer that
 * nobody wanted credited. */
err_t credit_done(db_t *db, uint64_t claim_no, int64_t now_ms) MUST_CHECK;

/* Inside the caller's transaction, in the packet's cell: up to `limit` credits that are due get the same
 * event again; each counts a try, gets its next time, and is stuck after order.stuck_tries. Rows locked
 * by others are passed over. */
enum { CREDIT_AGAIN_MAX = 1000 };
err_t credit_again(
	db_t *db, const conf_t *conf, unsigned limit, int64_t now_ms, unsigned *count) MUST_CHECK;

/* orders_push for a credit: the sweep asks for it again at once. */
err_t credit_push(db_t *db, uint64_t claim_no, int64_t now_ms, bool *pushed) MUST_CHECK;

#endif
