/* Plain HTML, one form, no script: it must work in any phone's browser and for curl. Paying twice
 * is paying once; every state of the order has its page, so that going back in the browser is
 * harmless.
 */
#include "sim/cashier.h"

#include "base/clk.h"
#include "base/parse.h"
#include <stdio.h>
#include <string.h>

enum { TAG_BYTES = 16, ORIGIN_BYTES = 200, ACCOUNT_LINES = 50, ACCOUNT_PAGE = 500 };

static const char STYLE[] =
	"*{box-sizing:border-box}\n"
	"body{margin:0;background:#f4f1ee;color:#2b2320;"
	"font:16px/1.5 system-ui,\"Noto Sans CJK SC\",\"PingFang SC\",sans-serif}\n"
	"main{max-width:26rem;margin:0 auto;padding:1.5rem 1rem;min-height:100vh}\n"
	"header{color:#8a7f79;text-align:center;font-size:.9rem}\n"
	".card{background:#fff;border-radius:1rem;padding:2rem 1.25rem;margin:1rem 0;"
	"text-align:center;box-shadow:0 2px 12px rgba(80,30,20,.08)}\n"
	".amount{font-size:2.75rem;font-weight:600;margin:.5rem 0}\n"
	".subject{margin:0;overflow-wrap:anywhere}\n"
	".order{color:#8a7f79;font-size:.8rem;margin:1rem 0 0}\n"
	"h1{font-size:1.35rem;margin:0}\n"
	"button{width:100%;padding:.9rem;border:0;border-radius:.75rem;background:#c8372d;"
	"color:#fff;font:inherit;font-weight:600;font-size:1.1rem;cursor:pointer}\n"
	"button:hover{background:#b02d24}\n"
	"a:focus-visible,button:focus-visible{outline:3px solid #f0b429;outline-offset:2px}\n"
	"a.back{display:block;text-align:center;padding:1rem;color:#8a4b3d}\n"
	"ul{list-style:none;margin:0;padding:0}\n"
	"li{display:flex;justify-content:space-between;padding:.5rem 0;"
	"border-top:1px solid #eee6e0;font-variant-numeric:tabular-nums}\n"
	"footer{color:#8a7f79;font-size:.75rem;text-align:center}\n";

static const char PAGE[] =
	"<!doctype html>\n<html lang=\"zh\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>收银台 Cashier</title>\n<link rel=\"stylesheet\" href=\"/cashier.css\">\n</head>\n"
	"<body>\n<main>\n<header>收银台 Cashier</header>\n"
	"<section class=\"card\">\n<h1>%s</h1>\n<p class=\"amount\">¥%lld.%02lld</p>\n"
	"<p class=\"subject\">%s</p>\n<p class=\"order\">%llu</p>\n</section>\n%s"
	"<footer>模拟机构，不涉及真实资金 Simulated: no real money moves</footer>\n"
	"</main>\n</body>\n</html>\n";

static const char ACCOUNT[] =
	"<!doctype html>\n<html lang=\"zh\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>零钱 Balance</title>\n<link rel=\"stylesheet\" href=\"/cashier.css\">\n</head>\n"
	"<body>\n<main>\n<header>支付机构 Finance</header>\n"
	"<section class=\"card\">\n<h1>用户 User %llu</h1>\n<p class=\"amount\" id=\"received\">"
	"¥%lld.%02lld</p>\n<p class=\"subject\">收到的转账 Transfers received: "
	"%lld</p>\n</section>\n"
	"<section class=\"card\"><ul>%s</ul></section>\n"
	"<footer>模拟机构，不涉及真实资金 Simulated: no real money moves</footer>\n"
	"</main>\n</body>\n</html>\n";

static const char FORM[] = "<form method=\"post\" action=\"/cashier/%llu/pay\">\n"
			   "<input type=\"hidden\" name=\"t\" value=\"%s\">\n"
			   "<button type=\"submit\" id=\"pay\">支付 Pay</button>\n</form>\n";

static void make_tag(const api_t *a, uint64_t order_no, uint8_t tag[TAG_BYTES])
{
	keys_part part = {&order_no, sizeof order_no};
	keys_tag(a->keys, "cashier", &part, 1, tag);
}

