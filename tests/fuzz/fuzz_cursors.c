/* cursors: query strings and the cursor in them. A cursor brings back its keys, is good for its own user,
 * route and number only, and with any bit changed for nothing.
 * Input: uid, number, two keys (8 bytes each), route (1), which bit is changed (2), the query string. */
#include "fcgi/cursor.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 128 };

static program_t program;
static app_t app;
static http_req_t request;
static routes_row route;

static void begin(void)
{
	if (!program.seal_keys)
		program.seal_keys = fuzz_ring(FUZZ_KEY_1 "\n" FUZZ_KEY_2 "\n");
	if (!request.arena)
		request.arena = arena_new(1 << 20);
	app.p = &program;
	arena_reset(request.arena);
	request.error_count = 0;
}

/* "cursor=…" of the next page. */
static void next_page(app_call_t *c, uint64_t key0, uint64_t key1, char text[TEXT_BYTES])
{
	static const char head[] = "{\"next_cursor\":\"", name[] = "cursor=";
	jw_start(&request.out, request.arena);
	jw_obj(&request.out, NULL);
	cursor_write(c, true, key0, key1);
	jw_obj_end(&request.out);
	const size_t n = jw_end(&request.out);
	FUZZ_CHECK(n > sizeof head + 1 && n < TEXT_BYTES);
	memcpy(text, name, sizeof name - 1);
	memcpy(text + sizeof name - 1, request.out.buf + sizeof head - 1, n - sizeof head - 1);
	text[sizeof name + n - sizeof head - 2] = 0;
}

static err_t read_page(app_call_t *c, const char *query, cursor_t *at)
{
	request.query = query;
	return cursor_read(c, at);
}

/* What strangers send. */
static void strange(app_call_t *c, const fuzz_input *in)
{
	static const char *const names[] = {"limit", "cursor", NULL};
	char *query = fuzz_rest(in), again[TEXT_BYTES];
	cursor_t at;
	bool twice;
	const err_t e = read_page(c, query, &at);
	const err_t known = http_query_only(c->r, names);
	const char *value = http_query(c->r, "cursor", &twice);
	FUZZ_CHECK(e == ERR_OK || e == ERR_CURSOR_INVALID || e == ERR_INVALID_FIELD ||
		   e == ERR_INVALID_REQUEST);
	FUZZ_CHECK(known == ERR_OK || known == ERR_INVALID_REQUEST);
	FUZZ_CHECK(!value || strlen(value) <= strlen(query));
	if (e == ERR_OK) {
		FUZZ_CHECK(at.limit >= 1 && at.limit <= CURSOR_LIMIT_MAX &&
			   at.given == (value && *value));
		if (at.given) {
			next_page(c, at.key[0], at.key[1], again);
			FUZZ_CHECK(strlen(again) == strlen("cursor=") + strlen(value));
		}
	}
	free(query);
}

static void others_cannot(app_call_t c, const char *text)
{
	cursor_t at;
	c.uid++;
	FUZZ_CHECK(read_page(&c, text, &at) == ERR_CURSOR_INVALID);
	c.uid--;
	c.number++;
	FUZZ_CHECK(read_page(&c, text, &at) == ERR_CURSOR_INVALID);
	c.number--;
	route.id = (routes_id)((route.id + 1) % ROUTES_COUNT);
	FUZZ_CHECK(read_page(&c, text, &at) == ERR_CURSOR_INVALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_input in = {data, size};
	char text[TEXT_BYTES];
	cursor_t at;
	begin();
	app_call_t c = {.r = &request, .app = &app, .route = &route};
	c.uid = fuzz_number(&in, 8);
	c.number = fuzz_number(&in, 8);
	const uint64_t key0 = fuzz_number(&in, 8), key1 = fuzz_number(&in, 8);
	route.id = (routes_id)(fuzz_number(&in, 1) % ROUTES_COUNT);
	const uint64_t bit = fuzz_number(&in, 2);
	strange(&c, &in);
	next_page(&c, key0, key1, text);
	FUZZ_CHECK(read_page(&c, text, &at) == ERR_OK);
	FUZZ_CHECK(at.given && at.key[0] == key0 && at.key[1] == key1);
	const size_t name = strlen("cursor="), chars = strlen(text) - name;
	char *changed = &text[name + bit / 8 % chars];
	*changed = (char)(*changed ^ 1 << bit % 8);
	FUZZ_CHECK(read_page(&c, text, &at) != ERR_OK || !at.given);
	*changed = (char)(*changed ^ 1 << bit % 8);
	others_cannot(c, text);
	return 0;
}
