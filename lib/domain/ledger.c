/* The legs' primary key is what makes a booking happen once: the first leg is inserted before any
 * balance is touched, so a repeat meets its duplicate with nothing to undo. Balances are then
 * changed by conditional updates, the giving account first; both accounts of a booking are of
 * different kinds, so two bookings that touch the same rows lock them in an order that only the
 * table decides. */
#include "domain/ledger.h"

#include "base/logger.h"

typedef struct {
	ledger_account from, to;
	const char *shown;
} booking_row;

static const booking_row bookings[] = {
#define ACCOUNT(name, number, shown, kept, owner, help)
#define BOOKING(name, number, shown, source, from, to)                                             \
	[number] = {LEDGER_##from, LEDGER_##to, shown},
#include "domain/ledger.def"
#undef ACCOUNT
#undef BOOKING
};

static const struct {
	const char *shown;
	bool kept;
} accounts[] = {
#define ACCOUNT(name, number, shown, kept, owner, help) [number] = {shown, kept},
#define BOOKING(name, number, shown, source, from, to)
#include "domain/ledger.def"
#undef ACCOUNT
#undef BOOKING
};

enum {
	BOOKINGS = sizeof bookings / sizeof *bookings,
	ACCOUNTS = sizeof accounts / sizeof *accounts,
};

const char *ledger_account_name(unsigned account)
{
	return account < ACCOUNTS && accounts[account].shown ? accounts[account].shown : "?";
}

const char *ledger_booking_name(unsigned kind)
{
	return kind < BOOKINGS && bookings[kind].shown ? bookings[kind].shown : "?";
}

typedef struct {
	ledger_booking kind;
	uint64_t source_no, from_owner, to_owner;
	int64_t fen, now_ms;
} booking;

static err_t add_leg(db_t *db, const booking *b, bool gains)
{
	const booking_row *row = &bookings[b->kind];
	return db_exec(db, SQL_LEDGER_ADD,
		DB_ARGS(db_u(b->kind), db_u(b->source_no), db_u(gains),
			db_u(gains ? row->to : row->from),
			db_u(gains ? b->to_owner : b->from_owner), db_i(gains ? b->fen : -b->fen),
			db_i(b->now_ms)),
		NULL);
}

static err_t same_booking(db_t *db, const booking *b)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_LEDGER_FIND, DB_ARGS(db_u(b->kind), db_u(b->source_no)), &r);
	if (err != ERR_OK)
		return err;
	bool same = db_rows_count(r) == 2;
	for (unsigned leg = 0; same && db_rows_next(r); leg++)
		same = db_rows_u(r, 0) == (leg ? b->to_owner : b->from_owner) &&
		       db_rows_i(r, 1) == (leg ? b->fen : -b->fen);
	db_rows_free(&r);
	if (same)
		return ERR_OK;
	LOG(ERROR, "ledger.other_booking", {"kind", LOG_S(ledger_booking_name(b->kind))},
		{"source_no", LOG_U(b->source_no)}, {"fen", LOG_I(b->fen)});
	return ERR_ORDER_CONFLICT;
}

static err_t take(db_t *db, const booking *b)
{
	ledger_account kind = bookings[b->kind].from;
	uint64_t taken = 0;
	if (!accounts[kind].kept)
		return ERR_OK;
	err_t err = db_exec(db, SQL_LEDGER_TAKE,
		DB_ARGS(db_i(b->fen), db_u(kind), db_u(b->from_owner), db_i(b->fen)), &taken);
	if (err != ERR_OK || taken == 1)
		return err;
	err = db_exec(db, SQL_LEDGER_UNDO, DB_ARGS(db_u(b->kind), db_u(b->source_no)), NULL);
	return err == ERR_OK ? ERR_BALANCE_TOO_LOW : err;
}

