/* Rows are taken with SKIP LOCKED and a lease, never by a watermark: auto_increment order is not
 * commit order, so a row may appear behind one that was sent long ago. The ids of a batch go to the
 * server as one JSON array, which keeps the statements fixed and a batch one round trip. */
#include "domain/outbox.h"

#include "domain/alert.h"
#include "domain/id_array.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

err_t outbox_add(db_t *db, outbox_kind kind, uint64_t business_no, int64_t now_ms,
	const char *payload, size_t n)
{
	BUG_ON(n < 2 || payload[0] != '[');
	return db_exec(db, SQL_OUTBOX_ADD,
		DB_ARGS(db_u(kind), db_u(business_no), db_i(now_ms), db_b(payload, n)), NULL);
}

void outbox_write_trace(jw_t *w)
{
	if (trace_followed())
		jw_str(w, "tp", trace_followed());
}

err_t outbox_claim(db_t *db, const outbox_event *e, int64_t now_ms)
{
	char payload[320];
	jw_t w;
	jw_start_fixed(&w, payload, sizeof payload);
	jw_arr(&w, NULL);
	jw_obj(&w, NULL);
	jw_i64(&w, "no", (int64_t)e->no);
	jw_i64(&w, "p", (int64_t)e->packet_id);
	jw_i64(&w, "u", (int64_t)e->uid);
	jw_i64(&w, "a", e->amount_fen);
	jw_i64(&w, "s", (int64_t)e->sender);
	jw_i64(&w, "k", e->packet_kind);
	jw_i64(&w, "t", e->claimed_at_ms);
	jw_obj_end(&w);
	jw_arr_end(&w);
	size_t n = jw_end(&w);
	return outbox_add(db, OUTBOX_CLAIMS, e->no, now_ms, payload, n);
}

err_t outbox_number(db_t *db, outbox_kind kind, uint64_t business_no, int64_t now_ms)
{
	char payload[160];
	jw_t w;
	jw_start_fixed(&w, payload, sizeof payload);
	jw_arr(&w, NULL);
	jw_obj(&w, NULL);
	jw_i64(&w, "no", (int64_t)business_no);
	outbox_write_trace(&w);
	jw_obj_end(&w);
	jw_arr_end(&w);
	size_t n = jw_end(&w);
	return outbox_add(db, kind, business_no, now_ms, payload, n);
}

typedef struct {
	outbox_kind kind;
	const char *name;
	size_t offset;
	enum { U64, I64, UINT, TEXT } type;
} field_row;

static const field_row fields[] = {
	{OUTBOX_CLAIMS, "no", offsetof(outbox_event, no), U64},
	{OUTBOX_CLAIMS, "p", offsetof(outbox_event, packet_id), U64},
	{OUTBOX_CLAIMS, "u", offsetof(outbox_event, uid), U64},
	{OUTBOX_CLAIMS, "a", offsetof(outbox_event, amount_fen), I64},
	{OUTBOX_CLAIMS, "s", offsetof(outbox_event, sender), U64},
	{OUTBOX_CLAIMS, "k", offsetof(outbox_event, packet_kind), UINT},
	{OUTBOX_CLAIMS, "t", offsetof(outbox_event, claimed_at_ms), I64},
	{OUTBOX_REFUND, "no", offsetof(outbox_event, no), U64},
	{OUTBOX_CALLBACK, "no", offsetof(outbox_event, no), U64},
	{OUTBOX_CALLBACK, "e", offsetof(outbox_event, event_id), TEXT},
	{OUTBOX_SUBSIDY, "no", offsetof(outbox_event, no), U64},
	{OUTBOX_SUBSIDY, "u", offsetof(outbox_event, uid), U64},
	{OUTBOX_SUBSIDY, "a", offsetof(outbox_event, amount_fen), I64},
	{OUTBOX_SUBSIDY, "o", offsetof(outbox_event, out_order_no), TEXT},
	{OUTBOX_SUBSIDY, "c", offsetof(outbox_event, campaign), U64},
	{OUTBOX_SUBSIDY, "x", offsetof(outbox_event, expires_at_ms), U64},
	{OUTBOX_SUBSIDY, "l", offsetof(outbox_event, lease_id), U64},
	{OUTBOX_ISSUE, "i", offsetof(outbox_event, issuer), TEXT},
	{OUTBOX_ISSUE, "o", offsetof(outbox_event, out_order_no), TEXT},
	{OUTBOX_ISSUE, "u", offsetof(outbox_event, uid), U64},
	{OUTBOX_ISSUE, "a", offsetof(outbox_event, amount_fen), I64},
	{OUTBOX_ISSUE, "c", offsetof(outbox_event, campaign_name), TEXT},
	{OUTBOX_ISSUE, "x", offsetof(outbox_event, expires_at_ms), U64},
	{OUTBOX_CREDIT, "no", offsetof(outbox_event, no), U64},
	{OUTBOX_CREDIT, "u", offsetof(outbox_event, uid), U64},
	{OUTBOX_CREDIT, "a", offsetof(outbox_event, amount_fen), I64},
	{OUTBOX_CREDITED, "no", offsetof(outbox_event, no), U64},
	{OUTBOX_WITHDRAWAL, "no", offsetof(outbox_event, no), U64},
	{OUTBOX_CHECK, "no", offsetof(outbox_event, no), U64},
	{OUTBOX_CHECK, "k", offsetof(outbox_event, order_kind), UINT},
	{OUTBOX_CHECK, "d", offsetof(outbox_event, delay), UINT},
	{OUTBOX_CHECK, "n", offsetof(outbox_event, nth), U64},
};

