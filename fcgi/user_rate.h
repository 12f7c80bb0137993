/* user_rate: how much of an interface a user may have of this program: a rate, and so many at once. A
 * table of fixed size; whoever is forgotten is merely not slowed down. Threads: all safe, without a
 * lock. */
#ifndef HB_FCGI_USER_RATE_H
#define HB_FCGI_USER_RATE_H

#include "base/err.h"
#include "domain/capacity.h"

typedef struct user_rate user_rate_t;

/* The limits are capacity_of_user's. */
user_rate_t *user_rate_new(const conf_t *c);
void user_rate_free(user_rate_t **u);
/* Counts one request of an interface by `who` (a uid, or what else is verified); now_us is clk_mono_us().
 * ERR_RATE_LIMITED with *retry_ms > 0 when it is more than the limit. */
err_t user_rate_check(user_rate_t *u, routes_id route, uint64_t who, int64_t now_us,
	int64_t *retry_ms) MUST_CHECK;

#endif
