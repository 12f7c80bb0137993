/* claim_batch: one transaction that opens packets for many users: locks the packets, gives those who
 * have not claimed the next shares, writes claims, packets and one outbox row, and commits. Three
 * round trips for any number of claims; up to two more when somebody has claimed already or goes
 * without a share. A claim_batch_t is working memory of one thread at a time. */
#ifndef HB_DOMAIN_CLAIM_BATCH_H
#define HB_DOMAIN_CLAIM_BATCH_H

#include "domain/lane.h"

typedef struct {
	numbers_t *numbers;
	shares_t *shares;
	unsigned claims_max; /* of one batch */
	bool skip_locked;    /* leave packets locked by others alone (part.elsewhere); else wait */
} claim_batch_conf;

typedef struct claim_batch claim_batch_t;

claim_batch_t *claim_batch_new(const claim_batch_conf *c);
void claim_batch_free(claim_batch_t **w);

/* As lane_store.run. Unless ERR_OK or ERR_OUTCOME_UNKNOWN, everything is rolled back. May be called
 * again with the same batch whatever it returned: an item whose claim_no is found in its user's
 * claim is CLAIMED by the earlier call. */
err_t claim_batch_run(claim_batch_t *w, db_t *db, lane_batch *b) MUST_CHECK;

#endif
