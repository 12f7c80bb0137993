/* Why: showing the seed's hash before the send is what keeps the server from choosing the seed
 * afterwards (docs/fairness.md). */
#include "domain/packet.h"
#include "fcgi/handlers.h"

err_t handle_seed(app_call_t *c)
{
	app_t *a = c->app;
	const packet_desk desk = {.db = a->db,
		.numbers = a->numbers,
		.shares = a->shares,
		.tx_tries = (unsigned)conf_i(a->p->conf, CONF_DB_TX_TRIES)};
	uint64_t seed_id;
	uint8_t hash[32];
	const err_t e = packet_next_seed(&desk, c->uid, &seed_id, hash);
	if (e != ERR_OK)
		return e;
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_id(w, "seed_id", seed_id);
	jw_hex(w, "seed_hash", hash, sizeof hash);
	jw_obj_end(w);
	return ERR_OK;
}