void cashier_address(const api_t *a, uint64_t order_no, char out[CASHIER_ADDRESS_BYTES])
{
	uint8_t tag[TAG_BYTES];
	char hex[2 * TAG_BYTES + 1];
	make_tag(a, order_no, tag);
	parse_to_hex(tag, sizeof tag, hex);
	int n = snprintf(out, CASHIER_ADDRESS_BYTES, "%s/cashier/%llu?t=%s", a->public_url,
		(unsigned long long)order_no, hex);
	BUG_ON(n <= 0 || n >= CASHIER_ADDRESS_BYTES);
}

static bool token_ok(const api_t *a, uint64_t order_no, const char *hex)
{
	uint8_t tag[TAG_BYTES];
	keys_part part = {&order_no, sizeof order_no};
	return hex && strlen(hex) == 2 * sizeof tag && parse_hex(hex, sizeof tag, tag) &&
	       keys_tag_ok(a->keys, "cashier", &part, 1, tag);
}

/* "http://host:port" of a URL; its length, 0 when it is not one. */
static size_t origin_len(const char *url)
{
	size_t scheme = strncmp(url, "https://", 8) == 0  ? 8
			: strncmp(url, "http://", 7) == 0 ? 7
							  : 0;
	size_t host = strspn(url + scheme, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					   "0123456789.-:[]");
	char next = url[scheme + host];
	bool ok = scheme && host && scheme + host < ORIGIN_BYTES &&
		  (next == 0 || next == '/' || next == '?');
	return ok ? scheme + host : 0;
}

bool cashier_url_ok(const char *url)
{
	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return *url == 0 || origin_len(url) > 0;
}

static const char *escape(arena_t *a, const char *s)
{
	char *out = arena_alloc(a, strlen(s) * 6 + 1), *to = out;
	for (; *s; s++) {
		const char *as = *s == '&'    ? "&amp;"
				 : *s == '<'  ? "&lt;"
				 : *s == '>'  ? "&gt;"
				 : *s == '"'  ? "&quot;"
				 : *s == '\'' ? "&#39;"
					      : NULL;
		if (as)
			to = stpcpy(to, as);
		else
			*to++ = *s;
	}
	*to = 0;
	return out;
}

/* Browsers apply form-action to where a form's answer redirects as well, so the merchant's origin
 * has to be in it. */
static void html(http_req_t *r, const book_order *o, const char *content)
{
	size_t n = o ? origin_len(o->return_url) : 0;
	r->content = content;
	r->content_len = strlen(content);
	r->content_out_type = "text/html; charset=utf-8";
	http_header(r, "Content-Security-Policy",
		arena_printf(r->arena,
			"default-src 'none'; style-src 'self'; base-uri 'none'; "
			"frame-ancestors 'none'; form-action 'self' %.*s",
			(int)n, o ? o->return_url : ""));
	http_header(r, "X-Content-Type-Options", "nosniff");
	http_header(r, "Referrer-Policy", "no-referrer");
}

static void page(http_req_t *r, const book_order *o, const char *title, const char *form)
{
	const char *back = "";
	if (o->return_url[0])
		back = arena_printf(r->arena, "<a class=\"back\" id=\"back\" href=\"%s\">%s</a>\n",
			escape(r->arena, o->return_url),
			form[0] ? "取消 Cancel" : "返回商家 Back to the merchant");
	html(r, o,
		arena_printf(r->arena, PAGE, title, (long long)(o->amount_fen / 100),
			(long long)(o->amount_fen % 100), escape(r->arena, o->subject),
			(unsigned long long)o->order_no,
			arena_printf(r->arena, "%s%s", form, back)));
}

static err_t no_page(http_req_t *r)
{
	r->status = 404;
	html(r, NULL,
		"<!doctype html>\n<html lang=\"zh\"><head><meta charset=\"utf-8\">"
		"<title>404</title><link rel=\"stylesheet\" href=\"/cashier.css\"></head>"
		"<body><main><section class=\"card\"><h1>没有这个订单 No such order</h1></section>"
		"</main></body></html>\n");
	return ERR_OK;
}

