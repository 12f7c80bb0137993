/* Everything that decides about money runs as a job on the vault's one writer thread, so the rules
 * read as if nobody else existed: read, decide, write. An order leaves `pending` in one function,
 * which also writes its entry and its event; a kill in between leaves none of the three. */
#include "sim/book.h"

#include "sim/book_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_MS = 86400000, PAYMENT_TTL_MS = 900000 };

static const char *const SQL_TEXTS[] = {
#define SQL(id, text) [SQL_##id] = text,
#include "sim/book_sql.def"
#undef SQL
};

static const char SCHEMA[] =
	"CREATE TABLE merchants (name TEXT PRIMARY KEY, opening INTEGER NOT NULL,"
	" paid INTEGER NOT NULL DEFAULT 0, transferred INTEGER NOT NULL DEFAULT 0,"
	" refunded INTEGER NOT NULL DEFAULT 0, withdrawn INTEGER NOT NULL DEFAULT 0,"
	" CHECK (opening + paid >= transferred + refunded + withdrawn)) STRICT;"
	"CREATE TABLE orders (order_no INTEGER PRIMARY KEY, kind TEXT NOT NULL,"
	" merchant TEXT NOT NULL, uid INTEGER NOT NULL, amount INTEGER NOT NULL,"
	" payment_no INTEGER NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,"
	" subject TEXT NOT NULL, return_url TEXT NOT NULL, notify_url TEXT NOT NULL,"
	" expires_at INTEGER NOT NULL, due_at INTEGER NOT NULL, created_at INTEGER NOT NULL,"
	" changed_at INTEGER NOT NULL) STRICT;"
	"CREATE INDEX orders_due ON orders (due_at) WHERE outcome = 'pending';"
	"CREATE INDEX orders_payment ON orders (payment_no) WHERE kind = 'refund';"
	"CREATE TABLE entries (entry_id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" order_no INTEGER NOT NULL UNIQUE REFERENCES orders (order_no), kind TEXT NOT NULL,"
	" uid INTEGER NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0),"
	" payment_no INTEGER NOT NULL, day INTEGER NOT NULL, at_ms INTEGER NOT NULL) STRICT;"
	"CREATE INDEX entries_uid ON entries (uid);"
	"CREATE INDEX entries_day ON entries (day);"
	"CREATE TABLE events (event_id TEXT PRIMARY KEY,"
	" order_no INTEGER NOT NULL REFERENCES orders (order_no), url TEXT NOT NULL,"
	" body TEXT NOT NULL, copies INTEGER NOT NULL, dropped INTEGER NOT NULL,"
	" tries INTEGER NOT NULL DEFAULT 0, next_at INTEGER, delivered_at INTEGER,"
	" created_at INTEGER NOT NULL) STRICT;"
	"CREATE INDEX events_due ON events (next_at) WHERE next_at IS NOT NULL;"
	"CREATE INDEX events_order ON events (order_no);";

/* For files that were made before it. */
static const char ADDED[] = "CREATE TABLE IF NOT EXISTS traces (order_no INTEGER PRIMARY KEY "
			    "REFERENCES orders (order_no),"
			    " traceparent TEXT NOT NULL) STRICT;";

static err_t order_get(vault_conn *c, uint64_t order_no, book_order *o, bool *found)
{
	sqlite3_stmt *s = vault_stmt(c, SQL_ORDER_GET);
	bind_u64(s, 1, order_no);
	err_t err = vault_step(s, found);
	if (err != ERR_OK || !*found)
		return err;
	*o = (book_order){.order_no = order_no,
		.kind = finance_kind_named(text_at(s, 0)),
		.uid = (uint64_t)sqlite3_column_int64(s, 1),
		.amount_fen = sqlite3_column_int64(s, 2),
		.payment_no = (uint64_t)sqlite3_column_int64(s, 3),
		.outcome = finance_outcome_named(text_at(s, 4)),
		.expires_at_ms = sqlite3_column_int64(s, 9)};
	snprintf(o->reason, sizeof o->reason, "%s", text_at(s, 5));
	snprintf(o->subject, sizeof o->subject, "%s", text_at(s, 6));
	snprintf(o->return_url, sizeof o->return_url, "%s", text_at(s, 7));
	snprintf(o->notify_url, sizeof o->notify_url, "%s", text_at(s, 8));
	sqlite3_reset(s);
	return ERR_OK;
}

