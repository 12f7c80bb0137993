/* Written straight into the buffer, without a tree: an answer is built once and sent. An arena's
 * buffer doubles by copying; the old halves stay in the arena until the request ends. */
#include "base/jw.h"
#include "base/clk.h"
#include "base/parse.h"
#include <stdio.h>
#include <string.h>

enum { JW_FIRST_BYTES = 512, JW_DEPTH_MAX = 32 };

void jw_start(jw_t *w, arena_t *a)
{
	*w = (jw_t){.arena = a, .cap = JW_FIRST_BYTES};
	w->buf = arena_alloc(a, w->cap);
}

void jw_start_fixed(jw_t *w, char *buf, size_t cap)
{
	BUG_ON(!cap);
	*w = (jw_t){.buf = buf, .cap = cap};
}

/* One byte is always left for the zero. */
static bool jw_room(jw_t *w, size_t n)
{
	size_t cap = w->cap;
	char *bigger;

	if (w->overflow)
		return false;
	if (n < w->cap - w->len)
		return true;
	if (!w->arena) {
		w->overflow = true;
		return false;
	}
	while (n >= cap - w->len)
		cap *= 2;
	bigger = arena_alloc(w->arena, cap);
	memcpy(bigger, w->buf, w->len);
	w->buf = bigger;
	w->cap = cap;
	return true;
}

static void jw_put(jw_t *w, const char *s, size_t n)
{
	if (!jw_room(w, n))
		return;
	memcpy(w->buf + w->len, s, n);
	w->len += n;
}

static void jw_quoted(jw_t *w, const char *s, size_t n)
{
	size_t plain = 0, i = 0;

	jw_put(w, "\"", 1);
	while (i < n) {
		uint32_t c = 0;
		size_t bytes = parse_utf8(s + i, n - i, &c);
		char esc[8] = "\xef\xbf\xbd"; /* U+FFFD for a byte that is not UTF-8 */

		if (bytes && c >= 0x20 && c != '"' && c != '\\') {
			i += bytes;
			continue;
		}
		if (bytes && c >= 0x20)
			snprintf(esc, sizeof(esc), "\\%c", (char)c);
		else if (bytes)
			snprintf(esc, sizeof(esc), "\\u%04x", (unsigned)c);
		jw_put(w, s + plain, i - plain);
		jw_put(w, esc, strlen(esc));
		i += 1;
		plain = i;
	}
	jw_put(w, s + plain, n - plain);
	jw_put(w, "\"", 1);
}

/* The comma and the key that stand before a value. */
static void jw_before(jw_t *w, const char *key)
{
	uint32_t bit;

	if (!w->depth) {
		BUG_ON(key || w->len);
		return;
	}
	bit = UINT32_C(1) << (w->depth - 1);
	BUG_ON(!key != !(w->object & bit));
	if (w->comma & bit)
		jw_put(w, ",", 1);
	w->comma |= bit;
	if (key) {
		jw_quoted(w, key, strlen(key));
		jw_put(w, ":", 1);
	}
}

static void jw_open(jw_t *w, const char *key, bool object)
{
	uint32_t bit;

	jw_before(w, key);
	BUG_ON(w->depth == JW_DEPTH_MAX);
	bit = UINT32_C(1) << w->depth++;
	w->comma &= ~bit;
	w->object = object ? w->object | bit : w->object & ~bit;
	jw_put(w, object ? "{" : "[", 1);
}

static void jw_close(jw_t *w, bool object)
{
	BUG_ON(!w->depth);
	w->depth--;
	BUG_ON(object != !!(w->object & UINT32_C(1) << w->depth));
	jw_put(w, object ? "}" : "]", 1);
}

size_t jw_end(jw_t *w)
{
	BUG_ON(w->depth);
	if (w->overflow)
		w->len = 0;
	w->buf[w->len] = '\0';
	return w->len;
}

void jw_obj(jw_t *w, const char *key)
{
	jw_open(w, key, true);
}

void jw_obj_end(jw_t *w)
{
	jw_close(w, true);
}

void jw_arr(jw_t *w, const char *key)
{
	jw_open(w, key, false);
}

void jw_arr_end(jw_t *w)
{
	jw_close(w, false);
}

void jw_raw(jw_t *w, const char *key, const char *json, size_t n)
{
	jw_before(w, key);
	jw_put(w, json, n);
}

void jw_strn(jw_t *w, const char *key, const char *s, size_t n)
{
	jw_before(w, key);
	jw_quoted(w, s, n);
}

void jw_str(jw_t *w, const char *key, const char *s)
{
	if (s)
		jw_strn(w, key, s, strlen(s));
	else
		jw_null(w, key);
}

void jw_i64(jw_t *w, const char *key, int64_t v)
{
	char text[1 + PARSE_DECIMAL_BYTES] = "-";
	const bool minus = v < 0;
	const size_t n = parse_to_decimal(minus ? 0 - (uint64_t)v : (uint64_t)v, text + 1);

	jw_raw(w, key, text + !minus, n + minus);
}

void jw_bool(jw_t *w, const char *key, bool v)
{
	jw_raw(w, key, v ? "true" : "false", v ? 4 : 5);
}

void jw_null(jw_t *w, const char *key)
{
	jw_raw(w, key, "null", 4);
}

void jw_id(jw_t *w, const char *key, uint64_t id)
{
	char text[PARSE_DECIMAL_BYTES + 2] = "\"";
	const size_t n = parse_to_decimal(id, text + 1);

	text[n + 1] = '"';
	jw_raw(w, key, text, n + 2);
}

void jw_money(jw_t *w, const char *key, int64_t fen)
{
	jw_obj(w, key);
	jw_i64(w, "amount", fen);
	jw_str(w, "currency", "CNY");
	jw_obj_end(w);
}

void jw_time(jw_t *w, const char *key, int64_t wall_ms)
{
	char text[CLK_RFC3339_BYTES];

	jw_strn(w, key, text, clk_rfc3339(wall_ms, text));
}

void jw_hex(jw_t *w, const char *key, const uint8_t *b, size_t n)
{
	jw_before(w, key);
	jw_put(w, "\"", 1);
	for (size_t i = 0; i < n; i++) {
		char two[3];

		parse_to_hex(b + i, 1, two);
		jw_put(w, two, 2);
	}
	jw_put(w, "\"", 1);
}
