/* GET /v1/me/subsidies: what is recorded, and what the user has won that is not recorded yet. The
 * tokens are read first: a win that is recorded in between is then in both, and shown once; the other
 * way round it would be in neither. They are shown on the first page, above its `limit` of recorded
 * ones. Nothing is recorded here. A token list that cannot be read, or of
 * which nobody can prove that it is whole, is said to be degraded; sending works all the same. One that
 * costs time and answers nothing is left alone by its breaker, unless a person has said otherwise. */
#include "base/clk.h"
#include "domain/flags.h"
#include "domain/states.h"
#include "domain/subsidy.h"
#include "domain/token_list.h"
#include "fcgi/cursor.h"
#include "fcgi/handlers.h"
#include "fcgi/views.h"
#include <string.h>

_Static_assert((int)CURSOR_LIMIT_MAX < (int)SUBSIDY_LIST_MAX, "a page and one more are read");

typedef struct {
	cursor_t at;
	token_list_entry *token; /* not yet recorded, in the order of winning */
	size_t tokens;
	bool complete;
	subsidy_row *row;
	unsigned rows;
	bool more; /* there are more rows than are shown */
	subsidy_place last;
} listing;

static void shown(app_call_t *c, const subsidy_row *s, const char *token)
{
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_id(w, "subsidy_id", s->subsidy_id);
	jw_money(w, "amount", s->amount_fen);
	jw_str(w, "state", subsidy_shown_state(s, c->now_ms));
	jw_time(w, "expires_at", s->expires_at_ms);
	jw_str(w, "source", token ? "token" : "record");
	if (token)
		jw_str(w, "token", token);
	if (s->packet_id)
		jw_id(w, "packet_id", s->packet_id);
	jw_obj_end(w);
}

static bool is_row(const listing *l, const char *out_order_no)
{
	for (unsigned i = 0; i < l->rows; i++)
		if (strcmp(l->row[i].out_order_no, out_order_no) == 0)
			return true;
	return false;
}

static void drop_recorded(listing *l)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->tokens; i++)
		if (!is_row(l, l->token[i].win.out_order_no))
			l->token[kept++] = l->token[i];
	l->tokens = kept;
}

/* A token may be of a row of another page, or of one that came since, and so belongs on this one: asked
 * for by number. */
static err_t find_recorded(db_t *db, app_call_t *c, listing *l)
{
	_Static_assert((int)TOKEN_LIST_MAX <= (int)SUBSIDY_FIND_MAX, "one question is enough");
	token_win *win = arena_alloc(c->r->arena, TOKEN_LIST_MAX * sizeof *win);
	for (size_t i = 0; i < l->tokens; i++)
		win[i] = l->token[i].win;
	unsigned found = 0, shown = l->rows;
	const err_t e = subsidy_recorded(db, win, (unsigned)l->tokens, l->row + l->rows, &found);
	if (e != ERR_OK)
		return e;
	l->rows += found;
	drop_recorded(l);
	for (unsigned i = l->rows - found; i < l->rows; i++) {
		const subsidy_place at = subsidy_place_of(&l->row[i], c->now_ms);
		if (!l->more || subsidy_place_before(&at, &l->last))
			l->row[shown++] = l->row[i];
	}
	l->rows = shown;
	return ERR_OK;
}

static err_t rows_read(app_call_t *c, listing *l)
{
	db_t *db;
	err_t e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	const uint64_t *key = l->at.key;
	const subsidy_place behind = {
		l->at.given ? key[0] & 1 : SUBSIDY_LIST_START, (int64_t)(key[0] >> 1), key[1]};
	e = subsidy_list(db, c->uid, c->now_ms, &behind, l->at.limit + 1, l->row, &l->rows);
	if (e == ERR_OK) {
		l->more = l->rows > l->at.limit;
		l->rows -= l->more;
		if (l->more)
			l->last = subsidy_place_of(&l->row[l->rows - 1], c->now_ms);
		drop_recorded(l);
	}
	if (e == ERR_OK && l->tokens > 0)
		e = find_recorded(db, c, l);
	db_pool_give(c->app->db, &db);
	return e;
}

static void answer_write(app_call_t *c, const listing *l)
{
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_arr(w, "data");
	for (size_t i = l->tokens; i-- > 0;) {
		const token_win *win = &l->token[i].win;
		const subsidy_row s = {.subsidy_id = win->subsidy_id,
			.amount_fen = win->amount_fen,
			.expires_at_ms = win->expires_at_ms,
			.state = STATES_SUBSIDY_USABLE};
		shown(c, &s, l->token[i].token);
	}
	for (unsigned i = 0; i < l->rows; i++)
		shown(c, &l->row[i], NULL);
	jw_arr_end(w);
	cursor_write(c, l->more, (uint64_t)l->last.created_at_ms << 1 | l->last.usable,
		l->last.subsidy_id);
	jw_arr(w, "degraded");
	if (!l->complete)
		jw_str(w, NULL, "token_list");
	jw_arr_end(w);
	jw_obj_end(w);
}

/* A person's word goes before the breaker's, which goes before the default. */
static void tokens_read(const app_call_t *c, listing *l)
{
	const flags_word word = flags_said(FLAGS_TOKEN_LIST, c->route->id, c->uid);
	breaker_ticket ticket;
	if (word == FLAGS_OFF)
		return;
	if (word == FLAGS_ON) {
		(void)!views_token_list(c, l->token, &l->tokens, &l->complete);
		return;
	}
	if (!breaker_take(c->app->token_list, clk_mono_us(), &ticket))
		return;
	const err_t e = views_token_list(c, l->token, &l->tokens, &l->complete);
	breaker_give(c->app->token_list, &ticket, e == ERR_OK ? BREAKER_OK : BREAKER_FAILED,
		clk_mono_us());
}

err_t handle_subsidies(app_call_t *c)
{
	listing l = {.token = arena_alloc(c->r->arena, TOKEN_LIST_MAX * sizeof *l.token),
		.row = arena_alloc(
			c->r->arena, (SUBSIDY_LIST_MAX + TOKEN_LIST_MAX) * sizeof *l.row)};
	err_t e = cursor_read(c, &l.at);
	if (e != ERR_OK)
		return e;
	if (l.at.given)
		l.complete = true; /* of the first page */
	else
		tokens_read(c, &l);
	e = rows_read(c, &l);
	if (e == ERR_OK)
		answer_write(c, &l);
	return e;
}
