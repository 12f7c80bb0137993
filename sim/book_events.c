/* Callbacks are rows, written with the outcome that they report, and sent until they are answered
 * with 204: at growing intervals, under an id that is the event's own, so that the receiver can
 * tell a repeat. */
#include "sim/book_inside.h"

#include "base/jw.h"
#include <stdio.h>

enum { EVENT_TTL_MS = 86400000 };

static const int64_t BACKOFF_MS[] = {
	200, 1000, 2000, 5000, 10000, 30000, 60000, 300000, 900000, 3600000};

err_t book_event_add(vault_conn *c, const book_order *o, int64_t now_ms)
{
	book_t *b = book_of(c);
	char id[65], body[BOOK_EVENT_BODY_BYTES];
	jw_t w;
	snprintf(id, sizeof id, "%llu-%s", (unsigned long long)o->order_no,
		finance_outcome_name(o->outcome));
	jw_start_fixed(&w, body, sizeof body);
	jw_obj(&w, NULL);
	jw_id(&w, "order_no", o->order_no);
	jw_str(&w, "kind", finance_kind_name(o->kind));
	jw_str(&w, "outcome", finance_outcome_name(o->outcome));
	jw_money(&w, "amount", o->amount_fen);
	jw_str(&w, "reason", o->reason);
	jw_time(&w, "at", now_ms);
	jw_obj_end(&w);
	BUG_ON(jw_end(&w) == 0);
	bool drop = faults_hit(b->faults, o->kind, FAULTS_DROP_CALLBACK, o->order_no);
	bool twice = faults_hit(b->faults, o->kind, FAULTS_DOUBLE_CALLBACK, o->order_no);
	sqlite3_stmt *s = vault_stmt(c, SQL_EVENT_ADD);
	bind_text(s, 1, id);
	bind_u64(s, 2, o->order_no);
	bind_text(s, 3, o->notify_url);
	bind_text(s, 4, body);
	sqlite3_bind_int(s, 5, twice ? 2 : 1);
	sqlite3_bind_int(s, 6, drop);
	sqlite3_bind_int64(s, 7, now_ms);
	atomic_store(&b->has_events, true);
	return vault_exec(s, NULL);
}

typedef struct {
	book_event *out;
	unsigned room, count;
	int64_t next_ms;
} due_run;

static err_t events_job(vault_conn *c, int64_t now_ms, void *arg)
{
	due_run *r = arg;
	bool row;
	sqlite3_stmt *s = vault_stmt(c, SQL_EVENTS_DUE);
	sqlite3_bind_int64(s, 1, now_ms);
	sqlite3_bind_int64(s, 2, r->room);
	err_t err = vault_step(s, &row);
	for (; err == ERR_OK && row && r->count < r->room; err = vault_step(s, &row)) {
		book_event *e = &r->out[r->count++];
		snprintf(e->event_id, sizeof e->event_id, "%s", text_at(s, 0));
		snprintf(e->url, sizeof e->url, "%s", text_at(s, 1));
		snprintf(e->body, sizeof e->body, "%s", text_at(s, 2));
		snprintf(e->trace, sizeof e->trace, "%s", text_at(s, 3));
	}
	sqlite3_reset(s);
	if (err != ERR_OK)
		return err;
	s = vault_stmt(c, SQL_EVENT_NEXT);
	sqlite3_bind_int64(s, 1, now_ms);
	return read_number(s, &r->next_ms);
}

err_t book_events_due(book_t *b, book_event *out, unsigned room, unsigned *count, int64_t *next_ms)
{
	due_run r = {.out = out, .room = room};
	err_t err = vault_read(b->vault, events_job, &r);
	if (err == ERR_OK) {
		*count = r.count;
		*next_ms = r.next_ms;
	}
	return err;
}

typedef struct {
	uint64_t order_no;
	int64_t count;
} delivered_run;

static err_t delivered_job(vault_conn *c, int64_t now_ms, void *arg)
{
	delivered_run *r = arg;
	(void)now_ms;
	sqlite3_stmt *s = vault_stmt(c, SQL_EVENT_DELIVERED);
	bind_u64(s, 1, r->order_no);
	return read_number(s, &r->count);
}

err_t book_event_delivered(book_t *b, uint64_t order_no, bool *delivered)
{
	delivered_run r = {.order_no = order_no};
	err_t err = vault_read(b->vault, delivered_job, &r);
	*delivered = r.count > 0;
	return err;
}

static err_t tried_one(vault_conn *c, const book_delivery *d, int64_t now_ms)
{
	bool row;
	sqlite3_stmt *s = vault_stmt(c, SQL_EVENT_GET);
	bind_text(s, 1, d->event_id);
	err_t err = vault_step(s, &row);
	if (err != ERR_OK || !row)
		return err;
	size_t tries = (size_t)sqlite3_column_int64(s, 0);
	int copies = sqlite3_column_int(s, 1) - d->delivered;
	int64_t created_ms = sqlite3_column_int64(s, 2);
	size_t last = sizeof BACKOFF_MS / sizeof BACKOFF_MS[0] - 1;
	int64_t wait_ms = d->delivered ? 0 : BACKOFF_MS[tries < last ? tries : last];
	bool again = copies > 0 && now_ms + wait_ms < created_ms + EVENT_TTL_MS;
	sqlite3_reset(s);
	s = vault_stmt(c, SQL_EVENT_TRIED);
	bind_text(s, 1, d->event_id);
	sqlite3_bind_int(s, 2, copies);
	if (again)
		sqlite3_bind_int64(s, 3, now_ms + wait_ms);
	sqlite3_bind_int(s, 4, d->delivered);
	sqlite3_bind_int64(s, 5, now_ms);
	return vault_exec(s, NULL);
}

typedef struct {
	const book_delivery *d;
	unsigned count;
} tried_run;

static err_t tried_job(vault_conn *c, int64_t now_ms, void *arg)
{
	tried_run *r = arg;
	err_t err = ERR_OK;
	for (unsigned i = 0; err == ERR_OK && i < r->count; i++)
		err = tried_one(c, &r->d[i], now_ms);
	return err;
}

err_t book_events_tried(book_t *b, const book_delivery *d, unsigned count)
{
	tried_run r = {d, count};
	return vault_write(b->vault, tried_job, &r);
}
