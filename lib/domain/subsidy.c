/* Why: a win comes by message, by token, and both again, in any order and at once, and must be one
 * subsidy. The tracking row's primary key decides who is first; everybody else waits there for the
 * first one's commit, and then reads what it wrote. A rain's number ends in its winner's uid, so two
 * users cannot meet on one, and its tracking row lies in the same cell as its subsidy: one
 * transaction writes both. A partner's number may come with any uid, so its tracking row lies where
 * the number leads, and the subsidy follows in a second transaction in the user's cell. */
#include "domain/subsidy.h"

#include "base/jw.h"
#include "base/logger.h"
#include "base/parse.h"
#include "domain/ledger.h"
#include "domain/states.h"
#include "domain/subsidy_row.h"
#include <stdio.h>
#include <string.h>

enum { NUMBER_TRIES = 2, SLOTS = 1000, NUMBERS_JSON_BYTES = SUBSIDY_FIND_MAX * 68 + 3 };

void subsidy_row_read(const db_rows_t *r, subsidy_row *s)
{
	*s = (subsidy_row){.subsidy_id = db_rows_u(r, 0),
		.uid = db_rows_u(r, 1),
		.campaign = db_rows_u(r, 4),
		.lease_id = db_rows_u(r, 5),
		.amount_fen = db_rows_i(r, 6),
		.state = (unsigned)db_rows_u(r, 7),
		.expires_at_ms = db_rows_i(r, 8),
		.packet_id = db_rows_null(r, 9) ? 0 : db_rows_u(r, 9),
		.created_at_ms = db_rows_i(r, 10)};
	snprintf(s->issuer, sizeof s->issuer, "%s", db_rows_s(r, 2, NULL));
	snprintf(s->out_order_no, sizeof s->out_order_no, "%s", db_rows_s(r, 3, NULL));
}

err_t subsidy_row_one(db_t *db, sql_id id, const db_val *v, size_t n, subsidy_row *out)
{
	db_rows_t *r;
	err_t e = db_select(db, id, v, n, &r);
	if (e != ERR_OK)
		return e;
	if (db_rows_next(r))
		subsidy_row_read(r, out);
	else
		e = ERR_NOT_FOUND;
	db_rows_free(&r);
	return e;
}

static err_t issued(db_t *db, const subsidy_row *s, subsidy_row *out)
{
	return subsidy_row_one(
		db, SQL_SUBSIDY_ISSUED, DB_ARGS(db_s(s->issuer), db_s(s->out_order_no)), out);
}

static err_t other_values(const subsidy_row *s)
{
	LOG(WARN, "subsidy.conflict", {"issuer", LOG_S(s->issuer)},
		{"out_order_no", LOG_S(s->out_order_no)}, {"uid", LOG_U(s->uid)},
		{"fen", LOG_I(s->amount_fen)});
	return ERR_ORDER_CONFLICT;
}

bool subsidy_same_values(const subsidy_row *a, const subsidy_row *b)
{
	return a->uid == b->uid && a->amount_fen == b->amount_fen && a->campaign == b->campaign;
}

static err_t tracking_find(db_t *db, const subsidy_row *s, subsidy_row *out)
{
	db_rows_t *r;
	err_t e = db_select(
		db, SQL_TRACKING_FIND, DB_ARGS(db_s(s->issuer), db_s(s->out_order_no)), &r);
	if (e != ERR_OK)
		return e;
	BUG_ON(!db_rows_next(r)); /* rows are never deleted */
	*out = *s;
	out->uid = db_rows_u(r, 0);
	out->amount_fen = db_rows_i(r, 1);
	out->campaign = db_rows_u(r, 2);
	out->expires_at_ms = db_rows_i(r, 3);
	out->subsidy_id = db_rows_u(r, 4);
	out->created_at_ms = db_rows_i(r, 5);
	db_rows_free(&r);
	return ERR_OK;
}

/* *first is false when the number is known already, with the same values. */
static err_t track(db_t *db, const subsidy_row *s, int64_t now_ms, bool *first, subsidy_row *known)
{
	err_t e = db_exec(db, SQL_TRACKING_ADD,
		DB_ARGS(db_s(s->issuer), db_s(s->out_order_no), db_u(s->uid), db_i(s->amount_fen),
			db_u(s->campaign), db_i(s->expires_at_ms), db_u(s->subsidy_id),
			db_i(now_ms)),
		NULL);
	*first = e == ERR_OK;
	if (e != ERR_DB_DUPLICATE)
		return e;
	e = tracking_find(db, s, known);
	return e == ERR_OK && !subsidy_same_values(s, known) ? other_values(s) : e;
}

