/* finance: our side of the finance protocol (docs/finance-protocol.md): HTTP, signed. One finance_t
 * per thread (a curl handle that is kept). Everything is idempotent by our order number. Only a
 * FINANCE_REFUSED or FINANCE_CLOSED that finance says of that very number is final; a time-out, a
 * 5xx and an unknown number say nothing: ERR_FINANCE_UNAVAILABLE or FINANCE_NOT_KNOWN, ask or send
 * again. The thread's traceparent (base/trace.h) goes with every call. */
#ifndef HB_STORE_FINANCE_H
#define HB_STORE_FINANCE_H

#include "base/err.h"
#include "base/keys.h"
#include "store/finance_limits.h"
#include <stdint.h>

typedef enum {
	FINANCE_PAYMENT = 1,
	FINANCE_TRANSFER = 2,
	FINANCE_REFUND = 3,
	FINANCE_WITHDRAWAL = 4
} finance_kind;
typedef enum {
	FINANCE_NOT_KNOWN = 1, /* finance has never heard of the number */
	FINANCE_PENDING = 2,
	FINANCE_DONE = 3,    /* paid, transferred, refunded: final */
	FINANCE_REFUSED = 4, /* final */
	FINANCE_CLOSED = 5,  /* a payment that can no more be paid: final */
} finance_outcome;

typedef struct {
	char urls
		[512]; /* one, or several separated by commas, all with the same path; tried in turn */
	char merchant[32];
	char agent[64]; /* who asks, for finance's log: User-Agent; "": none */
	int64_t connect_ms, total_ms;
	const keys_ring_t *keys; /* shared with finance */
	bool mock;
	finance_limits_t *limits; /* shared by a program's threads, its owner's; NULL: none */
} finance_target;

typedef struct {
	finance_outcome outcome;
	/* 0: not said (a number that was closed before finance knew it; the mock's query). Whoever
	 * compares amounts compares those that were said. */
	int64_t amount_fen;
	char reason[64];       /* of a refusal: finance's code */
	char cashier_url[300]; /* of a payment */
} finance_answer;

typedef struct finance finance_t;

err_t finance_new(const finance_target *t,
	finance_t **out) MUST_CHECK; /* the target is copied, keys are not */
void finance_free(finance_t **f);

typedef struct {
	uint64_t order_no, uid; /* payer or payee */
	int64_t amount_fen;
	uint64_t payment_no;    /* refunds: of which payment */
	int64_t expires_at_ms;  /* payments */
	const char *subject;    /* payments: shown at the cashier, UTF-8, at most 100 bytes */
	const char *return_url; /* payments: where the cashier sends the payer back to */
	const char *notify_url; /* where the callback goes */
} finance_order;

/* Creates the order, or gives the state of the same order if finance has it already.
 * ERR_ORDER_CONFLICT: finance knows the number with other values. */
err_t finance_submit(
	finance_t *f, finance_kind kind, const finance_order *o, finance_answer *a) MUST_CHECK;
err_t finance_query(
	finance_t *f, finance_kind kind, uint64_t order_no, finance_answer *a) MUST_CHECK;
/* Asks that a payment never be paid any more; the answer says DONE (it was paid) or CLOSED. */
err_t finance_close(finance_t *f, uint64_t order_no, finance_answer *a) MUST_CHECK;

/* One part of the statement of a day ("2026-11-22", UTC) from cursor `after` on (0: from its
 * beginning), as finance signed it: lines with their ends, the last one "#next,<cursor>" or "#end".
 * *text (*n bytes, zero-terminated) is valid until the next call. ERR_FINANCE_UNAVAILABLE: no
 * answer that counts. */
err_t finance_statement(
	finance_t *f, const char *day, uint64_t after, const char **text, size_t *n) MUST_CHECK;

/* The signature both ways: HMAC-SHA256 over "v1\n<merchant>\n<unix
 * seconds>\n<id>\n<METHOD>\n<path>\n<hex sha256 of the body>", header X-Finance-Signature: "v1
 * <merchant> <unix seconds> <id> <key id> <base64url mac>". The body holds order number and amount.
 * <path> is the request target as sent, with its query if it has one. An answer of finance is
 * signed the same way with <METHOD> = the status ("200") and <id> = the request's id: neither a
 * proxy's page nor an older answer passes for finance's word. */
void finance_sign(const keys_ring_t *keys, const char *merchant, int64_t unix_s, const char *id,
	const char *method, const char *path, const void *body, size_t n, char header[256]);
/* ERR_SIGNATURE_INVALID when malformed, of another merchant, off by more than skew_s, or not
 * verifying. *id gets the event's id (64 bytes room). */
err_t finance_verify(const keys_ring_t *keys, const char *merchant, int64_t now_s, int64_t skew_s,
	const char *header, const char *method, const char *path, const void *body, size_t n,
	char id[65]) MUST_CHECK;

/* "payment", …; "?" for what is none. */
const char *finance_kind_name(finance_kind k);
/* 0 when the name is none. */
finance_kind finance_kind_named(const char *name);
const char *finance_outcome_name(finance_outcome o); /* "pending", "done", "refused", "closed" */
finance_outcome finance_outcome_named(const char *name);

/* A callback's body: {"order_no","kind","outcome","amount":{...},"at"}; what else it holds is left
 * alone. ERR_INVALID_JSON / ERR_INVALID_FIELD. */
typedef struct {
	uint64_t order_no;
	finance_kind kind;
	finance_outcome outcome;
	int64_t amount_fen, at_ms;
} finance_event;
err_t finance_parse_event(const char *body, size_t n, finance_event *out) MUST_CHECK;

/* The answer, signed already, to a question about an order: HTTP status and body.
 * ERR_ORDER_CONFLICT: finance knows the number with other values; ERR_FINANCE_UNAVAILABLE: anything
 * that is no word about this order. *code, always set: what a problem calls itself, "" when nothing. */
enum { FINANCE_CODE_BYTES = 64 };
err_t finance_parse_answer(finance_kind kind, uint64_t order_no, long status, const char *body,
	size_t n, finance_answer *a, char code[FINANCE_CODE_BYTES]) MUST_CHECK;

#endif
