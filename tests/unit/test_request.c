/* From parameters and a body stream in memory to a request; the query string; problems. */
#include "base/keys.h"
#include "base/trace.h"
#include "http/wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
	http_req_t r;
	FCGX_Request f;
	FCGX_Stream in;
	char env[24][512];
	char *envp[25];
	unsigned count;
} fixture;

static void stream_ends(FCGX_Stream *s)
{
	s->isClosed = 1;
}

static int start(void **state)
{
	fixture *f = calloc(1, sizeof(*f));
	f->r.arena = arena_new(1 << 20);
	f->f.envp = f->envp;
	f->f.in = &f->in;
	f->in.isReader = 1;
	f->in.fillBuffProc = stream_ends;
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

static void with(fixture *f, const char *name, const char *value)
{
	snprintf(f->env[f->count], sizeof(f->env[0]), "%s=%s", name, value);
	f->envp[f->count] = f->env[f->count];
	f->count++;
}

static void read_request(fixture *f)
{
	arena_t *a = f->r.arena;
	memset(&f->r, 0, sizeof(f->r));
	f->r.arena = a;
	f->in.isClosed = 0;
	request_read(&f->r, &f->f);
	f->count = 0;
	memset(f->envp, 0, sizeof(f->envp));
}

static void every_parameter_finds_its_place_in_any_order(void **state)
{
	fixture *f = *state;
	with(f, "HTTP_X_FINANCE_SIGNATURE", "v1 x");
	with(f, "FCGI_ROLE", "RESPONDER");
	with(f, "HTTP_X_HB_CSRF", "1");
	with(f, "HTTP_ORIGIN", "http://h");
	with(f, "HTTP_IDEMPOTENCY_KEY", "key-1=2");
	with(f, "HB_SESSION", "hb1.c");
	with(f, "HTTP_AUTHORIZATION", "Bearer hb1.b");
	with(f, "REMOTE_ADDR", "127.0.0.9");
	with(f, "CONTENT_TYPE", "application/json");
	with(f, "REQUEST_URI", "/v1/me/sent?limit=5");
	with(f, "REQUEST_METHOD", "GET");
	with(f, "HB_OPS", "1");
	with(f, "HTTP_X_OTHER", "x");
	read_request(f);
	assert_string_equal(f->r.method, "GET");
	assert_string_equal(f->r.path, "/v1/me/sent");
	assert_string_equal(f->r.query, "limit=5");
	assert_string_equal(f->r.signature, "v1 x");
	assert_string_equal(f->r.csrf, "1");
	assert_string_equal(f->r.origin, "http://h");
	assert_string_equal(f->r.idempotency_key, "key-1=2");
	assert_string_equal(f->r.session_cookie, "hb1.c");
	assert_string_equal(f->r.authorization, "Bearer hb1.b");
	assert_string_equal(f->r.remote_addr, "127.0.0.9");
	assert_string_equal(f->r.content_type, "application/json");
	assert_true(f->r.ops);
	assert_int_equal(f->r.status, 200);
	assert_int_equal(f->r.body_error, ERR_OK);
}

static void empty_parameters_count_as_absent(void **state)
{
	fixture *f = *state;
	with(f, "REQUEST_URI", "/a");
	with(f, "HTTP_AUTHORIZATION", "");
	with(f, "HB_SESSION", "");
	with(f, "CONTENT_LENGTH", "");
	with(f, "HTTP_X_REQUEST_ID", "");
	with(f, "HB_OPS", "");
	read_request(f);
	assert_null(f->r.authorization);
	assert_null(f->r.session_cookie);
	assert_string_equal(f->r.query, "");
	assert_string_equal(f->r.method, "");
	assert_int_equal(strlen(f->r.request_id), 32);
	assert_false(f->r.ops);
}

static void strange_request_ids_are_replaced(void **state)
{
	static const char *const bad[] = {"short", "has space in it", "new\nline-12345",
		"under_score1",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		with(f, "HTTP_X_REQUEST_ID", bad[i]);
		read_request(f);
		assert_string_not_equal(f->r.request_id, bad[i]);
		assert_int_equal(strlen(f->r.request_id), 32);
	}
	with(f, "HTTP_X_REQUEST_ID", "Abc-1234");
	read_request(f);
	assert_string_equal(f->r.request_id, "Abc-1234");
}

/* The id in front of them is the request's. */
static void no_traceparent_or_a_malformed_one_is_made_anew(void **state)
{
	static const char *const bad[] = {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nX: y",
		"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		with(f, "HTTP_TRACEPARENT", bad[i]);
		read_request(f);
		assert_true(trace_ok(f->r.traceparent));
		assert_false(trace_sampled(f->r.traceparent));
		assert_memory_equal(
			f->r.traceparent + TRACE_ID_AT, f->r.request_id, TRACE_ID_CHARS);
	}
	with(f, "HTTP_X_REQUEST_ID", "Abc-1234");
	read_request(f);
	assert_true(trace_ok(f->r.traceparent));
	static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
	with(f, "HTTP_TRACEPARENT", good);
	read_request(f);
	assert_string_equal(f->r.traceparent, good);
}

static void the_language_is_what_the_reader_prefers_of_ours(void **state)
{
	static const struct {
		const char *header;
		bool zh;
	} cases[] = {{"", true}, {"zh-CN,zh;q=0.9,en;q=0.8", true},
		{"en-US,en;q=0.9,zh;q=0.8", false}, {"en", false}, {"EN-gb", false}, {"ZH", true},
		{"*", true}, {"fr", false}, {"fr, zh;q=0.1", true}, {"en;q=0.2, zh;q=0.7", true},
		{"zh;q=0", false}, {"zha", false}, {"en;q=0.5,zh;q=0.5", true}, {";;;q=,,", false}};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		with(f, "HTTP_ACCEPT_LANGUAGE", cases[i].header);
		read_request(f);
		if (f->r.zh != cases[i].zh)
			fail_msg("%s", cases[i].header);
	}
}

