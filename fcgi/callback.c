/* POST /v1/callbacks/finance/{number}: finance's word is made durable, with its outbox row, and
 * acted upon later by a worker: so finance gets its 204 at once, and a worker that is down costs no
 * callback. */
#include "base/metrics.h"
#include "domain/orders.h"
#include "fcgi/handlers.h"

enum { STORED, REPEATED, REFUSED };

static err_t store(app_call_t *c, bool *repeated)
{
	http_req_t *r = c->r;
	const conf_t *conf = c->app->p->conf;
	char event_id[65];
	finance_event event;
	if (!r->signature)
		return ERR_SIGNATURE_INVALID;
	err_t err = finance_verify(c->app->p->finance_keys, conf_s(conf, CONF_FINANCE_MERCHANT),
		c->now_ms / 1000, conf_i(conf, CONF_FINANCE_SKEW_S), r->signature, r->method,
		r->path, r->body, r->body_len, event_id);
	if (err == ERR_OK)
		err = finance_parse_event(r->body, r->body_len, &event);
	if (err != ERR_OK)
		return err;
	if (event.order_no != c->number)
		return http_field_error_add(
			r, "order_no", "value", "is not the number of the path");
	orders_desk desk = {.db = c->app->db, .conf = conf};
	return orders_event_store(&desk, event_id, &event, c->now_ms, repeated);
}

err_t handle_callback(app_call_t *c)
{
	bool repeated = false;
	err_t err = store(c, &repeated);
	if (err == ERR_OK)
		c->r->status = 204;
	if (err == ERR_OK || !err_retryable(err))
		metrics_add(METRICS_CALLBACKS,
			err != ERR_OK ? REFUSED
			: repeated    ? REPEATED
				      : STORED,
			1);
	return err;
}
