/* outbox: events written in the business transaction; the relay publishes them. One row holds a
 * JSON array of events of one kind, so that a batch of claims costs one row. A message in RabbitMQ
 * has the same form: a slice of one row's array. Threads: all safe. */
#ifndef HB_DOMAIN_OUTBOX_H
#define HB_DOMAIN_OUTBOX_H

#include "base/jw.h"
#include "base/trace.h"
#include "store/db.h"
#include <jansson.h>

typedef enum {
	OUTBOX_CLAIMS =
		1, /* [{"no":claim_no,"p":packet,"u":uid,"a":fen,"s":sender,"k":kind,"t":claimed_at}]
		      → <cell>.transfer of the packet's cell, <cell of u>.inbox */
	OUTBOX_REFUND = 2,   /* [{"no":order_no}] → <cell>.refund */
	OUTBOX_CALLBACK = 3, /* [{"no":order_no,"e":"event id"}] → <cell>.callback */
	OUTBOX_SUBSIDY =
		4, /* [{"no":subsidy_id,"u":uid,"a":fen,"o":"out_order_no","c":campaign,"x":expires_at,
		      "l":lease_id}], a win of hb-rain → <cell of u>.subsidy */
	OUTBOX_CREDIT = 5,   /* [{"no":claim_no,"u":uid,"a":fen}] → <cell of u>.credit */
	OUTBOX_CREDITED = 6, /* [{"no":claim_no}]: it is in the wallet → <cell of no>.credited */
	OUTBOX_WITHDRAWAL = 7, /* [{"no":order_no}] → <cell>.withdraw */
	OUTBOX_CHECK = 8, /* [{"no":order_no,"k":finance kind,"d":delay,"n":try}] → <cell>.wait<d>,
				  and from there <cell>.check (check.h) */
	OUTBOX_ISSUE = 9, /* [{"i":"issuer","o":"out_order_no","u":uid,"a":fen,"c":"campaign",
			     "x":expires_at}], a partner's → <cell of u>.issue; one that was put off also
			     has "f", since when (workers/issue.c) */
} outbox_kind;

/* Any event may have "tp" besides: the traceparent of the request that it came of, if that trace is
 * followed (base/trace.h). It goes with the event into every message. */
void outbox_write_trace(jw_t *w); /* this thread's, inside an event's object */

/* Inside the caller's transaction. `payload` is the JSON array; numbers in it are JSON integers. */
err_t outbox_add(db_t *db, outbox_kind kind, uint64_t business_no, int64_t now_ms,
	const char *payload, size_t n) MUST_CHECK;

/* The event that is no more than a number: [{"no":business_no}]. */
err_t outbox_number(db_t *db, outbox_kind kind, uint64_t business_no, int64_t now_ms) MUST_CHECK;

/* For the relay and the consumers. */
enum { OUTBOX_EVENT_ID_BYTES = 65, OUTBOX_PAYLOAD_MAX_BYTES = 4 << 20 };

typedef struct {
	uint64_t no;
	uint64_t packet_id, uid, sender;
	int64_t amount_fen, claimed_at_ms;
	unsigned packet_kind;
	char event_id[OUTBOX_EVENT_ID_BYTES];     /* of CALLBACK */
	char out_order_no[OUTBOX_EVENT_ID_BYTES]; /* of SUBSIDY, like the next line */
	uint64_t campaign, expires_at_ms, lease_id;
	char issuer[OUTBOX_EVENT_ID_BYTES], campaign_name[OUTBOX_EVENT_ID_BYTES]; /* of ISSUE */
	unsigned order_kind, delay;         /* of CHECK, like the next line */
	uint64_t nth;                       /* which try it is to be, from 1 */
	char traceparent[TRACE_TEXT_BYTES]; /* of a trace that is followed; "": none */
} outbox_event;

/* A claim's event once more, inside the caller's transaction: what CLAIMS has, from `e`. */
err_t outbox_claim(db_t *db, const outbox_event *e, int64_t now_ms) MUST_CHECK;

typedef struct {
	json_t *array; /* event i is its element i */
	outbox_event *event;
	size_t count; /* ≥ 1 */
} outbox_events;

/* Strict about the fields above, indifferent to others. ERR_INVALID_JSON, ERR_INVALID_FIELD. */
err_t outbox_parse(outbox_kind kind, const char *payload, size_t n, outbox_events *out) MUST_CHECK;
void outbox_events_free(outbox_events *e);
/* The events of several, copied into one without an array; the caller frees out->event. */
void outbox_events_join(const outbox_events *part, size_t parts, outbox_events *out);

/* Inside the caller's transaction: up to `limit` rows with id ≥ from that are free, in id order,
 * locked; rows locked by others are passed over. Columns of *out: id, kind, payload. */
err_t outbox_lock_free(
	db_t *db, uint64_t from, int64_t now_ms, unsigned limit, db_rows_t **out) MUST_CHECK;
/* The rows belong to nobody else until then (0: to nobody at all). */
err_t outbox_lease(db_t *db, const uint64_t *id, size_t n, int64_t until_ms) MUST_CHECK;
err_t outbox_delete(db_t *db, const uint64_t *id, size_t n) MUST_CHECK;
/* Whether outbox_lock_free might find something; locks nothing. */
err_t outbox_waiting(db_t *db, uint64_t from, int64_t now_ms, bool *waiting) MUST_CHECK;
/* A row that cannot be read, moved to `parked` in the caller's transaction. */
err_t outbox_park(db_t *db, uint64_t id, const char *reason, int64_t now_ms) MUST_CHECK;

#endif