static bool read_field(const field_row *f, const json_t *v, outbox_event *into)
{
	char *at = (char *)into + f->offset;
	if (f->type == TEXT) {
		size_t n = json_string_length(v);
		if (n == 0 || n >= OUTBOX_EVENT_ID_BYTES || strlen(json_string_value(v)) != n)
			return false;
		memcpy(at, json_string_value(v), n + 1);
		return true;
	}
	json_int_t i = json_integer_value(v);
	if (!json_is_integer(v) || i <= 0 || (f->type == UINT && i > UINT8_MAX))
		return false;
	if (f->type == UINT)
		*(unsigned *)(void *)at = (unsigned)i;
	else
		*(int64_t *)(void *)at = (int64_t)i;
	return true;
}

/* No message is at fault for its trace. */
static void read_trace(const json_t *v, char out[TRACE_TEXT_BYTES])
{
	const char *text = json_string_value(v);
	snprintf(out, TRACE_TEXT_BYTES, "%s", text && trace_ok(text) ? text : "");
}

static bool read_event(outbox_kind kind, const json_t *o, outbox_event *out)
{
	bool known = false;
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		if (fields[i].kind != kind)
			continue;
		known = true;
		if (!read_field(&fields[i], json_object_get(o, fields[i].name), out))
			return false;
	}
	read_trace(json_object_get(o, "tp"), out->traceparent);
	return known;
}

err_t outbox_parse(outbox_kind kind, const char *payload, size_t n, outbox_events *out)
{
	if (n > OUTBOX_PAYLOAD_MAX_BYTES)
		return ERR_INVALID_JSON;
	outbox_events got = {.array = json_loadb(payload, n, JSON_REJECT_DUPLICATES, NULL)};
	err_t err = ERR_OK;
	got.count = json_array_size(got.array);
	if (got.count == 0) {
		err = ERR_INVALID_JSON;
		goto end;
	}
	got.event = calloc(got.count, sizeof *got.event);
	BUG_ON(!got.event);
	for (size_t i = 0; i < got.count && err == ERR_OK; i++) {
		if (!read_event(kind, json_array_get(got.array, i), &got.event[i]))
			err = ERR_INVALID_FIELD;
	}
end:
	if (err == ERR_OK)
		*out = got;
	else
		outbox_events_free(&got);
	return err;
}

void outbox_events_free(outbox_events *e)
{
	json_decref(e->array);
	free(e->event);
	*e = (outbox_events){0};
}

void outbox_events_join(const outbox_events *part, size_t parts, outbox_events *out)
{
	size_t count = 0;
	for (size_t i = 0; i < parts; i++)
		count += part[i].count;
	*out = (outbox_events){.event = calloc(count + 1, sizeof *out->event)};
	BUG_ON(!out->event);
	for (size_t i = 0; i < parts; i++) {
		memcpy(out->event + out->count, part[i].event, part[i].count * sizeof *out->event);
		out->count += part[i].count;
	}
}

err_t outbox_lock_free(db_t *db, uint64_t from, int64_t now_ms, unsigned limit, db_rows_t **out)
{
	return db_select(
		db, SQL_OUTBOX_LOCK_FREE, DB_ARGS(db_u(from), db_i(now_ms), db_u(limit)), out);
}

err_t outbox_lease(db_t *db, const uint64_t *id, size_t n, int64_t until_ms)
{
	char *ids = id_array(id, n);
	err_t err = db_exec(db, SQL_OUTBOX_LEASE, DB_ARGS(db_s(ids), db_i(until_ms)), NULL);
	free(ids);
	return err;
}

err_t outbox_delete(db_t *db, const uint64_t *id, size_t n)
{
	char *ids = id_array(id, n);
	err_t err = db_exec(db, SQL_OUTBOX_DELETE, DB_ARGS(db_s(ids)), NULL);
	free(ids);
	return err;
}

err_t outbox_waiting(db_t *db, uint64_t from, int64_t now_ms, bool *waiting)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_OUTBOX_WAITING, DB_ARGS(db_u(from), db_i(now_ms)), &r);
	if (err != ERR_OK)
		return err;
	*waiting = db_rows_count(r) > 0;
	db_rows_free(&r);
	return ERR_OK;
}

err_t outbox_park(db_t *db, uint64_t id, const char *reason, int64_t now_ms)
{
	err_t err =
		db_exec(db, SQL_OUTBOX_PARK, DB_ARGS(db_s(reason), db_i(now_ms), db_u(id)), NULL);
	if (err == ERR_OK)
		err = alert_parked(db, db_insert_id(db), "the outbox", reason, now_ms);
	return err == ERR_OK ? outbox_delete(db, &id, 1) : err;
}