static err_t order_add(vault_conn *c, const book_order *o, int64_t due_ms, int64_t now_ms)
{
	sqlite3_stmt *s = vault_stmt(c, SQL_ORDER_ADD);
	bind_u64(s, 1, o->order_no);
	bind_text(s, 2, finance_kind_name(o->kind));
	bind_text(s, 3, book_of(c)->merchant);
	bind_u64(s, 4, o->uid);
	sqlite3_bind_int64(s, 5, o->amount_fen);
	bind_u64(s, 6, o->payment_no);
	bind_text(s, 7, o->subject);
	bind_text(s, 8, o->return_url);
	bind_text(s, 9, o->notify_url);
	sqlite3_bind_int64(s, 10, o->expires_at_ms);
	sqlite3_bind_int64(s, 11, due_ms);
	sqlite3_bind_int64(s, 12, now_ms);
	err_t err = vault_exec(s, NULL);
	if (err != ERR_OK || !o->trace[0])
		return err;
	s = vault_stmt(c, SQL_TRACE_ADD);
	bind_u64(s, 1, o->order_no);
	bind_text(s, 2, o->trace);
	return vault_exec(s, NULL);
}

static err_t move_money(vault_conn *c, const book_order *o, int64_t now_ms)
{
	sqlite3_stmt *s = vault_stmt(c, SQL_ENTRY_ADD);
	bind_u64(s, 1, o->order_no);
	sqlite3_bind_int64(s, 2, now_ms / DAY_MS);
	sqlite3_bind_int64(s, 3, now_ms);
	err_t err = vault_exec(s, NULL);
	if (err != ERR_OK)
		return err;
	s = vault_stmt(c, SQL_MERCHANT_MOVE);
	bind_text(s, 1, book_of(c)->merchant);
	bind_text(s, 2, finance_kind_name(o->kind));
	sqlite3_bind_int64(s, 3, o->amount_fen);
	return vault_exec(s, NULL);
}

/* The only way out of `pending`. `answered`: the caller's request is told, so the callback may be
 * left out. */
static err_t finish(vault_conn *c, book_order *o, finance_outcome outcome, const char *reason,
	bool answered, int64_t now_ms)
{
	int changed = 0;
	sqlite3_stmt *s = vault_stmt(c, SQL_ORDER_FINISH);
	bind_u64(s, 1, o->order_no);
	bind_text(s, 2, finance_outcome_name(outcome));
	bind_text(s, 3, reason);
	sqlite3_bind_int64(s, 4, now_ms);
	err_t err = vault_exec(s, &changed);
	if (err != ERR_OK)
		return err;
	BUG_ON(changed != 1);
	o->outcome = outcome;
	snprintf(o->reason, sizeof o->reason, "%s", reason);
	if (outcome == FINANCE_DONE)
		err = move_money(c, o, now_ms);
	if (err != ERR_OK || !o->notify_url[0])
		return err;
	if (answered && !faults_get(book_of(c)->faults, o->kind, FAULTS_CALLBACK_ALWAYS))
		return ERR_OK;
	return book_event_add(c, o, now_ms);
}

/* An accepted transfer, refund or withdrawal whose time has come. */
static err_t settle(vault_conn *c, book_order *o, bool answered, int64_t now_ms)
{
	int64_t balance;
	sqlite3_stmt *s = vault_stmt(c, SQL_MERCHANT_BALANCE);
	bind_text(s, 1, book_of(c)->merchant);
	err_t err = read_number(s, &balance);
	if (err != ERR_OK)
		return err;
	if (balance < o->amount_fen)
		return finish(c, o, FINANCE_REFUSED, "INSUFFICIENT", answered, now_ms);
	return finish(c, o, FINANCE_DONE, "", answered, now_ms);
}

