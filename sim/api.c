/* The routes are rows; what is signed is verified before its handler runs and its answer, error or
 * not, is signed after it. What a fault produces is deliberately not: it stands for what a broken
 * network or a proxy would say. */
#include "sim/api.h"

#include "base/clk.h"
#include "base/parse.h"
#include "sim/cashier.h"
#include <stdio.h>
#include <string.h>

enum {
	SKEW_S = 300,
	DAY_MS = 86400000,
	STATEMENT_LINES_MAX = 10000,
	STATEMENT_ENTRIES_MAX = STATEMENT_LINES_MAX / 3, /* faults make up to three lines of one */
	STATEMENT_LINE_BYTES = 160,
	ENTRIES_MAX = 200,
	SEGMENT_BYTES = 64,
	CALLBACK_LOOK_MS = 5,
};
/* What a made-up line of a statement adds to a real order's number: above all that hongbao leases,
 * below 2^63, and the slot stays. */
static const uint64_t NEVER_WAS = 4600000000000000000;

typedef struct {
	http_req_t *r;
	const api_t *a;
	finance_kind kind;
	uint64_t no; /* of the path, or of a submitted order */
	int64_t day;
	jw_t w;           /* the answer, unless `text` is set */
	const char *text; /* a CSV answer */
	bool lost;        /* a fault takes the answer away */
	int64_t late_ms;  /* a fault holds it back */
} call_t;

typedef struct {
	const char *method, *pattern;
	bool is_signed;
	err_t (*handle)(call_t *c);
} route_t;

/* Before an order is touched: may wait, may pretend to be down. */
static err_t fault_before(call_t *c)
{
	faults_t *f = c->a->faults;
	if (faults_hit(f, c->kind, FAULTS_OUTAGE, c->no))
		return ERR_FINANCE_UNAVAILABLE;
	if (faults_hit(f, c->kind, FAULTS_DELAY, c->no))
		clk_sleep_ms(faults_get(f, c->kind, FAULTS_DELAY_MS));
	return ERR_OK;
}

/* Holds the answer until the callback has come through; one that is never sent costs the bound. */
static void wait_for_callback(call_t *c)
{
	int64_t until_ms =
		clk_mono_ms() + faults_get(c->a->faults, c->kind, FAULTS_CALLBACK_FIRST_MS);
	bool delivered = false;
	while (!delivered && clk_mono_ms() < until_ms) {
		if (book_event_delivered(c->a->book, c->no, &delivered) != ERR_OK)
			return;
		if (!delivered)
			clk_sleep_ms(CALLBACK_LOOK_MS);
	}
}

/* After an order was written. */
static void fault_after(call_t *c)
{
	faults_t *f = c->a->faults;
	if (faults_hit(f, c->kind, FAULTS_CALLBACK_FIRST, c->no))
		wait_for_callback(c);
	if (faults_hit(f, c->kind, FAULTS_LATE_ANSWER, c->no))
		c->late_ms = faults_get(f, c->kind, FAULTS_LATE_ANSWER_MS);
	if (!faults_hit(f, c->kind, FAULTS_TIMEOUT, c->no))
		return;
	c->lost = true;
	c->late_ms += faults_get(f, c->kind, FAULTS_TIMEOUT_HOLD_MS);
}

static void write_order(call_t *c, const book_order *o)
{
	char address[CASHIER_ADDRESS_BYTES];
	jw_obj(&c->w, NULL);
	jw_id(&c->w, "order_no", o->order_no);
	jw_str(&c->w, "kind", finance_kind_name(o->kind));
	jw_str(&c->w, "outcome", finance_outcome_name(o->outcome));
	jw_money(&c->w, "amount", o->amount_fen);
	jw_str(&c->w, "reason", o->reason[0] ? o->reason : NULL);
	if (o->kind == FINANCE_PAYMENT && o->uid != 0) {
		cashier_address(c->a, o->order_no, address);
		jw_str(&c->w, "cashier_url", address);
	}
	jw_obj_end(&c->w);
}

