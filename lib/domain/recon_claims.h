/* recon_claims: claims whose transfer is not there, or has another amount. Threads: as the connection. */
#ifndef HB_DOMAIN_RECON_CLAIMS_H
#define HB_DOMAIN_RECON_CLAIMS_H

#include "domain/recon.h"

typedef struct {
	uint64_t claim_no, packet_id, uid, sender;
	int64_t amount_fen, claimed_at_ms;
	unsigned packet_kind;
	bool lost; /* there is no transfer */
	int64_t transfer_fen;
} recon_claim;
/* An error ends the walk, which returns it. */
typedef err_t (*recon_claim_fn)(void *ctx, const recon_claim *c);

/* Those of the window, in the order of envelopes; *envelopes: how many were looked at. */
err_t recon_claims_walk(db_t *db, const recon_window *window, recon_claim_fn each, void *ctx,
	uint64_t *envelopes) MUST_CHECK;
/* The window in which reconciliation has found that claim. ERR_NOT_FOUND. */
err_t recon_claim_window(db_t *db, uint64_t claim_no, recon_window *out) MUST_CHECK;

#endif