/* *reason: why a refund must be refused; NULL when it may go on. */
static err_t refund_reason(vault_conn *c, const book_order *o, const char **reason)
{
	book_order payment = {0};
	bool found;
	int64_t rest;
	err_t err = order_get(c, o->payment_no, &payment, &found);
	if (err != ERR_OK)
		return err;
	*reason = NULL;
	if (!found || payment.kind != FINANCE_PAYMENT || payment.outcome != FINANCE_DONE)
		*reason = "PAYMENT_NOT_PAID";
	else if (payment.uid != o->uid)
		*reason = "PAYEE_NOT_PAYER";
	if (*reason)
		return ERR_OK;
	sqlite3_stmt *s = vault_stmt(c, SQL_REFUND_REST);
	bind_u64(s, 1, o->payment_no);
	err = read_number(s, &rest);
	if (err == ERR_OK && o->amount_fen > rest)
		*reason = "ABOVE_PAYMENT";
	return err;
}

/* A number closed before it was known has uid 0: whatever comes with it now is closed too. */
static bool same_order(const book_order *a, const book_order *b)
{
	if (a->kind != b->kind)
		return false;
	return a->uid == 0 || (a->uid == b->uid && a->amount_fen == b->amount_fen &&
				      a->payment_no == b->payment_no);
}

static err_t submit_job(vault_conn *c, int64_t now_ms, void *arg)
{
	book_order *o = arg, known;
	faults_t *f = book_of(c)->faults;
	const char *reason = NULL;
	bool found;
	err_t err = order_get(c, o->order_no, &known, &found);
	if (err != ERR_OK)
		return err;
	if (found) {
		if (!same_order(&known, o))
			return ERR_ORDER_CONFLICT;
		*o = known;
		return ERR_OK;
	}
	if (o->kind == FINANCE_REFUND)
		err = refund_reason(c, o, &reason);
	if (!reason && faults_hit(f, o->kind, FAULTS_REFUSE, o->order_no))
		reason = "ACCOUNT_CLOSED";
	if (err != ERR_OK)
		return err;
	int64_t settle_ms = faults_get(f, o->kind, FAULTS_SETTLE_MS);
	if (o->kind == FINANCE_PAYMENT && o->expires_at_ms == 0)
		o->expires_at_ms = now_ms + PAYMENT_TTL_MS;
	o->outcome = FINANCE_PENDING;
	o->reason[0] = 0;
	err = order_add(
		c, o, o->kind == FINANCE_PAYMENT ? o->expires_at_ms : now_ms + settle_ms, now_ms);
	if (err != ERR_OK)
		return err;
	if (reason)
		return finish(c, o, FINANCE_REFUSED, reason, true, now_ms);
	if (o->kind == FINANCE_PAYMENT)
		return o->expires_at_ms > now_ms
			       ? ERR_OK
			       : finish(c, o, FINANCE_CLOSED, "EXPIRED", true, now_ms);
	return settle_ms == 0 ? settle(c, o, true, now_ms) : ERR_OK;
}

err_t book_submit(book_t *b, book_order *o)
{
	return vault_write(b->vault, submit_job, o);
}

static err_t query_job(vault_conn *c, int64_t now_ms, void *arg)
{
	book_order *o = arg, known;
	bool found;
	(void)now_ms;
	err_t err = order_get(c, o->order_no, &known, &found);
	if (err != ERR_OK || !found)
		return err != ERR_OK ? err : ERR_NOT_FOUND;
	if (known.kind != o->kind)
		return ERR_ORDER_CONFLICT;
	*o = known;
	return ERR_OK;
}

err_t book_query(book_t *b, finance_kind kind, uint64_t order_no, book_order *o)
{
	*o = (book_order){.kind = kind, .order_no = order_no};
	return vault_read(b->vault, query_job, o);
}

