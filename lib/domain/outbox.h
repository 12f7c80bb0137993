/* outbox: events written in the business transaction; the relay publishes them. One row holds a
 * JSON array of events of one kind, so that a batch of claims costs one row. */
#ifndef HB_DOMAIN_OUTBOX_H
#define HB_DOMAIN_OUTBOX_H

#include "base/jw.h"
#include "store/db.h"

typedef enum {
	OUTBOX_CLAIMS =
		1, /* [{"no":claim_no,"p":packet,"u":uid,"a":fen,"s":sender,"k":kind,"t":claimed_at}]
		      → <cell>.transfer of the packet's cell, <cell of u>.inbox */
	OUTBOX_REFUND = 2,   /* [{"no":order_no}] → <cell>.refund */
	OUTBOX_CALLBACK = 3, /* [{"no":order_no,"e":"event id"}] → <cell>.callback */
} outbox_kind;

/* Inside the caller's transaction. `payload` is the JSON array; numbers in it are JSON integers. */
err_t outbox_add(db_t *db, outbox_kind kind, uint64_t business_no, int64_t now_ms,
	const char *payload, size_t n) MUST_CHECK;

#endif