static void final_page(http_req_t *r, const book_order *o)
{
	const char *title = "已关闭 Closed";
	if (o->outcome == FINANCE_DONE)
		title = "支付成功 Paid";
	else if (o->outcome == FINANCE_REFUSED)
		title = "支付被拒绝 Refused";
	else if (strcmp(o->reason, "EXPIRED") == 0)
		title = "已过期 Expired";
	page(r, o, title, "");
}

err_t cashier_show(http_req_t *r, uint64_t order_no)
{
	const api_t *a = r->app;
	book_order o;
	bool twice;
	const char *token = http_query(r, "t", &twice);
	if (twice || !token_ok(a, order_no, token))
		return no_page(r);
	err_t err = book_query(a->book, FINANCE_PAYMENT, order_no, &o);
	if (err == ERR_NOT_FOUND || err == ERR_ORDER_CONFLICT)
		return no_page(r);
	if (err != ERR_OK)
		return err;
	if (o.outcome != FINANCE_PENDING)
		final_page(r, &o);
	else
		page(r, &o, "确认付款 Confirm payment",
			arena_printf(r->arena, FORM, (unsigned long long)order_no, token));
	return ERR_OK;
}

err_t cashier_pay(http_req_t *r, uint64_t order_no)
{
	const api_t *a = r->app;
	char address[CASHIER_ADDRESS_BYTES];
	book_order o;
	bool twice;
	const char *token = http_query(r, "t", &twice);
	if (!token && strncmp(r->body, "t=", 2) == 0)
		token = r->body + 2;
	if (twice || !token_ok(a, order_no, token))
		return no_page(r);
	err_t err = book_pay(a->book, order_no, &o);
	if (err == ERR_NOT_FOUND || err == ERR_ORDER_CONFLICT)
		return no_page(r);
	if (err != ERR_OK)
		return err;
	if (o.outcome != FINANCE_DONE) {
		r->status = 409;
		final_page(r, &o);
		return ERR_OK;
	}
	cashier_address(a, order_no, address);
	r->status = 303;
	html(r, &o, "");
	http_header(
		r, "Location", arena_strdup(r->arena, o.return_url[0] ? o.return_url : address));
	return ERR_OK;
}

/* The newest entries of a user, as a ring. */
typedef struct {
	book_entry line[ACCOUNT_LINES];
	size_t seen;
	int64_t last_id;
} account_lines;

static void keep_line(void *ctx, const book_entry *e)
{
	account_lines *l = ctx;
	l->line[l->seen++ % ACCOUNT_LINES] = *e;
	l->last_id = e->entry_id;
}

static const char *account_list(http_req_t *r, const account_lines *l)
{
	const char *out = "";
	const size_t first = l->seen > ACCOUNT_LINES ? l->seen - ACCOUNT_LINES : 0;
	for (size_t i = first; i < l->seen; i++) {
		const book_entry *e = &l->line[i % ACCOUNT_LINES];
		char at[CLK_RFC3339_BYTES];
		clk_rfc3339(e->at_ms, at);
		out = arena_printf(r->arena,
			"<li><span>%s %.19s</span><b>¥%lld.%02lld</b></li>\n%s",
			finance_kind_name(e->kind), at, (long long)(e->amount_fen / 100),
			(long long)(e->amount_fen % 100), out);
	}
	return out;
}

err_t cashier_account(http_req_t *r, uint64_t uid)
{
	const api_t *a = r->app;
	account_lines *l = arena_alloc(r->arena, sizeof *l);
	book_entries_query q = {.uid = uid, .limit = ACCOUNT_PAGE};
	book_account got;
	bool more = true;
	err_t err = book_account_of(a->book, uid, &got);
	while (err == ERR_OK && more) {
		err = book_entries(a->book, &q, keep_line, l, &more);
		q.after = l->last_id;
	}
	if (err != ERR_OK)
		return err;
	html(r, NULL,
		arena_printf(r->arena, ACCOUNT, (unsigned long long)uid,
			(long long)(got.received_fen / 100), (long long)(got.received_fen % 100),
			(long long)got.received_count, account_list(r, l)));
	return ERR_OK;
}

err_t cashier_style(http_req_t *r)
{
	r->content = STYLE;
	r->content_len = sizeof STYLE - 1;
	r->content_out_type = "text/css; charset=utf-8";
	return ERR_OK;
}