static err_t close_job(vault_conn *c, int64_t now_ms, void *arg)
{
	book_order *o = arg;
	err_t err = query_job(c, now_ms, o);
	if (err == ERR_NOT_FOUND) {
		o->outcome = FINANCE_PENDING;
		o->expires_at_ms = now_ms;
		err = order_add(c, o, now_ms, now_ms);
	}
	if (err != ERR_OK || o->outcome != FINANCE_PENDING)
		return err;
	return finish(c, o, FINANCE_CLOSED, "CLOSED_BY_MERCHANT", true, now_ms);
}

err_t book_close_payment(book_t *b, uint64_t order_no, book_order *o)
{
	*o = (book_order){.kind = FINANCE_PAYMENT, .order_no = order_no};
	return vault_write(b->vault, close_job, o);
}

/* A fault: somebody's money is in although the merchant was told that it never would be. */
static err_t pay_closed(vault_conn *c, book_order *o, int64_t now_ms)
{
	if (o->uid == 0 || !faults_hit(book_of(c)->faults, o->kind, FAULTS_PAY_CLOSED, o->order_no))
		return ERR_OK;
	sqlite3_stmt *s = vault_stmt(c, SQL_ORDER_REOPEN);
	bind_u64(s, 1, o->order_no);
	err_t err = vault_exec(s, NULL);
	return err == ERR_OK ? finish(c, o, FINANCE_DONE, "", false, now_ms) : err;
}

static err_t pay_job(vault_conn *c, int64_t now_ms, void *arg)
{
	book_order *o = arg;
	err_t err = query_job(c, now_ms, o);
	if (err == ERR_OK && o->outcome == FINANCE_CLOSED)
		return pay_closed(c, o, now_ms);
	if (err != ERR_OK || o->outcome != FINANCE_PENDING)
		return err;
	if (o->expires_at_ms <= now_ms)
		return finish(c, o, FINANCE_CLOSED, "EXPIRED", false, now_ms);
	return finish(c, o, FINANCE_DONE, "", false, now_ms);
}

err_t book_pay(book_t *b, uint64_t order_no, book_order *o)
{
	*o = (book_order){.kind = FINANCE_PAYMENT, .order_no = order_no};
	return vault_write(b->vault, pay_job, o);
}

/* Settles what is due, expires payments. The rows are read first, for finishing one changes the
 * index that the reading walks. */
static err_t due_timer(vault_conn *c, int64_t now_ms, int64_t *due_ms)
{
	enum { DUE_MAX = 500 };
	static uint64_t due[DUE_MAX];
	unsigned count = 0;
	bool row = true, found;
	int64_t next = 0;
	sqlite3_stmt *s = vault_stmt(c, SQL_ORDERS_DUE);
	sqlite3_bind_int64(s, 1, now_ms);
	err_t err = vault_step(s, &row);
	for (; err == ERR_OK && row && count < DUE_MAX; err = vault_step(s, &row))
		due[count++] = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	for (unsigned i = 0; err == ERR_OK && i < count; i++) {
		book_order o;
		err = order_get(c, due[i], &o, &found);
		if (err == ERR_OK && found && o.outcome == FINANCE_PENDING)
			err = o.kind == FINANCE_PAYMENT
				      ? finish(c, &o, FINANCE_CLOSED, "EXPIRED", false, now_ms)
				      : settle(c, &o, false, now_ms);
	}
	if (err == ERR_OK)
		err = read_number(vault_stmt(c, SQL_ORDER_NEXT_DUE), &next);
	if (err == ERR_OK && next && next < *due_ms)
		*due_ms = next;
	return err;
}

typedef struct {
	const book_entries_query *q;
	book_entry_fn each;
	void *ctx;
	bool more;
} entries_run;

