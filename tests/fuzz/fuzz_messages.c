/* messages: what comes out of RabbitMQ, and from another cell: arrays of events, the steps of a partner's
 * subsidy, and RabbitMQ's own headers. What is accepted says the same when it is written anew.
 * Input: which (1 byte), the payload. */
#include "domain/issue.h"
#include "domain/outbox.h"
#include "store/mq_headers.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

enum { STEP = OUTBOX_ISSUE + 1, HEADERS, KINDS, BODY_BYTES = 2048 };

static void checked(outbox_kind kind, const outbox_event *e)
{
	FUZZ_CHECK(kind == OUTBOX_ISSUE || (e->no > 0 && e->no <= INT64_MAX));
	FUZZ_CHECK(e->amount_fen >= 0 && e->packet_kind <= UINT8_MAX && e->delay <= UINT8_MAX);
	FUZZ_CHECK(strnlen(e->event_id, sizeof e->event_id) < sizeof e->event_id &&
		   strnlen(e->out_order_no, sizeof e->out_order_no) < sizeof e->out_order_no &&
		   strnlen(e->issuer, sizeof e->issuer) < sizeof e->issuer);
}

static void events_case(outbox_kind kind, const char *payload, size_t n)
{
	outbox_events e, again, all;
	const err_t err = outbox_parse(kind, payload, n, &e);
	FUZZ_CHECK(err == ERR_OK || err == ERR_INVALID_JSON || err == ERR_INVALID_FIELD);
	if (err != ERR_OK)
		return;
	for (size_t i = 0; i < e.count; i++)
		checked(kind, &e.event[i]);
	/* As the relay publishes a part of it. */
	char *text = json_dumps(e.array, JSON_COMPACT);
	FUZZ_CHECK(text && outbox_parse(kind, text, strlen(text), &again) == ERR_OK);
	FUZZ_CHECK(again.count == e.count &&
		   memcmp(again.event, e.event, e.count * sizeof *e.event) == 0);
	const outbox_events both[] = {e, again};
	outbox_events_join(both, 2, &all);
	FUZZ_CHECK(all.count == 2 * e.count &&
		   memcmp(all.event + e.count, e.event, e.count * sizeof *e.event) == 0);
	free(all.event);
	free(text);
	outbox_events_free(&again);
	outbox_events_free(&e);
}

static void step_case(const char *body, size_t n)
{
	issue_order o, again;
	char text[BODY_BYTES];
	jw_t w;
	const err_t err = issue_read(body, n, &o);
	FUZZ_CHECK(err == ERR_OK || err == ERR_INVALID_JSON || err == ERR_INVALID_FIELD);
	if (err != ERR_OK)
		return;
	FUZZ_CHECK(o.s.uid > 0 && o.s.amount_fen > 0 && o.s.expires_at_ms > 0 &&
		   subsidy_partner_ok(o.s.issuer));
	jw_start_fixed(&w, text, sizeof text);
	issue_write(&w, &o);
	const size_t len = jw_end(&w);
	FUZZ_CHECK(len > 0 && issue_read(text, len, &again) == ERR_OK);
	FUZZ_CHECK(memcmp(&again, &o, sizeof o) == 0);
}

static void headers_case(const char *bytes, size_t n)
{
	amqp_basic_properties_t p = {._flags = AMQP_BASIC_HEADERS_FLAG};
	amqp_pool_t pool;
	size_t at = 0;
	char died_in[MQ_DIED_BYTES] = "", died_of[MQ_DIED_BYTES] = "";
	init_amqp_pool(&pool, 4096);
	const amqp_bytes_t encoded = {.len = n, .bytes = (void *)(uintptr_t)bytes};
	if (amqp_decode_table(encoded, &pool, &p.headers, &at) == 0) {
		FUZZ_CHECK(mq_headers_deliveries(&p) <= INT64_MAX);
		mq_headers_death(&p, died_in, died_of);
		FUZZ_CHECK(strnlen(died_in, sizeof died_in) < sizeof died_in &&
			   strnlen(died_of, sizeof died_of) < sizeof died_of);
	}
	empty_amqp_pool(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_input in = {data, size};
	const uint64_t kind = fuzz_number(&in, 1) % KINDS;
	char *payload = fuzz_rest(&in);
	if (kind == HEADERS)
		headers_case(payload, in.left);
	else if (kind == STEP)
		step_case(payload, in.left);
	else
		events_case((outbox_kind)kind, payload, in.left);
	free(payload);
	return 0;
}