static void a_body_is_compared_with_its_length(void **state)
{
	static const struct {
		const char *length, *body;
		err_t error;
	} cases[] = {{"5", "12345", ERR_OK}, {"4", "12345", ERR_INVALID_REQUEST},
		{"6", "12345", ERR_INVALID_REQUEST}, {"", "12345", ERR_INVALID_REQUEST},
		{"", "", ERR_OK}, {"0", "", ERR_OK}, {"1", "", ERR_INVALID_REQUEST},
		{"16385", "", ERR_BODY_TOO_LARGE}, {"1x", "1", ERR_INVALID_REQUEST}};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char body[16];
		snprintf(body, sizeof(body), "%s", cases[i].body);
		with(f, "CONTENT_LENGTH", cases[i].length);
		f->in.rdNext = (unsigned char *)body;
		f->in.stop = f->in.wrNext = f->in.rdNext + strlen(body);
		read_request(f);
		assert_int_equal(f->r.body_error, cases[i].error);
		assert_string_equal(f->r.body, cases[i].error == ERR_OK ? cases[i].body : "");
		assert_int_equal(f->r.body_len, strlen(f->r.body));
	}
}

static void query_values_are_decoded(void **state)
{
	fixture *f = *state;
	bool twice;
	f->r.query = "a=1&b=x%20y+z&&c&d=%E7%BA%A2&=v&ab=2";
	assert_string_equal(http_query(&f->r, "a", &twice), "1");
	assert_false(twice);
	assert_string_equal(http_query(&f->r, "b", &twice), "x y z");
	assert_string_equal(http_query(&f->r, "c", &twice), "");
	assert_string_equal(http_query(&f->r, "d", &twice), "红");
	assert_null(http_query(&f->r, "e", &twice));
	assert_false(twice);
}

static void a_parameter_given_twice_or_badly_encoded_is_told(void **state)
{
	static const char *const bad[] = {"a=1&a=1", "a=%", "a=%4", "a=%zz", "a=%00", "a=1&a=%"};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bool twice = false;
		f->r.query = bad[i];
		(void)http_query(&f->r, "a", &twice);
		assert_true(twice);
	}
}

static void unknown_parameters_are_refused(void **state)
{
	static const char *const names[] = {"limit", "cursor", NULL};
	fixture *f = *state;
	f->r.query = "limit=1&cursor=x&";
	assert_int_equal(http_query_only(&f->r, names), ERR_OK);
	f->r.query = "limit=1&curso=x";
	assert_int_equal(http_query_only(&f->r, names), ERR_INVALID_REQUEST);
	f->r.query = "limits=1";
	assert_int_equal(http_query_only(&f->r, names), ERR_INVALID_REQUEST);
	f->r.query = "=";
	assert_int_equal(http_query_only(&f->r, names), ERR_INVALID_REQUEST);
}

static void a_problem_tells_the_public_error_and_the_fields(void **state)
{
	fixture *f = *state;
	f->r.request_id = "request-1";
	f->r.path = "/";
	(void)!http_field_error_add(&f->r, "total", "range", "is outside");
	http_problem(&f->r, ERR_INVALID_FIELD);
	jw_end(&f->r.out);
	json_t *p = json_loads(f->r.out.buf, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(p, "status")), 422);
	assert_string_equal(json_string_value(json_object_get(p, "type")),
		"https://hongbao.example/problems/INVALID_FIELD");
	assert_string_equal(json_string_value(json_object_get(p, "request_id")), "request-1");
	const json_t *first = json_array_get(json_object_get(p, "errors"), 0);
	assert_string_equal(json_string_value(json_object_get(first, "field")), "total");
	assert_null(json_object_get(p, "retry_after_ms"));
	json_decref(p);
}

static void inner_errors_are_not_shown_and_503_says_when_to_retry(void **state)
{
	fixture *f = *state;
	f->r.request_id = "request-1";
	f->r.path = "/";
	http_problem(&f->r, ERR_DB_LOST);
	jw_end(&f->r.out);
	assert_int_equal(f->r.status, 503);
	assert_true(f->r.retry_after_ms > 0);
	assert_non_null(strstr(f->r.out.buf, "CELL_UNAVAILABLE"));
	assert_null(strstr(f->r.out.buf, "DB_LOST"));
	http_problem(&f->r, ERR_DB_FAILED);
	assert_int_equal(f->r.status, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
		CASE(every_parameter_finds_its_place_in_any_order),
		CASE(empty_parameters_count_as_absent),
		CASE(strange_request_ids_are_replaced),
		CASE(no_traceparent_or_a_malformed_one_is_made_anew),
		CASE(the_language_is_what_the_reader_prefers_of_ours),
		CASE(a_body_is_compared_with_its_length),
		CASE(query_values_are_decoded),
		CASE(a_parameter_given_twice_or_badly_encoded_is_told),
		CASE(unknown_parameters_are_refused),
		CASE(a_problem_tells_the_public_error_and_the_fields),
		CASE(inner_errors_are_not_shown_and_503_says_when_to_retry),
	};
	if (keys_init() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
