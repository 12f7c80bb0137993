/* Bodies declared as rows: what is read, and with which code the rest is refused. */
#include "base/keys.h"
#include "http/http.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
	const char *text, *token;
	uint64_t id;
	int64_t number, fen, when;
	int word;
	http_ids ids;
} input;

static const char *const words[] = {"red", "green", NULL};
#define ROW(name_, type_, member, least_, most_)                                                   \
	{                                                                                          \
		.name = name_, .type = type_, .offset = offsetof(input, member), .least = least_,  \
		.most = most_, .words = words                                                      \
	}
static const http_field rows[] = {
	ROW("text", HTTP_F_TEXT, text, 1, 5),
	ROW("token", HTTP_F_TOKEN, token, 2, 8),
	ROW("id", HTTP_F_ID, id, 0, 0),
	ROW("int", HTTP_F_INT, number, -5, 100),
	ROW("money", HTTP_F_MONEY, fen, 0, 0),
	ROW("word", HTTP_F_ENUM, word, 0, 0),
	ROW("ids", HTTP_F_IDS, ids, 1, 3),
	ROW("time", HTTP_F_TIME, when, 0, 0),
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

typedef struct {
	http_req_t r;
	input in;
} fixture;

static int start(void **state)
{
	fixture *f = calloc(1, sizeof(*f));
	f->r.arena = arena_new(1 << 20);
	*state = f;
	return 0;
}

static int end(void **state)
{
	fixture *f = *state;
	arena_free(&f->r.arena);
	free(f);
	return 0;
}

static err_t parse_n(fixture *f, const http_field *of, size_t n, const char *body, size_t len)
{
	arena_reset(f->r.arena);
	f->r.error_count = 0;
	f->r.body = body;
	f->r.body_len = len;
	memset(&f->in, 0, sizeof(f->in));
	return http_fields(&f->r, of, n, &f->in);
}

static err_t parse(fixture *f, const char *body)
{
	return parse_n(f, rows, ROWS, body, strlen(body));
}

static void every_type_is_read(void **state)
{
	fixture *f = *state;
	assert_int_equal(parse(f, "{\"text\":\"恭喜发财\",\"token\":\"v:1.~_-\","
				  "\"id\":\"9223372036854775807\",\"int\":-5,"
				  "\"money\":{\"amount\":9007199254740992,\"currency\":\"CNY\"},"
				  "\"word\":\"green\",\"ids\":[\"7\",\"1\"],"
				  "\"time\":\"2026-01-02T03:04:05Z\"}"),
		ERR_OK);
	assert_string_equal(f->in.text, "恭喜发财");
	assert_string_equal(f->in.token, "v:1.~_-");
	assert_int_equal(f->in.id, INT64_MAX);
	assert_int_equal(f->in.number, -5);
	assert_int_equal(f->in.fen, INT64_C(9007199254740992));
	assert_int_equal(f->in.word, 2);
	assert_int_equal(f->in.ids.count, 2);
	assert_int_equal(f->in.ids.id[1], 1);
	assert_int_equal(f->in.when, INT64_C(1767323045000));
}

static void absent_optional_fields_leave_the_struct_as_it_is(void **state)
{
	fixture *f = *state;
	assert_int_equal(parse(f, "{}"), ERR_OK);
	assert_null(f->in.text);
	assert_int_equal(parse(f, ""), ERR_OK);
}

static void what_is_no_object_is_invalid_json(void **state)
{
	static const char *const bodies[] = {"[]", "1", "\"a\"", "null", "{", "{}x", "{} {}", "{,}",
		"{\"int\":1,\"int\":1}", "{\"int\":01}", "{\"int\":+1}", "{\"int\":1,}",
		"{'int':1}", "{\"text\":\"a\\u0000b\"}", "{\"text\":\"\xff\"}",
		"{\"text\":\"\xed\xa0\x80\"}", "{\"text\":\"\\ud800\"}", "{\"te\\u0000xt\":1}",
		"{\"int\":9223372036854775808}", "{\"int\":1e999}", "{\"int\":NaN}", " ",
		"{\"text\":\"\n\"}", "\xef\xbb\xbf{}", "{\"int\":1}//"};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		if (parse(f, bodies[i]) != ERR_INVALID_JSON)
			fail_msg("taken: %s", bodies[i]);
	assert_int_equal(parse_n(f, rows, ROWS, "{}\0", 3), ERR_INVALID_JSON);
	assert_int_equal(parse_n(f, rows, ROWS, "{\"int\"\0:1}", 10), ERR_INVALID_JSON);
}

static void deep_nesting_is_refused_without_harm(void **state)
{
	fixture *f = *state;
	char body[HTTP_BODY_MAX_BYTES];
	memset(body, '[', sizeof(body));
	for (size_t i = 0; i < 8; i++)
		body[i] = "{\"text\":"[i];
	assert_int_equal(parse_n(f, rows, ROWS, body, sizeof(body)), ERR_INVALID_JSON);
}

static void each_bad_value_has_its_field_and_code(void **state)
{
	static const struct {
		const char *body, *field, *code;
	} cases[] = {
		{"{\"text\":1}", "text", "type"},
		{"{\"text\":null}", "text", "type"},
		{"{\"text\":\"\"}", "text", "range"},
		{"{\"text\":\"123456\"}", "text", "range"},
		{"{\"text\":\"a\\nb\"}", "text", "format"},
		{"{\"text\":\"a\\u007f\"}", "text", "format"},
		{"{\"token\":[]}", "token", "type"},
		{"{\"token\":\"a\"}", "token", "range"},
		{"{\"token\":\"123456789\"}", "token", "range"},
		{"{\"token\":\"a b\"}", "token", "format"},
		{"{\"token\":\"红包\"}", "token", "format"},
		{"{\"id\":5}", "id", "type"},
		{"{\"id\":\"\"}", "id", "format"},
		{"{\"id\":\"0\"}", "id", "format"},
		{"{\"id\":\"01\"}", "id", "format"},
		{"{\"id\":\"-1\"}", "id", "format"},
		{"{\"id\":\"1 \"}", "id", "format"},
		{"{\"id\":\"9223372036854775808\"}", "id", "format"},
		{"{\"int\":\"1\"}", "int", "type"},
		{"{\"int\":1.0}", "int", "type"},
		{"{\"int\":1e1}", "int", "type"},
		{"{\"int\":true}", "int", "type"},
		{"{\"int\":101}", "int", "range"},
		{"{\"int\":-6}", "int", "range"},
		{"{\"money\":5}", "money", "type"},
		{"{\"money\":{\"currency\":\"CNY\"}}", "money.amount", "required"},
		{"{\"money\":{\"amount\":1}}", "money.currency", "required"},
		{"{\"money\":{\"amount\":1.5,\"currency\":\"CNY\"}}", "money.amount", "type"},
		{"{\"money\":{\"amount\":\"1\",\"currency\":\"CNY\"}}", "money.amount", "type"},
		{"{\"money\":{\"amount\":1,\"currency\":\"USD\"}}", "money.currency", "value"},
		{"{\"money\":{\"amount\":1,\"currency\":\"CNY\",\"x\":1}}", "money", "unknown"},
		{"{\"word\":\"blue\"}", "word", "value"},
		{"{\"word\":\"RED\"}", "word", "value"},
		{"{\"word\":1}", "word", "type"},
		{"{\"ids\":\"1\"}", "ids", "type"},
		{"{\"ids\":[]}", "ids", "range"},
		{"{\"ids\":[\"1\",\"2\",\"3\",\"4\"]}", "ids", "range"},
		{"{\"ids\":[\"1\",2]}", "ids[1]", "format"},
		{"{\"ids\":[\"1\",\"2\",\"1\"]}", "ids[2]", "duplicate"},
		{"{\"time\":1}", "time", "type"},
		{"{\"time\":\"yesterday\"}", "time", "format"},
		{"{\"totl\":1}", "totl", "unknown"},
		{"{\"Int\":1}", "Int", "unknown"},
	};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (parse(f, cases[i].body) != ERR_INVALID_FIELD || f->r.error_count != 1)
			fail_msg("taken: %s", cases[i].body);
		assert_string_equal(f->r.errors[0].field, cases[i].field);
		assert_string_equal(f->r.errors[0].code, cases[i].code);
	}
}