static err_t subsidy_insert(db_t *db, const subsidy_row *s, int64_t now_ms)
{
	return db_exec(db, SQL_SUBSIDY_ADD,
		DB_ARGS(db_u(s->subsidy_id), db_u(s->uid), db_s(s->issuer), db_s(s->out_order_no),
			db_u(s->campaign), db_u(s->lease_id), db_i(s->amount_fen),
			db_u(STATES_SUBSIDY_USABLE), db_i(s->expires_at_ms), db_i(now_ms),
			db_i(now_ms)),
		NULL);
}

/* ---- the rain ---- */

/* Whether the number ends in its winner's uid, as the rain makes it; then no other uid can have it. */
static bool number_names(const char *out_order_no, uint64_t uid)
{
	const char *dot = strrchr(out_order_no, '.');
	uint64_t named;
	return dot && parse_u64(dot + 1, INT64_MAX, &named) && named == uid;
}

/* First of all, so that nothing is written for a lease that is settled. */
err_t subsidy_lease_share(db_t *db, const subsidy_row *s)
{
	db_rows_t *r;
	const err_t e = db_select(db, SQL_LEASE_SHARE, DB_ARGS(db_u(s->lease_id)), &r);
	if (e != ERR_OK)
		return e;
	const bool ours = db_rows_next(r) && db_rows_u(r, 0) == s->campaign;
	const bool open = ours && db_rows_u(r, 1) == STATES_LEASE_OPEN;
	db_rows_free(&r);
	return !ours ? other_values(s) : open ? ERR_OK : ERR_SUBSIDY_EXPIRED;
}

/* The win's own number, or one that nobody else can have. */
static err_t insert_numbered(db_t *db, numbers_t *spare, int64_t now_ms, subsidy_row *s)
{
	err_t e = subsidy_insert(db, s, now_ms);
	for (unsigned i = 1; e == ERR_DB_DUPLICATE && i < NUMBER_TRIES; i++) {
		LOG(INFO, "subsidy.number_taken", {"subsidy_id", LOG_U(s->subsidy_id)},
			{"out_order_no", LOG_S(s->out_order_no)});
		e = numbers_next(spare, numbers_slot(s->uid), &s->subsidy_id);
		if (e == ERR_OK)
			e = db_exec(db, SQL_TRACKING_RENUMBER,
				DB_ARGS(db_u(s->subsidy_id), db_s(s->issuer),
					db_s(s->out_order_no)),
				NULL);
		if (e == ERR_OK)
			e = subsidy_insert(db, s, now_ms);
	}
	return e == ERR_DB_DUPLICATE ? ERR_INTERNAL : e;
}

static err_t record_new(db_t *db, numbers_t *spare, int64_t now_ms, subsidy_row *s)
{
	bool booked;
	const err_t e = insert_numbered(db, spare, now_ms, s);
	return e != ERR_OK ? e
			   : ledger_book(db, LEDGER_BY_RECORD, s->subsidy_id, s->campaign,
				     s->campaign, s->amount_fen, now_ms, &booked);
}

err_t subsidy_of_win(const token_win *win, int64_t now_ms, subsidy_row *out)
{
	subsidy_row s = {.subsidy_id = win->subsidy_id,
		.uid = win->uid,
		.campaign = win->campaign,
		.lease_id = win->lease_id,
		.issuer = SUBSIDY_RAIN,
		.amount_fen = win->amount_fen,
		.expires_at_ms = win->expires_at_ms,
		.created_at_ms = now_ms,
		.state = STATES_SUBSIDY_USABLE};
	snprintf(s.out_order_no, sizeof s.out_order_no, "%s", win->out_order_no);
	if (s.amount_fen <= 0 || !number_names(s.out_order_no, s.uid) ||
		numbers_slot(s.subsidy_id) != numbers_slot(s.uid))
		return other_values(&s);
	*out = s;
	return ERR_OK;
}

