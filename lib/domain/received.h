/* received: what a user has received, in the user's own cell; filled through the inbox queue, so a
 * moment behind the claims. Threads: all safe. */
#ifndef HB_DOMAIN_RECEIVED_H
#define HB_DOMAIN_RECEIVED_H

#include "store/db.h"

enum { RECEIVED_LIST_MAX = 100 };

typedef struct {
	uint64_t uid, claim_no, packet_id, sender;
	unsigned packet_kind;
	int64_t amount_fen, claimed_at_ms;
} received_row;

/* Inside the caller's transaction; one that is there already stays as it is. */
err_t received_add(db_t *db, const received_row *row) MUST_CHECK;
/* Up to `limit` (≤ RECEIVED_LIST_MAX) rows of the user with claim_no below `below` (INT64_MAX: from
 * the newest), newest first. */
err_t received_list(db_t *db, uint64_t uid, uint64_t below, unsigned limit, received_row *rows,
	unsigned *count) MUST_CHECK;

#endif