typedef struct {
	const char *merchant, *subject, *return_url, *notify_url;
	uint64_t order_no, uid, payment_no;
	int64_t amount_fen, expires_at_ms;
} submit_input;

static err_t check_submit(call_t *c, const submit_input *in)
{
	bool refund = c->kind == FINANCE_REFUND;
	err_t err = ERR_OK;
	if (strcmp(in->merchant, c->a->merchant) != 0)
		err = http_field_error_add(c->r, "merchant", "other", "is not the signer");
	if (in->amount_fen < 1)
		err = http_field_error_add(c->r, "amount", "range", "must be at least 1 fen");
	if (refund != (in->payment_no != 0))
		err = http_field_error_add(
			c->r, "payment_no", "required", "belongs to refunds, and to them only");
	if (!cashier_url_ok(in->return_url))
		err = http_field_error_add(c->r, "return_url", "format", "is not an http(s) URL");
	if (!cashier_url_ok(in->notify_url))
		err = http_field_error_add(c->r, "notify_url", "format", "is not an http(s) URL");
	return err;
}

static err_t submit(call_t *c)
{
	static const http_field rows[] = {
		{"merchant", HTTP_F_TOKEN, true, offsetof(submit_input, merchant), 1, 31, NULL},
		{"order_no", HTTP_F_ID, true, offsetof(submit_input, order_no), 0, 0, NULL},
		{"uid", HTTP_F_ID, true, offsetof(submit_input, uid), 0, 0, NULL},
		{"amount", HTTP_F_MONEY, true, offsetof(submit_input, amount_fen), 0, 0, NULL},
		{"payment_no", HTTP_F_ID, false, offsetof(submit_input, payment_no), 0, 0, NULL},
		{"expires_at", HTTP_F_TIME, false, offsetof(submit_input, expires_at_ms), 0, 0,
			NULL},
		{"subject", HTTP_F_TEXT, false, offsetof(submit_input, subject), 0, 100, NULL},
		{"return_url", HTTP_F_TEXT, false, offsetof(submit_input, return_url), 0,
			BOOK_URL_BYTES - 1, NULL},
		{"notify_url", HTTP_F_TEXT, false, offsetof(submit_input, notify_url), 0,
			BOOK_URL_BYTES - 1, NULL},
	};
	submit_input in = {.merchant = "", .subject = "", .return_url = "", .notify_url = ""};
	err_t err = http_fields(c->r, rows, sizeof rows / sizeof rows[0], &in);
	if (err == ERR_OK)
		err = check_submit(c, &in);
	if (err != ERR_OK)
		return err;
	c->no = in.order_no;
	err = fault_before(c);
	if (err != ERR_OK)
		return err;
	book_order o = {.kind = c->kind,
		.order_no = in.order_no,
		.uid = in.uid,
		.payment_no = in.payment_no,
		.amount_fen = in.amount_fen,
		.expires_at_ms = in.expires_at_ms};
	snprintf(o.trace, sizeof o.trace, "%s", trace_followed() ? trace_followed() : "");
	snprintf(o.subject, sizeof o.subject, "%s", in.subject);
	snprintf(o.return_url, sizeof o.return_url, "%s", in.return_url);
	snprintf(o.notify_url, sizeof o.notify_url, "%s", in.notify_url);
	err = book_submit(c->a->book, &o);
	if (err != ERR_OK)
		return err;
	write_order(c, &o);
	fault_after(c);
	return ERR_OK;
}

static err_t query(call_t *c)
{
	book_order o;
	err_t err = fault_before(c);
	if (err == ERR_OK)
		err = book_query(c->a->book, c->kind, c->no, &o);
	if (err == ERR_OK)
		write_order(c, &o);
	return err;
}