err_t subsidy_record(
	db_t *db, numbers_t *spare, const token_win *win, int64_t now_ms, subsidy_row *row)
{
	subsidy_row s, known;
	bool first;
	err_t e = subsidy_of_win(win, now_ms, &s);
	if (e != ERR_OK)
		return e;
	e = subsidy_lease_share(db, &s);
	const bool late = e == ERR_SUBSIDY_EXPIRED;
	if (e == ERR_OK)
		e = track(db, &s, now_ms, &first, &known);
	if (late || (e == ERR_OK && !first)) {
		e = issued(db, &s, &known);
		if (late && e == ERR_NOT_FOUND)
			return ERR_SUBSIDY_EXPIRED;
		if (e == ERR_OK && !subsidy_same_values(&s, &known))
			return other_values(&s);
		if (e == ERR_OK)
			*row = known;
		return e;
	}
	if (e != ERR_OK)
		return e;
	e = record_new(db, spare, now_ms, &s);
	if (e == ERR_OK)
		*row = s;
	return e;
}

err_t subsidy_spend(db_t *db, uint64_t uid, uint64_t subsidy_id, uint64_t packet_id, int64_t now_ms,
	subsidy_row *row)
{
	subsidy_row s;
	bool changed, booked;
	err_t e = subsidy_row_one(db, SQL_SUBSIDY_LOCK, DB_ARGS(db_u(subsidy_id)), &s);
	if (e != ERR_OK)
		return e;
	if (s.uid != uid)
		return ERR_NOT_FOUND;
	if (s.state == STATES_SUBSIDY_SPENT && s.packet_id != packet_id)
		return ERR_SUBSIDY_SPENT;
	if (s.state == STATES_SUBSIDY_EXPIRED ||
		(s.state == STATES_SUBSIDY_USABLE && now_ms >= s.expires_at_ms))
		return ERR_SUBSIDY_EXPIRED;
	if (s.state == STATES_SUBSIDY_USABLE) {
		e = states_change(db, STATES_SUBSIDY, subsidy_id, STATES_SUBSIDY_USABLE,
			STATES_SUBSIDY_SPENT, STATES_BY_SEND, now_ms, s.expires_at_ms, &changed);
		BUG_ON(e == ERR_OK && !changed); /* the row is locked */
		if (e == ERR_OK)
			e = db_exec(db, SQL_SUBSIDY_SPENT_ON,
				DB_ARGS(db_u(packet_id), db_u(subsidy_id)), NULL);
		if (e == ERR_OK)
			e = ledger_book(db, LEDGER_BY_SPEND, packet_id, s.campaign, s.campaign,
				s.amount_fen, now_ms, &booked);
	}
	if (e != ERR_OK)
		return e;
	*row = s;
	row->state = STATES_SUBSIDY_SPENT;
	row->packet_id = packet_id;
	return ERR_OK;
}

/* ---- partners ---- */

unsigned subsidy_slot(const char *issuer, const char *out_order_no)
{
	char text[SUBSIDY_ISSUER_BYTES + TOKEN_OUT_ORDER_BYTES];
	uint8_t hash[32];
	const int n = snprintf(text, sizeof text, "%s\n%s", issuer, out_order_no);
	BUG_ON(n <= 0 || (size_t)n >= sizeof text);
	keys_sha256(text, (size_t)n, hash);
	uint32_t first = 0;
	for (unsigned i = 0; i < sizeof first; i++)
		first = first << 8 | hash[i];
	return first % SLOTS;
}

bool subsidy_partner_ok(const char *name)
{
	const size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return n >= 1 && n < SUBSIDY_ISSUER_BYTES && name[n] == 0 &&
	       strcmp(name, SUBSIDY_RAIN) != 0;
}

err_t subsidy_track(db_t *db, const subsidy_row *wanted, int64_t now_ms, subsidy_row *first)
{
	bool ours;
	subsidy_row known;
	BUG_ON(!subsidy_partner_ok(wanted->issuer));
	const err_t e = track(db, wanted, now_ms, &ours, &known);
	if (e != ERR_OK)
		return e;
	if (ours && wanted->expires_at_ms <= now_ms)
		return ERR_SUBSIDY_EXPIRED;
	*first = ours ? *wanted : known;
	return ERR_OK;
}

