/* What the domains of reconciliation (recon_c2c.c, recon_b2c.c) share with recon.c. */
#ifndef HB_DOMAIN_RECON_INNER_H
#define HB_DOMAIN_RECON_INNER_H

#include "domain/recon.h"

enum { RECON_PAGE = 2000 /* rows of one query */, RECON_KINDS = RECON_TWICE + 1 };

/* One comparison under way. */
typedef struct {
	const recon_job *job;
	recon_sum sum;
	int64_t began_ms; /* wall */
	recon_diff waiting_write[100];
	unsigned waiting_writes;
	struct {
		uint64_t count;
		recon_diff first;
	} of_kind[RECON_KINDS];
} recon_work;

/* Notes a difference; `ours`, `theirs` by has_…. Written in groups. */
err_t recon_found(recon_work *w, const recon_diff *d) MUST_CHECK;

err_t recon_c2c(recon_work *w) MUST_CHECK;
err_t recon_b2c(recon_work *w) MUST_CHECK;
err_t recon_claims(recon_work *w) MUST_CHECK;
err_t recon_wins(recon_work *w) MUST_CHECK;

#endif