static err_t close_payment(call_t *c)
{
	static const http_field rows[] = {{"merchant", HTTP_F_TOKEN, true, 0, 1, 31, NULL}};
	const char *merchant = "";
	book_order o;
	if (c->kind != FINANCE_PAYMENT)
		return ERR_NOT_FOUND;
	err_t err = http_fields(c->r, rows, 1, &merchant);
	if (err == ERR_OK && strcmp(merchant, c->a->merchant) != 0)
		err = http_field_error_add(c->r, "merchant", "other", "is not the signer");
	if (err == ERR_OK)
		err = fault_before(c);
	if (err == ERR_OK)
		err = book_close_payment(c->a->book, c->no, &o);
	if (err != ERR_OK)
		return err;
	write_order(c, &o);
	fault_after(c);
	return ERR_OK;
}

typedef struct {
	faults_t *faults;
	char *text;
	size_t len, room;
	int64_t last;
} statement_t;

static void statement_write(statement_t *s, const book_entry *e)
{
	char at[CLK_RFC3339_BYTES];
	clk_rfc3339(e->at_ms, at);
	int n = snprintf(s->text + s->len, s->room - s->len, "%llu,%s,%llu,%lld,%llu,%s\n",
		(unsigned long long)e->order_no, finance_kind_name(e->kind),
		(unsigned long long)e->uid, (long long)e->amount_fen,
		(unsigned long long)e->payment_no, at);
	BUG_ON(n <= 0 || (size_t)n >= s->room - s->len);
	s->len += (size_t)n;
}

static void statement_line(void *ctx, const book_entry *e)
{
	statement_t *s = ctx;
	book_entry line = *e;
	line.amount_fen += faults_marks(s->faults, e->kind, FAULTS_STATEMENT_AMOUNT, e->order_no);
	if (!faults_marks(s->faults, e->kind, FAULTS_STATEMENT_MISSING, e->order_no))
		statement_write(s, &line);
	if (faults_marks(s->faults, e->kind, FAULTS_STATEMENT_TWICE, e->order_no))
		statement_write(s, &line);
	line.order_no += NEVER_WAS;
	if (faults_marks(s->faults, e->kind, FAULTS_STATEMENT_EXTRA, e->order_no))
		statement_write(s, &line);
	s->last = e->entry_id;
}

/* ?kind=payment&after=<cursor>: the rest of the query is refused by name. */
static err_t read_range(call_t *c, book_entries_query *q)
{
	static const char *const names[] = {"kind", "after", NULL};
	bool twice_kind, twice_after;
	uint64_t after = 0;
	err_t err = http_query_only(c->r, names);
	const char *kind = http_query(c->r, "kind", &twice_kind);
	const char *from = http_query(c->r, "after", &twice_after);
	if (err != ERR_OK)
		return err;
	if (twice_kind || twice_after || (from && !parse_u64(from, INT64_MAX, &after)) ||
		(kind && !finance_kind_named(kind)))
		return ERR_INVALID_REQUEST;
	q->kind = kind ? finance_kind_named(kind) : 0;
	q->after = (int64_t)after;
	return ERR_OK;
}

static err_t statement(call_t *c)
{
	static const char head[] = "order_no,kind,uid,amount_fen,payment_no,at\n";
	book_entries_query q = {.day = c->day, .limit = STATEMENT_ENTRIES_MAX};
	bool more;
	err_t err = read_range(c, &q);
	if (err != ERR_OK)
		return err;
	statement_t s = {.faults = c->a->faults,
		.room = (STATEMENT_LINES_MAX + 2) * (size_t)STATEMENT_LINE_BYTES};
	s.text = arena_alloc(c->r->arena, s.room);
	s.len = (size_t)(stpcpy(s.text, head) - s.text);
	err = book_entries(c->a->book, &q, statement_line, &s, &more);
	if (err != ERR_OK)
		return err;
	if (more)
		snprintf(s.text + s.len, s.room - s.len, "#next,%lld\n", (long long)s.last);
	else
		snprintf(s.text + s.len, s.room - s.len, "#end\n");
	c->text = s.text;
	return ERR_OK;
}

