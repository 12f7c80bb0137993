/* issue: a partner's subsidy, step by step over two cells: its number is tracked where the number
 * leads (subsidy_slot), then the subsidy is granted in its user's cell. Each step may be repeated,
 * and whoever comes with the same number finishes what another began. The steps are internal routes
 * (docs/partner-protocol.md); the bodies have one writer and one reader, here. Threads: all safe. */
#ifndef HB_DOMAIN_ISSUE_H
#define HB_DOMAIN_ISSUE_H

#include "base/jw.h"
#include "domain/subsidy.h"
#include "store/peer.h"

enum { ISSUE_CAMPAIGN_BYTES = 33 };

/* What goes between cells: campaigns by their names, which every cell looks up for itself. */
typedef struct {
	subsidy_row s; /* issuer, out_order_no, uid, amount, expires_at; subsidy_id once tracked */
	char campaign[ISSUE_CAMPAIGN_BYTES];
	bool made; /* of a grant: not there before */
} issue_order;

/* Asks the number's cell; *tracked is what it knows, whoever was first. ERR_ORDER_CONFLICT;
 * ERR_SUBSIDY_EXPIRED: nobody was, and its time is over;
 * ERR_INVALID_FIELD: it has no such campaign; ERR_CELL_UNAVAILABLE, ERR_OUTCOME_UNKNOWN: repeat. */
err_t issue_track(peer_t *peer, const issue_order *o, const char *traceparent,
	issue_order *tracked) MUST_CHECK;
/* Asks the user's cell. As issue_track; ERR_BUDGET_SPENT. */
err_t issue_grant(peer_t *peer, const issue_order *tracked, const char *traceparent,
	issue_order *granted) MUST_CHECK;

/* The body of a question and of an answer. */
void issue_write(jw_t *w, const issue_order *o);
/* ERR_INVALID_JSON, ERR_INVALID_FIELD. */
err_t issue_read(const char *body, size_t n, issue_order *out) MUST_CHECK;

#endif
