/* Many wins in a handful of statements: a consumer that is behind records thousands a second, and a
 * statement for each row of each would make the round trips its limit. What is out of the ordinary
 * (a number that somebody else writes right now, or knows otherwise, a lease that is settled) is
 * left to subsidy_record, one by one. */
#include "base/jw.h"
#include "domain/ledger.h"
#include "domain/states.h"
#include "domain/subsidy_row.h"
#include <stdlib.h>
#include <string.h>

enum { JSON_ARENA_BYTES = 1 << 24, LEASES_MAX = 16 };

typedef struct {
	subsidy_row *s; /* in the order of their numbers, each once */
	size_t count;
	arena_t *arena;
} batch;

static int by_number(const void *a, const void *b)
{
	return strcmp(
		((const subsidy_row *)a)->out_order_no, ((const subsidy_row *)b)->out_order_no);
}

static err_t take_wins(batch *b, const token_win *wins, size_t n, int64_t now_ms)
{
	for (size_t i = 0; i < n; i++) {
		const err_t e = subsidy_of_win(&wins[i], now_ms, &b->s[i]);
		if (e != ERR_OK)
			return e;
	}
	qsort(b->s, n, sizeof *b->s, by_number);
	for (size_t i = 0; i < n; i++) {
		subsidy_row *last = b->count ? &b->s[b->count - 1] : NULL;
		if (!last || by_number(last, &b->s[i]) != 0)
			b->s[b->count++] = b->s[i];
		else if (!subsidy_same_values(last, &b->s[i]))
			return ERR_DB_DUPLICATE;
	}
	return ERR_OK;
}

/* A block of the budget is thousands of wins, so a batch is of very few. */
static err_t share_leases(db_t *db, const batch *b)
{
	const subsidy_row *shared[LEASES_MAX];
	unsigned n = 0;
	for (size_t i = 0; i < b->count; i++) {
		const subsidy_row *s = &b->s[i];
		unsigned at = 0;
		while (at < n && (shared[at]->lease_id != s->lease_id ||
					 shared[at]->campaign != s->campaign))
			at++;
		if (at < n)
			continue;
		if (n == LEASES_MAX)
			return ERR_DB_DUPLICATE;
		const err_t e = subsidy_lease_share(db, s);
		if (e != ERR_OK)
			return e;
		shared[n++] = s;
	}
	return ERR_OK;
}

static const char *numbers_json(const batch *b)
{
	jw_t w;
	jw_start(&w, b->arena);
	jw_arr(&w, NULL);
	for (size_t i = 0; i < b->count; i++)
		jw_str(&w, NULL, b->s[i].out_order_no);
	jw_arr_end(&w);
	BUG_ON(jw_end(&w) == 0);
	return w.buf;
}

static subsidy_row *find(const batch *b, const char *out_order_no)
{
	subsidy_row key = {0};
	memcpy(key.out_order_no, out_order_no, strnlen(out_order_no, sizeof key.out_order_no - 1));
	return bsearch(&key, b->s, b->count, sizeof *b->s, by_number);
}

/* Leaves those that are not known yet. */
static err_t drop_known(db_t *db, batch *b)
{
	db_rows_t *r;
	err_t e = db_select(
		db, SQL_TRACKING_KNOWN, DB_ARGS(db_s(numbers_json(b)), db_s(SUBSIDY_RAIN)), &r);
	if (e != ERR_OK)
		return e;
	while (e == ERR_OK && db_rows_next(r)) {
		subsidy_row *s = find(b, db_rows_s(r, 0, NULL));
		BUG_ON(!s);
		const subsidy_row known = {.uid = db_rows_u(r, 1),
			.amount_fen = db_rows_i(r, 2),
			.campaign = db_rows_u(r, 3)};
		if (subsidy_same_values(s, &known))
			s->subsidy_id = 0; /* not to be written */
		else
			e = ERR_DB_DUPLICATE;
	}
	db_rows_free(&r);
	size_t kept = 0;
	for (size_t i = 0; i < b->count; i++)
		if (b->s[i].subsidy_id)
			b->s[kept++] = b->s[i];
	b->count = kept;
	return e;
}

static const char *rows_json(const batch *b)
{
	jw_t w;
	jw_start(&w, b->arena);
	jw_arr(&w, NULL);
	for (size_t i = 0; i < b->count; i++) {
		const subsidy_row *s = &b->s[i];
		jw_obj(&w, NULL);
		jw_str(&w, "o", s->out_order_no);
		jw_i64(&w, "n", (int64_t)s->subsidy_id);
		jw_i64(&w, "u", (int64_t)s->uid);
		jw_i64(&w, "a", s->amount_fen);
		jw_i64(&w, "c", (int64_t)s->campaign);
		jw_i64(&w, "x", s->expires_at_ms);
		jw_i64(&w, "l", (int64_t)s->lease_id);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	BUG_ON(jw_end(&w) == 0);
	return w.buf;
}

static err_t write_all(db_t *db, const batch *b, int64_t now_ms)
{
	const char *json = rows_json(b);
	uint64_t tracked = 0, added = 0;
	err_t e = db_exec(db, SQL_TRACKING_ADD_ALL,
		DB_ARGS(db_s(SUBSIDY_RAIN), db_i(now_ms), db_s(json)), &tracked);
	if (e == ERR_OK)
		e = db_exec(db, SQL_SUBSIDY_ADD_ALL,
			DB_ARGS(db_s(SUBSIDY_RAIN), db_u(STATES_SUBSIDY_USABLE), db_i(now_ms),
				db_i(now_ms), db_s(json)),
			&added);
	BUG_ON(e == ERR_OK && (tracked != b->count || added != b->count));
	return e == ERR_OK ? ledger_book_all(db, LEDGER_BY_RECORD, json, b->count, now_ms) : e;
}

err_t subsidy_record_all(db_t *db, const token_win *wins, size_t n, int64_t now_ms)
{
	batch b = {.s = calloc(n, sizeof *b.s), .arena = arena_new(JSON_ARENA_BYTES)};
	BUG_ON(!b.s);
	err_t e = take_wins(&b, wins, n, now_ms);
	if (e == ERR_OK)
		e = share_leases(db, &b);
	if (e == ERR_OK)
		e = drop_known(db, &b);
	if (e == ERR_OK && b.count > 0)
		e = write_all(db, &b, now_ms);
	arena_free(&b.arena);
	free(b.s);
	return e;
}