static err_t account(call_t *c)
{
	book_account got;
	err_t err = book_account_of(c->a->book, c->no, &got);
	if (err != ERR_OK)
		return err;
	jw_obj(&c->w, NULL);
	jw_id(&c->w, "uid", c->no);
	jw_money(&c->w, "received", got.received_fen);
	jw_i64(&c->w, "count", got.received_count);
	jw_money(&c->w, "paid", got.paid_fen);
	jw_money(&c->w, "refunded", got.refunded_fen);
	jw_obj_end(&c->w);
	return ERR_OK;
}

static void write_entry(void *ctx, const book_entry *e)
{
	call_t *c = ctx;
	jw_obj(&c->w, NULL);
	jw_id(&c->w, "order_no", e->order_no);
	jw_str(&c->w, "kind", finance_kind_name(e->kind));
	jw_money(&c->w, "amount", e->amount_fen);
	jw_time(&c->w, "at", e->at_ms);
	jw_obj_end(&c->w);
	c->day = e->entry_id;
}

static err_t account_entries(call_t *c)
{
	book_entries_query q = {.uid = c->no, .limit = ENTRIES_MAX};
	bool more = false;
	err_t err = read_range(c, &q);
	if (err != ERR_OK)
		return err;
	jw_obj(&c->w, NULL);
	jw_arr(&c->w, "data");
	err = book_entries(c->a->book, &q, write_entry, c, &more);
	jw_arr_end(&c->w);
	jw_str(&c->w, "next_after",
		more ? arena_printf(c->r->arena, "%lld", (long long)c->day) : NULL);
	jw_obj_end(&c->w);
	return err;
}

static err_t faults_show(call_t *c)
{
	faults_write(c->a->faults, &c->w);
	return ERR_OK;
}

static err_t faults_change(call_t *c)
{
	char why[128];
	if (c->r->body_error != ERR_OK)
		return c->r->body_error;
	err_t err = faults_apply(c->a->faults, c->r->body, c->r->body_len, why);
	if (err != ERR_OK) {
		c->r->detail = arena_strdup(c->r->arena, why);
		return err;
	}
	return faults_show(c);
}

static err_t page_show(call_t *c)
{
	return cashier_show(c->r, c->no);
}

static err_t page_account(call_t *c)
{
	return cashier_account(c->r, c->no);
}

static err_t page_pay(call_t *c)
{
	return cashier_pay(c->r, c->no);
}

static err_t page_style(call_t *c)
{
	return cashier_style(c->r);
}

static err_t health(call_t *c)
{
	c->r->status = 204;
	return ERR_OK;
}

static const route_t ROUTES[] = {
	{"POST", "/finance/v1/{kinds}", true, submit},
	{"GET", "/finance/v1/{kinds}/{no}", true, query},
	{"POST", "/finance/v1/{kinds}/{no}/close", true, close_payment},
	{"GET", "/finance/v1/statements/{day}", true, statement},
	{"GET", "/finance/v1/accounts/{no}", false, account},
	{"GET", "/finance/v1/accounts/{no}/entries", false, account_entries},
	{"GET", "/cashier/{no}", false, page_show},
	{"POST", "/cashier/{no}/pay", false, page_pay},
	{"GET", "/account/{no}", false, page_account},
	{"GET", "/cashier.css", false, page_style},
	{"GET", "/sim/faults", false, faults_show},
	{"POST", "/sim/faults", false, faults_change},
	{"GET", "/healthz", false, health},
};

/* One {name} of a pattern against one segment of the path. */
static bool match_segment(call_t *c, const char *name, size_t name_len, const char *text, size_t n)
{
	char copy[SEGMENT_BYTES + 16];
	int64_t at_ms;
	if (n == 0 || n >= SEGMENT_BYTES)
		return false;
	memcpy(copy, text, n);
	copy[n] = 0;
	if (strncmp(name, "{no}", name_len) == 0)
		return parse_u64(copy, INT64_MAX, &c->no) && c->no != 0;
	if (strncmp(name, "{kinds}", name_len) == 0) {
		bool plural = copy[n - 1] == 's';
		copy[n - 1] = 0;
		c->kind = finance_kind_named(copy);
		return plural && c->kind != 0;
	}
	snprintf(copy + n, sizeof copy - n, "T00:00:00Z");
	if (n != strlen("2026-11-22") || clk_parse_rfc3339(copy, &at_ms) != ERR_OK)
		return false;
	c->day = at_ms / DAY_MS;
	return true;
}

