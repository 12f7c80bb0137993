/* cursor: base64url of the two key values and a tag over them, the user, the route and the number
 * in the path. Fixed length, so that nothing needs parsing before the tag is right. */
#include "fcgi/cursor.h"
#include "base/parse.h"
#include <string.h>

enum {
	CURSOR_KEYS = 2,
	CURSOR_TAG_BYTES = 16,
	CURSOR_KEY_BYTES = CURSOR_KEYS * 8,
	CURSOR_BYTES = CURSOR_KEY_BYTES + CURSOR_TAG_BYTES,
	CURSOR_TEXT_BYTES = CURSOR_BYTES * 4 / 3 + 4,
};
static const char cursor_purpose[] = "cursor";

typedef struct {
	uint8_t bytes[3 * 8];
	keys_part part[2];
} cursor_ad;

static void cursor_put(uint8_t *to, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		to[i] = (uint8_t)v;
}

static uint64_t cursor_get(const uint8_t *from)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | from[i];
	return v;
}

static void cursor_bind(const app_call_t *c, const uint8_t *keys, cursor_ad *ad)
{
	cursor_put(ad->bytes, c->uid);
	cursor_put(ad->bytes + 8, c->route->id);
	cursor_put(ad->bytes + 16, c->number);
	ad->part[0] = (keys_part){ad->bytes, sizeof(ad->bytes)};
	ad->part[1] = (keys_part){keys, CURSOR_KEY_BYTES};
}

static err_t cursor_open(const app_call_t *c, const char *text, cursor_t *at)
{
	uint8_t raw[CURSOR_BYTES];
	size_t got;
	cursor_ad ad;
	if (!parse_b64(text, strlen(text), raw, sizeof(raw), &got) || got != sizeof(raw))
		return ERR_CURSOR_INVALID;
	cursor_bind(c, raw, &ad);
	if (!keys_tag_ok(c->app->p->seal_keys, cursor_purpose, ad.part, 2, raw + CURSOR_KEY_BYTES))
		return ERR_CURSOR_INVALID;
	at->given = true;
	for (unsigned i = 0; i < CURSOR_KEYS; i++)
		at->key[i] = cursor_get(raw + (size_t)i * 8);
	return ERR_OK;
}

err_t cursor_read(app_call_t *c, cursor_t *out)
{
	cursor_t at = {.limit = CURSOR_LIMIT_DEFAULT};
	bool limit_twice, cursor_twice;
	uint64_t limit;
	const char *limit_text = http_query(c->r, "limit", &limit_twice);
	const char *cursor_text = http_query(c->r, "cursor", &cursor_twice);
	if (limit_twice || cursor_twice)
		return ERR_INVALID_REQUEST;
	if (limit_text && *limit_text) {
		if (!parse_u64(limit_text, CURSOR_LIMIT_MAX, &limit) || limit == 0)
			return http_field_error_add(c->r, "limit", "range", "must be 1 to 100");
		at.limit = (unsigned)limit;
	}
	err_t e = cursor_text && *cursor_text ? cursor_open(c, cursor_text, &at) : ERR_OK;
	if (e == ERR_OK)
		*out = at;
	return e;
}

void cursor_write(app_call_t *c, bool more, uint64_t key0, uint64_t key1)
{
	uint8_t raw[CURSOR_BYTES];
	char text[CURSOR_TEXT_BYTES];
	cursor_ad ad;
	if (!more) {
		jw_null(&c->r->out, "next_cursor");
		return;
	}
	cursor_put(raw, key0);
	cursor_put(raw + 8, key1);
	cursor_bind(c, raw, &ad);
	keys_tag(c->app->p->seal_keys, cursor_purpose, ad.part, 2, raw + CURSOR_KEY_BYTES);
	parse_to_b64(raw, sizeof(raw), text, sizeof(text));
	jw_str(&c->r->out, "next_cursor", text);
}
