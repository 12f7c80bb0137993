/* A check message has waited in <cell>.wait1 … wait4 and now has finance asked about its order, by
 * the very function that the sweep uses. What finance does not answer is no reason to hold the
 * message: the order's next message is written with the try. */
#include "workers/role.h"

err_t check_handle(worker_t *w, const outbox_events *events)
{
	err_t err = ERR_OK;
	if (!conf_b(w->p->conf, CONF_ORDER_BY_CHECK))
		return ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++) {
		const outbox_event *e = &events->event[i];
		err = role_left_to_others(
			orders_check_nth(&w->desk, (finance_kind)e->order_kind, e->no, e->nth));
	}
	return err;
}
