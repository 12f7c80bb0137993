/* Both ends of a credit between cells: role credit in the claimer's cell, role credited in the packet's.
 * An event each in a transaction of its own, so that one that contradicts the books takes no other with it;
 * which of a message were done before it came again does not matter. */
#include "domain/credit.h"
#include "base/clk.h"
#include "base/metrics.h"
#include "workers/role.h"

typedef struct {
	const outbox_event *event;
	unsigned packet_cell;
	bool credited;
} crediting;

static err_t credit_tx(db_t *db, void *ctx)
{
	crediting *c = ctx;
	const outbox_event *e = c->event;
	return credit_take(
		db, e->no, e->uid, e->amount_fen, c->packet_cell, clk_wall_ms(), &c->credited);
}

err_t credit_handle(worker_t *w, const outbox_events *events)
{
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++) {
		crediting c = {.event = &events->event[i]};
		role_follow(c.event);
		if (!program_owns_slot(w->p, numbers_slot(c.event->uid)))
			return ERR_WRONG_CELL;
		c.packet_cell =
			topology_cell_of_slot(w->p->topo, numbers_slot(c.event->no))->number;
		err = role_transact(w, credit_tx, &c);
		if (err == ERR_OK && c.credited)
			METRICS_INC(CREDITS);
	}
	return err;
}

static err_t credited_tx(db_t *db, void *ctx)
{
	const outbox_event *e = ctx;
	return credit_done(db, e->no, clk_wall_ms());
}

err_t credited_handle(worker_t *w, const outbox_events *events)
{
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++)
		err = role_transact(w, credited_tx, &events->event[i]);
	return err;
}