static bool match(call_t *c, const char *pattern, const char *path)
{
	while (*pattern == '/' && *path == '/') {
		size_t p = strcspn(++pattern, "/"), n = strcspn(++path, "/");
		bool same = *pattern == '{' ? match_segment(c, pattern, p, path, n)
					    : p == n && memcmp(pattern, path, n) == 0;
		if (!same)
			return false;
		pattern += p;
		path += n;
	}
	return *pattern == 0 && *path == 0;
}

/* An error about a verified request, in the protocol's own words. */
static void write_error(call_t *c, err_t err)
{
	http_req_t *r = c->r;
	jw_start(&c->w, r->arena);
	r->status = err_http(err);
	jw_obj(&c->w, NULL);
	jw_str(&c->w, "code", err == ERR_NOT_FOUND ? "ORDER_NOT_KNOWN" : err_code(err));
	jw_str(&c->w, "title", err_title(err));
	jw_arr(&c->w, "errors");
	for (unsigned i = 0; i < r->error_count; i++) {
		jw_obj(&c->w, NULL);
		jw_str(&c->w, "field", r->errors[i].field);
		jw_str(&c->w, "code", r->errors[i].code);
		jw_str(&c->w, "message", r->errors[i].message);
		jw_obj_end(&c->w);
	}
	jw_arr_end(&c->w);
	jw_obj_end(&c->w);
}

static void take_answer(call_t *c)
{
	http_req_t *r = c->r;
	if (c->text) {
		r->content = c->text;
		r->content_len = strlen(c->text);
		r->content_out_type = "text/csv; charset=utf-8";
	} else if (c->w.len) {
		r->content_len = jw_end(&c->w);
		r->content = c->w.buf;
		r->content_out_type = "application/json";
	}
}

static err_t handle_signed(call_t *c, const route_t *route)
{
	http_req_t *r = c->r;
	char id[65], status[16], *signature = arena_alloc(r->arena, 256);
	const char *target =
		r->query[0] ? arena_printf(r->arena, "%s?%s", r->path, r->query) : r->path;
	if (r->body_error != ERR_OK)
		return r->body_error;
	err_t err = finance_verify(c->a->keys, c->a->merchant, clk_wall_ms() / 1000, SKEW_S,
		r->signature, r->method, target, r->body, r->body_len, id);
	if (err == ERR_OK)
		err = route->handle(c);
	if (err == ERR_SIGNATURE_INVALID || err == ERR_FINANCE_UNAVAILABLE)
		return err;
	if (err != ERR_OK)
		write_error(c, err);
	if (c->late_ms)
		clk_sleep_ms(c->late_ms);
	if (c->lost) {
		r->status = 504;
		return ERR_OK;
	}
	take_answer(c);
	snprintf(status, sizeof status, "%d", r->status);
	finance_sign(c->a->keys, c->a->merchant, clk_wall_ms() / 1000, id, status, target,
		r->content, r->content_len, signature);
	http_header(r, "X-Finance-Signature", signature);
	return ERR_OK;
}

err_t api_handle(http_req_t *r)
{
	bool path_known = false;
	for (unsigned i = 0; i < sizeof ROUTES / sizeof ROUTES[0]; i++) {
		call_t c = {.r = r, .a = r->app};
		if (!match(&c, ROUTES[i].pattern, r->path))
			continue;
		path_known = true;
		if (strcmp(ROUTES[i].method, r->method) != 0)
			continue;
		jw_start(&c.w, r->arena);
		if (ROUTES[i].is_signed)
			return handle_signed(&c, &ROUTES[i]);
		err_t err = ROUTES[i].handle(&c);
		if (err == ERR_OK)
			take_answer(&c);
		return err;
	}
	return path_known ? ERR_METHOD_NOT_ALLOWED : ERR_NOT_FOUND;
}
