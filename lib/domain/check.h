/* check: the delayed messages that have finance asked about an order which is not final yet, the
 * second of the three mechanisms that push orders. Every order that is left pending has one such
 * message under way, written by the transaction that left it so; the message says which try it is
 * to be, and one that comes when somebody else (the sweep, a copy of it) has made that try already
 * is out of date. Threads: all safe. */
#ifndef HB_DOMAIN_CHECK_H
#define HB_DOMAIN_CHECK_H

#include "store/db.h"
#include "store/finance.h"

enum { CHECK_DELAYS = 4 }; /* <cell>.wait1 … wait4; how long each is stands in domain/queue.h */

/* Inside the caller's transaction, for an order that has been asked about `tries` times in its
 * present state: one OUTBOX_CHECK event, with the next longer delay for each try. */
err_t check_add(
	db_t *db, finance_kind kind, uint64_t order_no, uint64_t tries, int64_t now_ms) MUST_CHECK;
/* The same of a payment that finance has closed, whose money may come in all the same: it is asked about
 * CHECK_CLOSED_TRIES times, after 10, 60 and 300 s, and then left at rest. */
enum { CHECK_CLOSED_TRIES = 3 };
err_t check_add_closed(db_t *db, uint64_t order_no, uint64_t tries, int64_t now_ms) MUST_CHECK;

/* Whether a message for try `nth` still has something to do when `tries` have been made. */
static inline bool check_current(uint64_t nth, uint64_t tries)
{
	return tries < nth;
}

#endif
