/* Why: once no more claims are possible, everything needed to recompute the shares is given away
 * (docs/fairness.md). Before, not even the sender may know the seed, for it tells every amount. The
 * packet's state says when that is, and not the clock: a claim that came in time may still wait in
 * its lane, and hb-core's clock may be behind ours. */
#include "domain/flags.h"
#include "domain/states.h"
#include "fcgi/handlers.h"
#include "fcgi/views.h"
#include <sodium.h>

static err_t packet_read(app_call_t *c, packet_row *p, bool *revealed)
{
	db_t *db;
	err_t e = db_pool_take(c->app->db, &db);
	if (e != ERR_OK)
		return e;
	e = views_insider(c, db, p);
	bool was_open = false;
	if (e == ERR_OK)
		e = packet_was_open(db, p, &was_open);
	db_pool_give(c->app->db, &db);
	*revealed = was_open && p->state != STATES_PACKET_OPEN;
	return e;
}

static err_t shares_write(app_call_t *c, const shares_source *src)
{
	const shares_set_t *set;
	const err_t e = shares_acquire(c->app->shares, src, &set);
	if (e != ERR_OK)
		return e;
	jw_t *w = &c->r->out;
	jw_arr(w, "shares");
	for (uint32_t i = 0; i < set->count; i++)
		jw_money(w, NULL, set->fen[i]);
	jw_arr_end(w);
	shares_release(c->app->shares, &set);
	return ERR_OK;
}

/* Nothing that a database must be asked for. */
static err_t degraded_write(app_call_t *c)
{
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_str(w, "algorithm", "hb-split-1");
	jw_id(w, "packet_id", c->number);
	jw_bool(w, "revealed", false);
	jw_null(w, "seed");
	views_degraded(w, FLAGS_FAIRNESS);
	jw_obj_end(w);
	return ERR_OK;
}

err_t handle_fairness(app_call_t *c)
{
	packet_row p;
	bool revealed;
	if (flags_off_at(FLAGS_FAIRNESS, c->route->id, c->uid))
		return degraded_write(c);
	err_t e = packet_read(c, &p, &revealed);
	if (e != ERR_OK)
		return e;
	const shares_source src = packet_shares_source(&p);
	uint8_t seed[KEYS_BYTES], seed_hash[32];
	e = shares_unseal(c->app->shares, &src, seed);
	if (e != ERR_OK)
		return ERR_INTERNAL;
	split_seed_hash(seed, seed_hash);
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_str(w, "algorithm", "hb-split-1");
	jw_id(w, "packet_id", p.packet_id);
	jw_money(w, "total", p.total_fen);
	jw_i64(w, "count", p.count);
	jw_str(w, "split", packet_split_name(p.split));
	jw_strn(w, "client_nonce", (const char *)p.nonce, p.nonce_len);
	jw_hex(w, "commitment", p.commitment, sizeof p.commitment);
	jw_id(w, "seed_id", p.seed_id);
	jw_hex(w, "seed_hash", seed_hash, sizeof seed_hash);
	jw_bool(w, "revealed", revealed);
	if (revealed) {
		jw_hex(w, "seed", seed, sizeof seed);
		e = shares_write(c, &src);
	} else {
		jw_null(w, "seed");
	}
	jw_obj_end(w);
	sodium_memzero(seed, sizeof seed);
	return e;
}
