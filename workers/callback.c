/* What finance called back about was stored by hb-core; here it takes effect, by the very function
 * that check and sweep use. An event that contradicts its order is parked for a person to look at. While
 * callbacks may take no effect their messages stay in the queue: nobody asks about a closed payment for
 * ever, so what finance called back about it must not be thrown away. */
#include "base/clk.h"
#include "workers/role.h"

bool callback_held(const worker_t *w)
{
	return !conf_b(w->p->conf, CONF_ORDER_BY_CALLBACK);
}

err_t callback_handle(worker_t *w, const outbox_events *events)
{
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++)
		err = orders_event_handle(
			&w->desk, events->event[i].no, events->event[i].event_id, clk_wall_ms());
	return err;
}
