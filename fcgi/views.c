/* Why: cover, claims, lists and the answers of send and claim show the same packets and claims;
 * one place keeps their shapes, and the rule of who may look inside, the same everywhere. */
#include "fcgi/views.h"
#include "domain/age.h"
#include "domain/states.h"

void views_packet(jw_t *w, const char *key, const packet_row *p, int64_t now_ms, unsigned flags)
{
	jw_obj(w, key);
	jw_id(w, "id", p->packet_id);
	jw_str(w, "kind", packet_kind_name(p->kind));
	jw_str(w, "state", packet_shown_state(p, now_ms));
	jw_str(w, "split", packet_split_name(p->split));
	jw_money(w, "total", p->total_fen);
	jw_i64(w, "count", p->count);
	if (flags & VIEWS_COUNTS) {
		jw_i64(w, "remaining_count", p->remaining_count);
		jw_i64(w, "claimed_count", p->count - p->remaining_count);
	}
	jw_str(w, "scope", packet_scope_name(p->scope));
	jw_str(w, "greeting", p->greeting);
	jw_str(w, "video_id", *p->video_id ? p->video_id : NULL);
	jw_hex(w, "commitment", p->commitment, sizeof p->commitment);
	jw_id(w, "seed_id", p->seed_id);
	jw_time(w, "created_at", p->created_at_ms);
	jw_time(w, "expires_at", p->expires_at_ms);
	jw_obj_end(w);
}

void views_claim(jw_t *w, const char *key, const claim_row *c, transfer_end end)
{
	jw_obj(w, key);
	jw_id(w, "claim_no", c->claim_no);
	jw_money(w, "amount", c->amount_fen);
	jw_i64(w, "index", c->index);
	jw_time(w, "claimed_at", c->claimed_at_ms);
	jw_str(w, "transfer_state", transfer_end_name(end));
	jw_obj_end(w);
}

err_t views_transfer_end(db_t *db, uint64_t claim_no, transfer_end *out)
{
	transfer_kind kind;
	unsigned state;
	const err_t e = transfer_state(db, claim_no, &kind, &state);
	if (e == ERR_OK)
		*out = transfer_end_of(kind, state);
	else if (e == ERR_NOT_FOUND)
		*out = TRANSFER_END_PENDING;
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

void views_withdrawal(jw_t *w, const withdrawal_row *row, int64_t poll_ms)
{
	jw_obj(w, NULL);
	jw_id(w, "order_no", row->order_no);
	jw_money(w, "amount", row->amount_fen);
	jw_str(w, "state",
		states_shown(STATES_WITHDRAWAL, states_final(STATES_WITHDRAWAL, row->state)
							? row->state
							: STATES_WITHDRAWAL_PENDING));
	jw_time(w, "created_at", row->created_at_ms);
	jw_time(w, "changed_at", row->changed_at_ms);
	if (poll_ms > 0)
		jw_i64(w, "poll_after_ms", poll_ms);
	jw_obj_end(w);
}

err_t views_not_found(const app_call_t *c)
{
	age_rest rest;
	db_t *db;
	http_may_wait();
	err_t e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	e = age_rest_find(db, c->number, &rest);
	db_pool_give(c->app->db, &db);
	return e == ERR_OK ? ERR_PACKET_AGED : e;
}

err_t views_insider(app_call_t *c, db_t *db, packet_row *out)
{
	err_t e = packet_load(db, c->number, out);
	if (e != ERR_OK || out->sender == c->uid)
		return e;
	claim_row claim;
	e = claim_find(db, c->number, c->uid, &claim);
	return e == ERR_NOT_FOUND ? ERR_FORBIDDEN : e;
}

err_t views_token_list(const app_call_t *c, token_list_entry *out, size_t *count, bool *complete)
{
	const program_t *p = c->app->p;
	return token_list_read(c->app->cache, p->seal_keys,
		topology_member_at(p->cell, p->site)->rain_count, c->uid, c->now_ms, out, count,
		complete);
}

void views_degraded(jw_t *w, flags_id flag)
{
	jw_arr(w, "degraded");
	jw_str(w, NULL, flags_table()[flag].name);
	jw_arr_end(w);
}

err_t views_degraded_list(app_call_t *c, flags_id flag)
{
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_arr(w, "data");
	jw_arr_end(w);
	jw_null(w, "next_cursor");
	views_degraded(w, flag);
	jw_obj_end(w);
	return ERR_OK;
}
