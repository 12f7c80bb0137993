/* rain_budget: the campaigns of the cell as this hb-rain knows them, and the blocks of their budgets
 * that it holds. A thread of its own reads the campaigns and leases ahead of need; nothing else of
 * hb-rain asks the database. A lease serves only tokens that end no later than it says, is left to
 * the settlement when it ends or when this process does, and never comes back to it.
 *
 * Threads: campaign lookup from all, without a lock; taking from one at a time. */
#ifndef HB_FCGI_RAIN_BUDGET_H
#define HB_FCGI_RAIN_BUDGET_H

#include "domain/campaign.h"
#include "domain/numbers.h"
#include "domain/program.h"

typedef struct rain_budget rain_budget_t;

err_t rain_budget_new(
	const program_t *p, db_pool_t *db, numbers_t *numbers, rain_budget_t **out) MUST_CHECK;
/* Ends the thread; waits for the transaction in flight. */
void rain_budget_free(rain_budget_t **b);

/* NULL when there is none of that name. Good for ten seconds at least after it was replaced. */
const campaign_t *rain_budget_campaign(const rain_budget_t *b, const char *name, size_t len);
/* The i-th of them, from 0; NULL past the last. Good for as long. */
const campaign_t *rain_budget_campaign_at(const rain_budget_t *b, unsigned i);
/* False until the campaigns were read once. */
bool rain_budget_known(const rain_budget_t *b);

typedef enum {
	RAIN_BUDGET_TAKEN,
	RAIN_BUDGET_SPENT,   /* there is no budget left that could be leased */
	RAIN_BUDGET_WAITING, /* a lease is on its way */
} rain_budget_result;
rain_budget_result rain_budget_take(
	rain_budget_t *b, const token_win *win, int64_t now_ms, uint64_t *lease_id);
bool rain_budget_spent(rain_budget_t *b, uint32_t campaign);

#endif
