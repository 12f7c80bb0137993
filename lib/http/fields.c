/* fields: a body's input declared as rows and parsed into a struct. Every field is looked at, so
 * that a client learns all that is wrong at once; an unknown field is an error, so that a typo
 * cannot cost money. */
#include "base/clk.h"
#include "base/parse.h"
#include "http/http.h"
#include <string.h>

enum { FIELD_NAME_SHOWN_BYTES = 64 }; /* of an unknown field */
#define TOKEN_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:~-"

typedef struct {
	http_req_t *r;
	const http_field *row;
	char *into; /* of this field */
	bool bad;
} field_ctx;

static void field_bad(field_ctx *c, const char *field, const char *code, const char *message)
{
	c->bad = true;
	(void)!http_field_error_add(c->r, field, code, message);
}

static void field_type(field_ctx *c, const char *message)
{
	field_bad(c, c->row->name, "type", message);
}

static void field_range(field_ctx *c, const char *message)
{
	field_bad(c, c->row->name, "range", message);
}

static void field_put(field_ctx *c, const void *value, size_t n)
{
	memcpy(c->into, value, n);
}

static bool field_between(const field_ctx *c, size_t n)
{
	return (int64_t)n >= c->row->least && (int64_t)n <= c->row->most;
}

static void field_text(field_ctx *c, const json_t *v)
{
	if (!json_is_string(v)) {
		field_type(c, "must be a string");
		return;
	}
	const char *s = json_string_value(v);
	size_t len = json_string_length(v);
	if (!parse_text_ok(s, len)) {
		field_bad(c, c->row->name, "format", "must not hold control characters");
	} else if (!field_between(c, parse_text_chars(s, len))) {
		field_range(c, "is too short or too long");
	} else {
		const char *copy = arena_strndup(c->r->arena, s, len);
		field_put(c, &copy, sizeof(copy));
	}
}

static void field_token(field_ctx *c, const json_t *v)
{
	if (!json_is_string(v)) {
		field_type(c, "must be a string");
		return;
	}
	const char *s = json_string_value(v);
	size_t len = json_string_length(v);
	if (strspn(s, TOKEN_CHARS) != len) {
		field_bad(c, c->row->name, "format", "may hold only A-Z a-z 0-9 . _ : ~ -");
	} else if (!field_between(c, len)) {
		field_range(c, "is too short or too long");
	} else {
		const char *copy = arena_strndup(c->r->arena, s, len);
		field_put(c, &copy, sizeof(copy));
	}
}

static bool field_id_value(const json_t *v, uint64_t *id)
{
	return json_is_string(v) &&
	       parse_u64n(json_string_value(v), json_string_length(v), INT64_MAX, id) && *id > 0;
}

static void field_id(field_ctx *c, const json_t *v)
{
	uint64_t id;
	if (!json_is_string(v))
		field_type(c, "must be a string of digits");
	else if (!field_id_value(v, &id))
		field_bad(c, c->row->name, "format", "must be digits, 1 to 2^63-1");
	else
		field_put(c, &id, sizeof(id));
}

static void field_int(field_ctx *c, const json_t *v)
{
	int64_t n = json_integer_value(v);
	if (!json_is_integer(v))
		field_type(c, "must be an integer");
	else if (n < c->row->least || n > c->row->most)
		field_range(c, "is outside its range");
	else
		field_put(c, &n, sizeof(n));
}

static void field_money(field_ctx *c, const json_t *v)
{
	const json_t *amount = json_object_get(v, "amount");
	const json_t *currency = json_object_get(v, "currency");
	int64_t fen = json_integer_value(amount);
	const char *name = c->row->name;
	if (!json_is_object(v)) {
		field_type(c, "must be {\"amount\": integer, \"currency\": \"CNY\"}");
		return;
	}
	if (!amount)
		field_bad(
			c, arena_printf(c->r->arena, "%s.amount", name), "required", "is required");
	else if (!json_is_integer(amount))
		field_bad(c, arena_printf(c->r->arena, "%s.amount", name), "type",
			"must be an integer (fen)");
	if (!currency)
		field_bad(c, arena_printf(c->r->arena, "%s.currency", name), "required",
			"is required");
	else if (!json_is_string(currency) || strcmp(json_string_value(currency), "CNY") != 0)
		field_bad(c, arena_printf(c->r->arena, "%s.currency", name), "value",
			"must be \"CNY\"");
	if (json_object_size(v) > (size_t) !!amount + (size_t) !!currency)
		field_bad(c, name, "unknown", "holds an unknown field");
	if (!c->bad)
		field_put(c, &fen, sizeof(fen));
}