static void an_amount_is_limited_by_its_handler(void **state)
{
	fixture *f = *state;
	assert_int_equal(
		parse(f, "{\"money\":{\"amount\":-9223372036854775808,\"currency\":\"CNY\"}}"),
		ERR_OK);
	assert_true(f->in.fen == INT64_MIN);
}

static void missing_required_fields_are_all_named(void **state)
{
	fixture *f = *state;
	http_field two[2] = {rows[0], rows[3]};
	two[0].required = two[1].required = true;
	assert_int_equal(parse_n(f, two, 2, "{}", 2), ERR_INVALID_FIELD);
	assert_int_equal(f->r.error_count, 2);
	assert_string_equal(f->r.errors[1].field, "int");
	assert_string_equal(f->r.errors[1].code, "required");
}

static void the_list_of_errors_is_bounded(void **state)
{
	fixture *f = *state;
	char body[4096] = "{";
	for (int i = 0; i < 100; i++)
		snprintf(body + strlen(body), 32, "%s\"f%d\":1", i ? "," : "", i);
	body[strlen(body)] = '}';
	assert_int_equal(parse(f, body), ERR_INVALID_FIELD);
	assert_int_equal(f->r.error_count, HTTP_FIELD_ERRORS_MAX);
}

static void a_body_that_could_not_be_read_keeps_its_error(void **state)
{
	fixture *f = *state;
	f->r.body_error = ERR_BODY_TOO_LARGE;
	assert_int_equal(parse(f, "{}"), ERR_BODY_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
		CASE(every_type_is_read),
		CASE(absent_optional_fields_leave_the_struct_as_it_is),
		CASE(what_is_no_object_is_invalid_json),
		CASE(deep_nesting_is_refused_without_harm),
		CASE(each_bad_value_has_its_field_and_code),
		CASE(an_amount_is_limited_by_its_handler),
		CASE(missing_required_fields_are_all_named),
		CASE(the_list_of_errors_is_bounded),
		CASE(a_body_that_could_not_be_read_keeps_its_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
