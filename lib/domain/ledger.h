/* ledger: double-entry books of one cell. A booking moves fen from one account to another inside
 * the caller's transaction, once per (booking, source number) however often it is asked for. Rows
 * of ledger.def say which accounts and bookings there are. Threads: all safe. */
#ifndef HB_DOMAIN_LEDGER_H
#define HB_DOMAIN_LEDGER_H

#include "store/db.h"

typedef enum {
#define ACCOUNT(name, number, shown, kept, owner, help) LEDGER_##name = number,
#define BOOKING(name, number, shown, source, from, to)
#include "domain/ledger.def"
#undef ACCOUNT
#undef BOOKING
} ledger_account;

typedef enum {
#define ACCOUNT(name, number, shown, kept, owner, help)
#define BOOKING(name, number, shown, source, from, to) LEDGER_BY_##name = number,
#include "domain/ledger.def"
#undef ACCOUNT
#undef BOOKING
} ledger_booking;

/* Books `fen` (> 0) of `kind` under source_no from the account of from_owner to that of to_owner.
 * *booked is false when that very booking was there already, and nothing is changed then.
 * ERR_BALANCE_TOO_LOW when a kept account would fall below zero (the transaction stays usable and
 * nothing was booked); ERR_ORDER_CONFLICT when it was booked with another amount or owners. */
err_t ledger_book(db_t *db, ledger_booking kind, uint64_t source_no, uint64_t from_owner,
	uint64_t to_owner, int64_t fen, int64_t now_ms, bool *booked) MUST_CHECK;

/* Whether this booking is there. */
err_t ledger_booked(db_t *db, ledger_booking kind, uint64_t source_no, bool *booked) MUST_CHECK;

/* Books many of a kind between accounts of which no balance is kept, from and to the same owner:
 * `json` is an array of n objects with n (source number), c (owner) and a (fen > 0). ERR_DB_DUPLICATE
 * when one of them was booked before. */
err_t ledger_book_all(
	db_t *db, ledger_booking kind, const char *json, size_t n, int64_t now_ms) MUST_CHECK;

/* The kept balance; 0 for an account that has never been booked on. */
err_t ledger_balance(db_t *db, ledger_account kind, uint64_t owner, int64_t *fen) MUST_CHECK;

/* One leg of an account, as its owner sees it. */
typedef struct {
	ledger_booking kind;
	uint64_t source_no;
	int64_t amount_fen, at_ms; /* what the account gained: negative for what left it */
} ledger_entry;

/* Where an entry stands in the order of an account's entries: time, kind, number. */
typedef struct {
	uint64_t at_and_kind, source_no;
} ledger_place;

enum { LEDGER_PAGE_MAX = 101 };
ledger_place ledger_place_of(const ledger_entry *e);
/* Up to `limit` (≤ LEDGER_PAGE_MAX) entries of an account, newest first, of those behind *from (NULL: from
 * the newest). */
err_t ledger_page(db_t *db, ledger_account kind, uint64_t owner, const ledger_place *from,
	unsigned limit, ledger_entry *entries, unsigned *count) MUST_CHECK;

const char *ledger_account_name(unsigned account); /* "wallet"; "?" for an unknown number */
const char *ledger_booking_name(unsigned kind);    /* "spend"; "?" for an unknown number */

#endif
