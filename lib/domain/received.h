/* received: what a user has received, in the user's own cell; filled through the inbox queue, so a
 * moment behind the claims. Threads: all safe. */
#ifndef HB_DOMAIN_RECEIVED_H
#define HB_DOMAIN_RECEIVED_H

#include "store/db.h"

typedef struct {
	uint64_t uid, claim_no, packet_id, sender;
	unsigned packet_kind;
	int64_t amount_fen, claimed_at_ms;
} received_row;

/* Inside the caller's transaction; one that is there already stays as it is. */
err_t received_add(db_t *db, const received_row *row) MUST_CHECK;

#endif
