/* book: the institution's rules and books: orders, what moved, and whom to call back. An order
 * changes its outcome once; with it, in one transaction, go its entry (the money) and its event
 * (the callback). The tables are described in docs/finance-protocol.md, for tests read them.
 * Threads: all safe. */
#ifndef HB_SIM_BOOK_H
#define HB_SIM_BOOK_H

#include "base/keys.h"
#include "base/trace.h"
#include "sim/faults.h"
#include "sim/vault.h"
#include "store/finance.h"

enum { BOOK_URL_BYTES = 301, BOOK_SUBJECT_BYTES = 401, BOOK_EVENT_BODY_BYTES = 512 };

typedef struct book book_t;

typedef struct {
	finance_kind kind;
	uint64_t order_no, uid, payment_no;
	int64_t amount_fen, expires_at_ms;
	finance_outcome outcome;
	char reason[64];
	char trace
		[TRACE_TEXT_BYTES]; /* of the request, if it is followed; "": none. Goes with callbacks */
	char subject[BOOK_SUBJECT_BYTES], return_url[BOOK_URL_BYTES], notify_url[BOOK_URL_BYTES];
} book_order;

/* `opening_fen`: what the merchant has besides payments; put in once, when the file is new.
 * `on_event` runs on the writer's thread when there may be a new callback to send. */
err_t book_open(const char *path, const char *merchant, int64_t opening_fen, faults_t *faults,
	void (*on_event)(void *), void *ctx, book_t **out) MUST_CHECK;
void book_close(book_t **b);
vault_counts book_counts(book_t *b);

/* Makes the order of `o` (kind to notify_url) or finds it; fills in the rest of `o`.
 * ERR_ORDER_CONFLICT: known with another kind, uid, amount or payment. */
err_t book_submit(book_t *b, book_order *o) MUST_CHECK;
/* ERR_NOT_FOUND; ERR_ORDER_CONFLICT: the number is another kind's. */
err_t book_query(book_t *b, finance_kind kind, uint64_t order_no, book_order *o) MUST_CHECK;
/* A pending payment is closed; one that is not known is closed as well, for ever: a request that
 * was under way when its sender gave it up must not open it afterwards. */
err_t book_close_payment(book_t *b, uint64_t order_no, book_order *o) MUST_CHECK;
/* The payer has paid: done unless it is closed, refused or past its time; o says which. */
err_t book_pay(book_t *b, uint64_t order_no, book_order *o) MUST_CHECK;

typedef struct {
	int64_t entry_id, amount_fen, at_ms;
	finance_kind kind;
	uint64_t order_no, uid, payment_no;
} book_entry;
typedef void (*book_entry_fn)(void *ctx, const book_entry *e);

/* Entries after entry `after`, in order: of one user, or of one UTC day (days since 1970); kind 0
 * is every kind. *more: the limit cut it short. */
typedef struct {
	uint64_t uid;
	int64_t day;
	finance_kind kind;
	int64_t after;
	int64_t limit;
} book_entries_query;
err_t book_entries(book_t *b, const book_entries_query *q, book_entry_fn each, void *ctx,
	bool *more) MUST_CHECK;

typedef struct {
	int64_t paid_fen, received_fen, refunded_fen, received_count;
} book_account;
err_t book_account_of(book_t *b, uint64_t uid, book_account *out) MUST_CHECK;

/* ---- callbacks to send ---- */
typedef struct {
	char event_id[65];
	char url[BOOK_URL_BYTES];
	char body[BOOK_EVENT_BODY_BYTES];
	char trace[TRACE_TEXT_BYTES];
} book_event;
typedef struct {
	char event_id[65];
	bool delivered;
} book_delivery;

/* The most urgent events that are due; *next_ms: wall time of the next that is not, 0 for none. */
err_t book_events_due(
	book_t *b, book_event *out, unsigned room, unsigned *count, int64_t *next_ms) MUST_CHECK;
/* *delivered: a callback about the order has had its 204. */
err_t book_event_delivered(book_t *b, uint64_t order_no, bool *delivered) MUST_CHECK;
/* Notes what became of deliveries; failed ones are due again later, at growing intervals. */
err_t book_events_tried(book_t *b, const book_delivery *d, unsigned count) MUST_CHECK;

#endif
