/* subsidy: a coupon in its user's cell: recorded once per (issuer, external order number), spent at
 * most once, by sending a b2c packet, or expired back to its campaign. Threads: all safe. */
#ifndef HB_DOMAIN_SUBSIDY_H
#define HB_DOMAIN_SUBSIDY_H

#include "domain/token.h"
#include "store/db.h"

#define SUBSIDY_RAIN "rain" /* the issuer of what hb-rain gives */
enum { SUBSIDY_ISSUER_BYTES = 17, SUBSIDY_LIST_MAX = 101 };

typedef struct {
	uint64_t subsidy_id, uid, campaign, lease_id;
	char issuer[SUBSIDY_ISSUER_BYTES], out_order_no[TOKEN_OUT_ORDER_BYTES];
	int64_t amount_fen, expires_at_ms, created_at_ms;
	unsigned state;     /* STATES_SUBSIDY_… */
	uint64_t packet_id; /* 0: not spent */
} subsidy_row;

/* Inside the caller's transaction: the tracking row, the subsidy's row and its booking (RECORD) for
 * a win of the rain; when they are there already, nothing. *row is the subsidy as it is in the
 * database: its number is that of whoever was first. ERR_ORDER_CONFLICT: the external order number
 * is known with another uid or amount. */
err_t subsidy_record(db_t *db, const token_win *win, int64_t now_ms, subsidy_row *row) MUST_CHECK;

/* Inside the caller's transaction, which inserts the packet: takes the user's subsidy (row lock) and
 * moves it to `spent` for packet_id, with its booking (SPEND). ERR_NOT_FOUND (also another user's),
 * ERR_SUBSIDY_SPENT, ERR_SUBSIDY_EXPIRED. A rerun with the same packet_id finds itself and is
 * ERR_OK. */
err_t subsidy_spend(db_t *db, uint64_t uid, uint64_t subsidy_id, uint64_t packet_id, int64_t now_ms,
	subsidy_row *row) MUST_CHECK;

#endif
