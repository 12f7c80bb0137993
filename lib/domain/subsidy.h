/* subsidy: a coupon in its user's cell: recorded once per (issuer, external order number), spent at
 * most once, by sending a b2c packet, or expired back to its campaign. The tracking row comes first
 * of all that is written for a number and says whose it is: of the rain's numbers, which end in
 * their winner's uid, in the winner's own cell; of a partner's, in the cell of subsidy_slot, which
 * issue.h reaches. Threads: all safe. */
#ifndef HB_DOMAIN_SUBSIDY_H
#define HB_DOMAIN_SUBSIDY_H

#include "domain/numbers.h"
#include "domain/token.h"
#include "store/db.h"

#define SUBSIDY_RAIN "rain" /* the issuer of what hb-rain gives */
enum {
	SUBSIDY_ISSUER_BYTES = 17,
	SUBSIDY_LIST_MAX = 101, /* rows of one list, and one more to tell whether there is more */
	SUBSIDY_LIST_START = 2,
	SUBSIDY_FIND_MAX = 256,
};

typedef struct {
	uint64_t subsidy_id, uid, campaign, lease_id;
	char issuer[SUBSIDY_ISSUER_BYTES], out_order_no[TOKEN_OUT_ORDER_BYTES];
	int64_t amount_fen, expires_at_ms, created_at_ms;
	unsigned state;     /* STATES_SUBSIDY_… */
	uint64_t packet_id; /* 0: not spent */
} subsidy_row;

/* Inside the caller's transaction: the tracking row, the subsidy's row and its booking (RECORD) for
 * a win of the rain; when they are there already, nothing. *row is the subsidy as it is in the
 * database: its number is that of whoever was first, or one of `spare` where the win's own belongs
 * to another subsidy. ERR_ORDER_CONFLICT: the external order number is not one of this uid's, or is
 * known with another uid, amount or campaign, or its lease is none of the campaign's.
 * ERR_SUBSIDY_EXPIRED: it was never recorded, and its lease is settled: the money went back. */
err_t subsidy_record(db_t *db, numbers_t *spare, const token_win *win, int64_t now_ms,
	subsidy_row *row) MUST_CHECK;

/* Inside the caller's transaction: as subsidy_record for each of n ≥ 1 wins, in a handful of
 * statements. ERR_DB_DUPLICATE, ERR_ORDER_CONFLICT, ERR_SUBSIDY_EXPIRED: one of them is out of the
 * ordinary; roll back, and record them one by one. */
err_t subsidy_record_all(db_t *db, const token_win *wins, size_t n, int64_t now_ms) MUST_CHECK;

/* Inside the caller's transaction, which inserts the packet: takes the user's subsidy (row lock) and
 * moves it to `spent` for packet_id, with its booking (SPEND). ERR_NOT_FOUND (also another user's),
 * ERR_SUBSIDY_SPENT, ERR_SUBSIDY_EXPIRED. A rerun with the same packet_id finds itself and is
 * ERR_OK. */
err_t subsidy_spend(db_t *db, uint64_t uid, uint64_t subsidy_id, uint64_t packet_id, int64_t now_ms,
	subsidy_row *row) MUST_CHECK;

/* ---- partners ---- */

/* The slot whose cell keeps the tracking row of a partner's number. */
unsigned subsidy_slot(const char *issuer, const char *out_order_no);
/* A partner's name: 1–16 of a-z 0-9 -, and not the rain's. */
bool subsidy_partner_ok(const char *name);

/* Inside the caller's transaction, in the cell of subsidy_slot: the tracking row, if there is none.
 * *first is what it says, whoever wrote it. ERR_ORDER_CONFLICT: known with another uid, amount or
 * campaign. ERR_SUBSIDY_EXPIRED: its time is over and it was not known (roll back); a repeat of one
 * that was is answered whenever it comes. */
err_t subsidy_track(
	db_t *db, const subsidy_row *wanted, int64_t now_ms, subsidy_row *first) MUST_CHECK;
/* Inside the caller's transaction, in the user's cell: the subsidy that was tracked, and its booking
 * (GRANT). *made is false when it was there already; *row is the subsidy as it is.
 * ERR_BUDGET_SPENT: what the campaign has left in this cell is less; nothing was written.
 * ERR_ORDER_CONFLICT: the number stands here with other values. */
err_t subsidy_grant(db_t *db, const subsidy_row *tracked, int64_t now_ms, subsidy_row *row,
	bool *made) MUST_CHECK;
/* The number of the campaign `name` of this cell. ERR_NOT_FOUND. */
err_t subsidy_campaign(db_t *db, const char *name, uint64_t *number) MUST_CHECK;

/* ---- lists ---- */

/* Where a list stands: behind a row as it was shown. One that was spent or expired since has moved
 * on to the second group and is met again there; none is left out. */
typedef struct {
	unsigned usable; /* 1 or 0; SUBSIDY_LIST_START with anything: before all rows */
	int64_t created_at_ms;
	uint64_t subsidy_id;
} subsidy_place;

subsidy_place subsidy_place_of(const subsidy_row *s, int64_t now_ms);
/* Whether a is shown before b. */
bool subsidy_place_before(const subsidy_place *a, const subsidy_place *b);
/* Up to `limit` (≤ SUBSIDY_LIST_MAX) of the user's subsidies behind a place: those that can be spent
 * first, each group from the newest. */
err_t subsidy_list(db_t *db, uint64_t uid, int64_t now_ms, const subsidy_place *behind,
	unsigned limit, subsidy_row *rows, unsigned *count) MUST_CHECK;
/* Those of the rain's external order numbers (n ≤ SUBSIDY_FIND_MAX) that are recorded here, in no
 * order; rows[n]. */
err_t subsidy_recorded(
	db_t *db, const token_win *wins, unsigned n, subsidy_row *rows, unsigned *count) MUST_CHECK;
/* What a client is shown: the state's name, "expired" when usable and now ≥ expires_at. */
const char *subsidy_shown_state(const subsidy_row *s, int64_t now_ms);

/* ---- the end of what nobody spent ---- */

/* Where a walk over the expired subsidies stands; start with zeros. */
typedef struct {
	int64_t expires_at_ms;
	uint64_t subsidy_id;
} subsidy_cursor;
/* Up to `limit` usable subsidies whose time is over, from *at on, which moves on behind them. Locks
 * nothing. */
err_t subsidy_expired(db_t *db, int64_t now_ms, unsigned limit, subsidy_cursor *at, uint64_t *ids,
	size_t *count) MUST_CHECK;
/* Inside the caller's transaction: usable → expired, and its money back to the campaign
 * (SUBSIDY_EXPIRED). *expired is false when there was nothing to do, or somebody spends it right
 * now: come again later. */
err_t subsidy_expire(db_t *db, uint64_t subsidy_id, int64_t now_ms, bool *expired) MUST_CHECK;

/* Up to `limit` open leases whose settle_at has passed. */
err_t subsidy_leases_due(
	db_t *db, int64_t now_ms, unsigned limit, uint64_t *ids, size_t *count) MUST_CHECK;
/* Inside the caller's transaction: an open lease whose settle_at has passed goes to `settled`, and
 * what of it was not recorded goes back to the campaign (SETTLE). The caller knows that no message
 * of it waits any more; should one come all the same, subsidy_record refuses it, because records
 * hold the lease's row while they write. *returned_fen: what went back. */
err_t subsidy_settle(db_t *db, uint64_t lease_id, int64_t now_ms, bool *settled,
	int64_t *returned_fen) MUST_CHECK;

#endif
