/* Why: what a user has, why, and what is on its way out. The balance is one kept number; the entries are
 * the legs of the wallet's bookings, so what is shown is what the books say. */
#include "domain/ledger.h"
#include "fcgi/cursor.h"
#include "fcgi/handlers.h"

_Static_assert((int)CURSOR_LIMIT_MAX < (int)LEDGER_PAGE_MAX, "a page and one more are read");

typedef struct {
	int64_t balance_fen;
	unsigned count;
	ledger_entry entry[CURSOR_LIMIT_MAX + 1];
} wallet_page;

static err_t wallet_read(app_call_t *c, const cursor_t *at, wallet_page *out)
{
	db_t *db;
	err_t e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	const ledger_place from = {at->key[0], at->key[1]};
	e = ledger_balance(db, LEDGER_WALLET, c->uid, &out->balance_fen);
	if (e == ERR_OK)
		e = ledger_page(db, LEDGER_WALLET, c->uid, at->given ? &from : NULL, at->limit + 1,
			out->entry, &out->count);
	db_pool_give(c->app->db, &db);
	return e;
}

err_t handle_wallet(app_call_t *c)
{
	cursor_t at;
	err_t e = cursor_read(c, &at);
	if (e != ERR_OK)
		return e;
	wallet_page *page = arena_alloc(c->r->arena, sizeof *page);
	e = wallet_read(c, &at, page);
	if (e != ERR_OK)
		return e;
	const bool more = page->count > at.limit;
	const unsigned shown = more ? at.limit : page->count;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_money(w, "balance", page->balance_fen);
	jw_money(w, "min_withdrawal", conf_i(c->app->p->conf, CONF_WITHDRAWAL_MIN_FEN));
	jw_money(w, "max_withdrawal", conf_i(c->app->p->conf, CONF_WITHDRAWAL_MAX_FEN));
	jw_arr(w, "entries");
	for (unsigned i = 0; i < shown; i++) {
		const ledger_entry *entry = &page->entry[i];
		jw_obj(w, NULL);
		jw_str(w, "kind", ledger_booking_name(entry->kind));
		jw_id(w, "source_no", entry->source_no);
		jw_money(w, "amount", entry->amount_fen);
		jw_time(w, "at", entry->at_ms);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	const ledger_place last =
		shown ? ledger_place_of(&page->entry[shown - 1]) : (ledger_place){0};
	cursor_write(c, more, last.at_and_kind, last.source_no);
	jw_obj_end(w);
	return ERR_OK;
}