static void field_enum(field_ctx *c, const json_t *v)
{
	if (!json_is_string(v)) {
		field_type(c, "must be a string");
		return;
	}
	for (int i = 0; c->row->words[i]; i++) {
		if (strcmp(c->row->words[i], json_string_value(v)) != 0)
			continue;
		int word = i + 1;
		field_put(c, &word, sizeof(word));
		return;
	}
	field_bad(c, c->row->name, "value", "is not one of the words allowed");
}

static bool ids_hold(const http_ids *ids, uint64_t id)
{
	for (size_t i = 0; i < ids->count; i++)
		if (ids->id[i] == id)
			return true;
	return false;
}

static void field_ids(field_ctx *c, const json_t *v)
{
	if (!json_is_array(v)) {
		field_type(c, "must be an array of strings of digits");
		return;
	}
	size_t n = json_array_size(v);
	if (!field_between(c, n)) {
		field_range(c, "holds too few or too many");
		return;
	}
	http_ids ids = {.id = arena_alloc(c->r->arena, (n + 1) * sizeof(uint64_t)), .count = 0};
	for (size_t i = 0; i < n; i++) {
		uint64_t id;
		const char *name = arena_printf(c->r->arena, "%s[%zu]", c->row->name, i);
		if (!field_id_value(json_array_get(v, i), &id))
			field_bad(c, name, "format", "must be digits, 1 to 2^63-1");
		else if (ids_hold(&ids, id))
			field_bad(c, name, "duplicate", "is there twice");
		else
			ids.id[ids.count++] = id;
	}
	if (!c->bad)
		field_put(c, &ids, sizeof(ids));
}

static void field_time(field_ctx *c, const json_t *v)
{
	int64_t wall_ms;
	if (!json_is_string(v))
		field_type(c, "must be a string");
	else if (clk_parse_rfc3339(json_string_value(v), &wall_ms) != ERR_OK)
		field_bad(c, c->row->name, "format", "must be an RFC 3339 time");
	else
		field_put(c, &wall_ms, sizeof(wall_ms));
}

static void (*const field_readers[])(field_ctx *, const json_t *) = {
	[HTTP_F_TEXT] = field_text,
	[HTTP_F_TOKEN] = field_token,
	[HTTP_F_ID] = field_id,
	[HTTP_F_INT] = field_int,
	[HTTP_F_MONEY] = field_money,
	[HTTP_F_ENUM] = field_enum,
	[HTTP_F_IDS] = field_ids,
	[HTTP_F_TIME] = field_time,
};

static void fields_unknown(http_req_t *r, const json_t *top, const http_field *rows, size_t n)
{
	for (void *it = json_object_iter((json_t *)(uintptr_t)top); it;
		it = json_object_iter_next((json_t *)(uintptr_t)top, it)) {
		const char *name = json_object_iter_key(it);
		size_t i = 0;
		while (i < n && strcmp(rows[i].name, name) != 0)
			i++;
		if (i == n)
			(void)!http_field_error_add(r,
				arena_strndup(
					r->arena, name, strnlen(name, FIELD_NAME_SHOWN_BYTES)),
				"unknown", "is not a field of this request");
	}
}

static void fields_read(
	http_req_t *r, const json_t *top, const http_field *rows, size_t n, void *into)
{
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_object_get(top, rows[i].name);
		field_ctx c = {.r = r, .row = &rows[i], .into = (char *)into + rows[i].offset};
		if (v)
			field_readers[rows[i].type](&c, v);
		else if (rows[i].required)
			field_bad(&c, rows[i].name, "required", "is required");
	}
}

err_t http_fields(http_req_t *r, const http_field *rows, size_t n, void *into)
{
	if (r->body_error != ERR_OK)
		return r->body_error;
	unsigned before = r->error_count;
	json_t *top = NULL;
	if (r->body_len > 0) {
		json_error_t why;
		top = json_loadb(r->body, r->body_len, JSON_REJECT_DUPLICATES, &why);
		if (!json_is_object(top)) {
			json_decref(top);
			r->detail = "The body is not one JSON object";
			return ERR_INVALID_JSON;
		}
		fields_unknown(r, top, rows, n);
	}
	fields_read(r, top, rows, n, into);
	json_decref(top);
	return r->error_count > before ? ERR_INVALID_FIELD : ERR_OK;
}
