/* Refunds and withdrawals: the order's row was made by the transaction that wrote the event; the message
 * only saves the wait for the sweep. */
#include "workers/role.h"

err_t refund_handle(worker_t *w, const outbox_events *events)
{
	return role_submit_all(w, FINANCE_REFUND, events);
}

err_t withdraw_handle(worker_t *w, const outbox_events *events)
{
	return role_submit_all(w, FINANCE_WITHDRAWAL, events);
}
