/* The refund's row was made by the transaction that wrote the event; the message only saves the
 * wait for the sweep. */
#include "workers/role.h"

err_t refund_handle(worker_t *w, const outbox_events *events)
{
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++)
		err = role_submit(w, FINANCE_REFUND, events->event[i].no);
	return err;
}