static err_t give(db_t *db, const booking *b)
{
	ledger_account kind = bookings[b->kind].to;
	if (!accounts[kind].kept)
		return ERR_OK;
	return db_exec(
		db, SQL_LEDGER_GIVE, DB_ARGS(db_u(kind), db_u(b->to_owner), db_i(b->fen)), NULL);
}

err_t ledger_book(db_t *db, ledger_booking kind, uint64_t source_no, uint64_t from_owner,
	uint64_t to_owner, int64_t fen, int64_t now_ms, bool *booked)
{
	const booking b = {kind, source_no, from_owner, to_owner, fen, now_ms};
	BUG_ON((unsigned)kind >= BOOKINGS || !bookings[kind].shown || fen <= 0);
	err_t err = add_leg(db, &b, false);
	*booked = err == ERR_OK;
	if (err == ERR_DB_DUPLICATE)
		return same_booking(db, &b);
	if (err == ERR_OK)
		err = take(db, &b);
	if (err == ERR_OK)
		err = give(db, &b);
	return err == ERR_OK ? add_leg(db, &b, true) : err;
}

err_t ledger_booked(db_t *db, ledger_booking kind, uint64_t source_no, bool *booked)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_LEDGER_FIND, DB_ARGS(db_u(kind), db_u(source_no)), &r);
	if (err != ERR_OK)
		return err;
	*booked = db_rows_count(r) > 0;
	db_rows_free(&r);
	return ERR_OK;
}

err_t ledger_book_all(db_t *db, ledger_booking kind, const char *json, size_t n, int64_t now_ms)
{
	const booking_row *row = &bookings[kind];
	uint64_t legs = 0;
	BUG_ON((unsigned)kind >= BOOKINGS || !row->shown || accounts[row->from].kept ||
		accounts[row->to].kept);
	const err_t err = db_exec(db, SQL_LEDGER_ADD_ALL,
		DB_ARGS(db_u(kind), db_u(row->to), db_u(row->from), db_i(now_ms), db_s(json)),
		&legs);
	BUG_ON(err == ERR_OK && legs != 2 * n);
	return err;
}

err_t ledger_balance(db_t *db, ledger_account kind, uint64_t owner, int64_t *fen)
{
	db_rows_t *r;
	BUG_ON((unsigned)kind >= ACCOUNTS || !accounts[kind].kept);
	err_t err = db_select(db, SQL_LEDGER_BALANCE, DB_ARGS(db_u(kind), db_u(owner)), &r);
	if (err != ERR_OK)
		return err;
	*fen = db_rows_next(r) ? db_rows_i(r, 0) : 0;
	db_rows_free(&r);
	return ERR_OK;
}

/* Two numbers must do for the three of the index (cursors hold no more), and a kind is a byte. */
ledger_place ledger_place_of(const ledger_entry *e)
{
	return (ledger_place){(uint64_t)e->at_ms << 8 | e->kind, e->source_no};
}

err_t ledger_page(db_t *db, ledger_account kind, uint64_t owner, const ledger_place *from,
	unsigned limit, ledger_entry *entries, unsigned *count)
{
	db_rows_t *r;
	const uint64_t at = from ? from->at_and_kind >> 8 : INT64_MAX,
		       by = from ? from->at_and_kind & 255 : 0;
	BUG_ON(limit > LEDGER_PAGE_MAX);
	err_t err = db_select(db, SQL_LEDGER_PAGE,
		DB_ARGS(db_u(kind), db_u(owner), db_u(at), db_u(at), db_u(by), db_u(by),
			db_u(from ? from->source_no : 0), db_u(limit)),
		&r);
	if (err != ERR_OK)
		return err;
	for (*count = 0; db_rows_next(r); ++*count)
		entries[*count] = (ledger_entry){.kind = (ledger_booking)db_rows_u(r, 0),
			.source_no = db_rows_u(r, 1),
			.amount_fen = db_rows_i(r, 2),
			.at_ms = db_rows_i(r, 3)};
	db_rows_free(&r);
	return ERR_OK;
}