static err_t entries_job(vault_conn *c, int64_t now_ms, void *arg)
{
	entries_run *r = arg;
	bool row;
	(void)now_ms;
	sqlite3_stmt *s = vault_stmt(c, r->q->uid ? SQL_ENTRIES_OF_USER : SQL_ENTRIES_OF_DAY);
	if (r->q->uid)
		bind_u64(s, 1, r->q->uid);
	else
		sqlite3_bind_int64(s, 1, r->q->day);
	bind_text(s, 2, finance_kind_name(r->q->kind));
	sqlite3_bind_int64(s, 3, r->q->after);
	sqlite3_bind_int64(s, 4, r->q->limit + 1);
	err_t err = vault_step(s, &row);
	for (int64_t n = 0; err == ERR_OK && row && !r->more; n++) {
		book_entry e = {.entry_id = sqlite3_column_int64(s, 0),
			.order_no = (uint64_t)sqlite3_column_int64(s, 1),
			.kind = finance_kind_named(text_at(s, 2)),
			.uid = (uint64_t)sqlite3_column_int64(s, 3),
			.amount_fen = sqlite3_column_int64(s, 4),
			.payment_no = (uint64_t)sqlite3_column_int64(s, 5),
			.at_ms = sqlite3_column_int64(s, 6)};
		r->more = n == r->q->limit;
		if (!r->more) {
			r->each(r->ctx, &e);
			err = vault_step(s, &row);
		}
	}
	sqlite3_reset(s);
	return err;
}

err_t book_entries(
	book_t *b, const book_entries_query *q, book_entry_fn each, void *ctx, bool *more)
{
	entries_run r = {q, each, ctx, false};
	err_t err = vault_read(b->vault, entries_job, &r);
	if (err == ERR_OK)
		*more = r.more;
	return err;
}

typedef struct {
	uint64_t uid;
	book_account account;
} account_run;

static err_t account_job(vault_conn *c, int64_t now_ms, void *arg)
{
	account_run *r = arg;
	bool row;
	(void)now_ms;
	sqlite3_stmt *s = vault_stmt(c, SQL_ACCOUNT);
	bind_u64(s, 1, r->uid);
	err_t err = vault_step(s, &row);
	if (err == ERR_OK)
		r->account = (book_account){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
			sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3)};
	sqlite3_reset(s);
	return err;
}

err_t book_account_of(book_t *b, uint64_t uid, book_account *out)
{
	account_run r = {.uid = uid};
	err_t err = vault_read(b->vault, account_job, &r);
	if (err == ERR_OK)
		*out = r.account;
	return err;
}

static void committed(void *ctx)
{
	book_t *b = ctx;
	if (atomic_exchange(&b->has_events, false) && b->on_event)
		b->on_event(b->ctx);
}

static err_t open_merchant_job(vault_conn *c, int64_t now_ms, void *arg)
{
	sqlite3_stmt *s = vault_stmt(c, SQL_MERCHANT_OPEN);
	(void)now_ms;
	bind_text(s, 1, book_of(c)->merchant);
	sqlite3_bind_int64(s, 2, *(int64_t *)arg);
	return vault_exec(s, NULL);
}

err_t book_open(const char *path, const char *merchant, int64_t opening_fen, faults_t *faults,
	void (*on_event)(void *), void *ctx, book_t **out)
{
	book_t *b = calloc(1, sizeof *b);
	BUG_ON(!b);
	b->faults = faults;
	b->on_event = on_event;
	b->ctx = ctx;
	snprintf(b->merchant, sizeof b->merchant, "%s", merchant);
	vault_conf conf = {.path = path,
		.schema = SCHEMA,
		.added = ADDED,
		.sql = SQL_TEXTS,
		.sql_count = SQL_COUNT,
		.timer = due_timer,
		.committed = committed,
		.ctx = b};
	err_t err = vault_open(&conf, &b->vault);
	if (err == ERR_OK)
		err = vault_write(b->vault, open_merchant_job, &opening_fen);
	if (err != ERR_OK) {
		book_close(&b);
		return err;
	}
	*out = b;
	return ERR_OK;
}

void book_close(book_t **b)
{
	if (!*b)
		return;
	vault_close(&(*b)->vault);
	free(*b);
	*b = NULL;
}

vault_counts book_counts(book_t *b)
{
	return vault_count(b->vault);
}