err_t subsidy_grant(
	db_t *db, const subsidy_row *tracked, int64_t now_ms, subsidy_row *row, bool *made)
{
	subsidy_row s = *tracked;
	bool booked;
	BUG_ON(!subsidy_partner_ok(s.issuer) || s.amount_fen <= 0);
	s.lease_id = s.packet_id = 0;
	s.state = STATES_SUBSIDY_USABLE;
	s.created_at_ms = now_ms;
	err_t e = subsidy_insert(db, &s, now_ms);
	if (e == ERR_DB_DUPLICATE) {
		subsidy_row there;
		e = issued(db, &s, &there);
		if (e != ERR_OK)
			return e;
		if (!subsidy_same_values(&s, &there) || s.subsidy_id != there.subsidy_id)
			return other_values(&s);
		*row = there;
		*made = false;
		return ERR_OK;
	}
	if (e == ERR_OK)
		e = ledger_book(db, LEDGER_BY_GRANT, s.subsidy_id, s.campaign, s.campaign,
			s.amount_fen, now_ms, &booked);
	if (e == ERR_BALANCE_TOO_LOW)
		return ERR_BUDGET_SPENT;
	if (e != ERR_OK)
		return e;
	*row = s;
	*made = true;
	return ERR_OK;
}

err_t subsidy_campaign(db_t *db, const char *name, uint64_t *number)
{
	db_rows_t *r;
	err_t e = db_select(db, SQL_SUBSIDY_CAMPAIGN, DB_ARGS(db_s(name)), &r);
	if (e != ERR_OK)
		return e;
	if (db_rows_next(r))
		*number = db_rows_u(r, 0);
	else
		e = ERR_NOT_FOUND;
	db_rows_free(&r);
	return e;
}

/* ---- lists ---- */

static err_t rows_read(db_t *db, sql_id id, const db_val *v, size_t n, unsigned room,
	subsidy_row *rows, unsigned *count)
{
	db_rows_t *r;
	const err_t e = db_select(db, id, v, n, &r);
	if (e != ERR_OK)
		return e;
	BUG_ON(db_rows_count(r) > room);
	*count = 0;
	while (db_rows_next(r))
		subsidy_row_read(r, &rows[(*count)++]);
	db_rows_free(&r);
	return ERR_OK;
}

static bool usable(const subsidy_row *s, int64_t now_ms)
{
	return s->state == STATES_SUBSIDY_USABLE && s->expires_at_ms > now_ms;
}

subsidy_place subsidy_place_of(const subsidy_row *s, int64_t now_ms)
{
	return (subsidy_place){usable(s, now_ms), s->created_at_ms, s->subsidy_id};
}

bool subsidy_place_before(const subsidy_place *a, const subsidy_place *b)
{
	if (a->usable != b->usable)
		return a->usable > b->usable;
	if (a->created_at_ms != b->created_at_ms)
		return a->created_at_ms > b->created_at_ms;
	return a->subsidy_id > b->subsidy_id;
}

err_t subsidy_list(db_t *db, uint64_t uid, int64_t now_ms, const subsidy_place *behind,
	unsigned limit, subsidy_row *rows, unsigned *count)
{
	BUG_ON(limit > SUBSIDY_LIST_MAX);
	return rows_read(db, SQL_SUBSIDY_PAGE,
		DB_ARGS(db_u(uid), db_u(STATES_SUBSIDY_USABLE), db_i(now_ms), db_u(behind->usable),
			db_i(behind->created_at_ms), db_u(behind->subsidy_id),
			db_u(STATES_SUBSIDY_USABLE), db_i(now_ms), db_u(limit)),
		limit, rows, count);
}

err_t subsidy_recorded(
	db_t *db, const token_win *wins, unsigned n, subsidy_row *rows, unsigned *count)
{
	char list[NUMBERS_JSON_BYTES];
	jw_t w;
	BUG_ON(n > SUBSIDY_FIND_MAX);
	jw_start_fixed(&w, list, sizeof list);
	jw_arr(&w, NULL);
	for (unsigned i = 0; i < n; i++)
		jw_str(&w, NULL, wins[i].out_order_no);
	jw_arr_end(&w);
	BUG_ON(jw_end(&w) == 0);
	return rows_read(
		db, SQL_SUBSIDY_RECORDED, DB_ARGS(db_s(list), db_s(SUBSIDY_RAIN)), n, rows, count);
}

const char *subsidy_shown_state(const subsidy_row *s, int64_t now_ms)
{
	if (s->state == STATES_SUBSIDY_USABLE && !usable(s, now_ms))
		return states_shown(STATES_SUBSIDY, STATES_SUBSIDY_EXPIRED);
	return states_shown(STATES_SUBSIDY, s->state);
}
