/* The number of the try is what keeps an order to one chain of messages: without it every copy that
 * RabbitMQ delivers, and every order that was sent twice, would begin a chain of its own. A change
 * of state counts tries from 0 again; a message of the state before it may then ask once more than
 * needed, which is harmless, while a chain that ended too early would not be. */
#include "domain/check.h"

#include "domain/outbox.h"

enum { PAYLOAD_BYTES = 224 };

static err_t add(db_t *db, finance_kind kind, uint64_t order_no, uint64_t nth, uint64_t delay,
	int64_t now_ms)
{
	char payload[PAYLOAD_BYTES];
	jw_t w;
	jw_start_fixed(&w, payload, sizeof payload);
	jw_arr(&w, NULL);
	jw_obj(&w, NULL);
	jw_i64(&w, "no", (int64_t)order_no);
	jw_i64(&w, "k", kind);
	jw_i64(&w, "d", delay < CHECK_DELAYS ? (int64_t)delay : CHECK_DELAYS);
	jw_i64(&w, "n", (int64_t)nth);
	outbox_write_trace(&w);
	jw_obj_end(&w);
	jw_arr_end(&w);
	size_t n = jw_end(&w);
	return outbox_add(db, OUTBOX_CHECK, order_no, now_ms, payload, n);
}

err_t check_add(db_t *db, finance_kind kind, uint64_t order_no, uint64_t tries, int64_t now_ms)
{
	return add(db, kind, order_no, tries + 1, tries + 1, now_ms);
}

err_t check_add_closed(db_t *db, uint64_t order_no, uint64_t tries, int64_t now_ms)
{
	return tries < CHECK_CLOSED_TRIES
		       ? add(db, FINANCE_PAYMENT, order_no, tries + 1, tries + 2, now_ms)
		       : ERR_OK;
}
