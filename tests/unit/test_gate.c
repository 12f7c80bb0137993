/* The gate: which error a request gets, and that the handler sees what the row promises. */
#include "base/clk.h"
#include "domain/session.h"
#include "fcgi/gate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ORIGIN "http://127.0.0.1:8080"
#define OURS "1000000101007" /* slot 7 */
#define THEIRS "1000000102700"
enum { OUR_UID = 1007, THEIR_UID = 1700 };

typedef struct {
	program_t p;
	app_t app;
	err_t ready;
	routes_id called;
	arena_t *arena;
	uint64_t uid, number;
	char token[SESSION_TOKEN_BYTES], bearer[SESSION_TOKEN_BYTES + 8];
} fixture;

static fixture *now; /* of the test that runs */

static err_t record_call(app_call_t *c)
{
	now->called = c->route->id;
	now->uid = c->uid;
	now->number = c->number;
	return ERR_OK;
}

static err_t say_ready(app_t *a)
{
	(void)a;
	return now->ready;
}

static keys_ring_t *make_ring(void)
{
	keys_ring_t *ring;
	char path[] = "/tmp/hb-gate-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0 && fchmod(fd, 0400) == 0);
	assert_int_equal(dprintf(fd, "k1 %064d\n", 7), 68);
	close(fd);
	assert_int_equal(keys_load(path, &ring), ERR_OK);
	unlink(path);
	return ring;
}

static void set(conf_t *c, const char *name, const char *value)
{
	char why[256];
	if (conf_set(c, name, value, why) != ERR_OK)
		fail_msg("%s", why);
}

static void make_gate(fixture *f, routes_program program)
{
	static app_handler handlers[ROUTES_COUNT];
	for (unsigned i = 0; i < ROUTES_COUNT; i++)
		handlers[i] = record_call;
	const gate_conf conf = {.program = program,
		.handlers = handlers,
		.ready = say_ready,
		.threads = 8,
		.connections = 8};
	if (f->app.gate)
		gate_free(&f->app.gate);
	assert_int_equal(gate_new(&conf, &f->app, &f->app.gate), ERR_OK);
}

static void log_in(fixture *f, uint64_t uid)
{
	session_mint(f->p.session_keys, uid, clk_wall_ms() / 1000 + 60, f->token);
	snprintf(f->bearer, sizeof(f->bearer), "Bearer %s", f->token);
}

static int start(void **state)
{
	char why[256];
	fixture *f = calloc(1, sizeof(*f));
	topology_t *t = calloc(1, sizeof(*t));
	for (unsigned slot = 0; slot < TOPOLOGY_SLOTS; slot++)
		t->slot_cell[slot] = slot < 500 ? 0 : 1;
	t->cell_count = 2;
	f->p.topo = t;
	f->p.cell = &t->cell[0];
	f->p.session_keys = make_ring();
	assert_int_equal(conf_load(NULL, why, &f->p.conf), ERR_OK);
	set(f->p.conf, "http.front_url", "HTTP://127.0.0.1:8080");
	f->app.p = &f->p;
	f->arena = arena_new(1 << 16);
	make_gate(f, ROUTES_CORE);
	log_in(f, OUR_UID);
	now = *state = f;
	return 0;
}

static int end(void **state)
{
	fixture *f = *state;
	gate_free(&f->app.gate);
	conf_free(&f->p.conf);
	keys_free(&f->p.session_keys);
	arena_free(&f->arena);
	free(f->p.topo);
	free(f);
	return 0;
}

/* `r` has what matters; the rest is filled in here. */
static err_t pass(fixture *f, http_req_t r, http_req_t *after)
{
	r.app = &f->app;
	r.method = r.method ? r.method : "GET";
	r.query = r.query ? r.query : "";
	r.body = r.body ? r.body : "";
	r.body_len = strlen(r.body);
	r.started_us = clk_mono_us();
	r.arena = f->arena;
	arena_reset(f->arena);
	f->called = ROUTES_COUNT;
	err_t e = gate_handle(&r);
	assert_true((e == ERR_OK) == (f->called != ROUTES_COUNT));
	if (after)
		*after = r;
	return e;
}

#define PASS(...) pass(f, (http_req_t){__VA_ARGS__}, NULL)
#define BEARER .authorization = f->bearer
#define JSON .content_type = "application/json", .body = "{}"

static void each_route_reaches_its_handler(void **state)
{
	fixture *f = *state;
	assert_int_equal(PASS(.path = "/v1/me/seed", BEARER), ERR_OK);
	assert_int_equal(f->called, ROUTES_ID_seed);
	assert_int_equal(f->uid, OUR_UID);
	assert_int_equal(
		PASS(.path = "/v1/packets/" OURS "/claim", .method = "POST", BEARER), ERR_OK);
	assert_int_equal(f->called, ROUTES_ID_packet_claim);
	assert_true(f->number == strtoull(OURS, NULL, 10));
	assert_int_equal(
		PASS(.path = "/v1/callbacks/finance/" OURS, .method = "POST", JSON), ERR_OK);
	assert_int_equal(f->called, ROUTES_ID_callback);
	assert_int_equal(f->uid, 0);
	make_gate(f, ROUTES_QUERY);
	assert_int_equal(PASS(.path = "/v1/packets/" OURS, BEARER), ERR_OK);
	assert_int_equal(f->called, ROUTES_ID_packet_cover);
	assert_int_equal(PASS(.path = "/v1/me/sent", .query = "limit=2&cursor=x", BEARER), ERR_OK);
	assert_int_equal(f->called, ROUTES_ID_sent);
}

static void other_paths_are_not_found(void **state)
{
	static const char *const paths[] = {"", "/", "v1/me/seed", "/v1/me/seed/", "/v1//me/seed",
		"/v1/me", "/v1/me/seed/x", "/v1/ME/seed", "/v1/me/see%64", "/v1/me/sent",
		"/v1/packets/1000000101007", "/v1/packets/0/claim", "/v1/packets/01/claim",
		"/v1/packets//claim", "/v1/packets/x/claim", "/v1/packets/-1/claim",
		"/v1/packets/9223372036854775808/claim", "/v1/packets/1000000101007/claim/",
		"/v1/packets/10000000000000000001/claim", "/v1/packets/1%30/claim",
		"/v1/demo/login", "/1/2/3/4/5/6/7/8/9", "/healthz", "/metrics"};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (PASS(.path = paths[i], .method = "POST", BEARER, JSON) != ERR_NOT_FOUND)
			fail_msg("found: %s", paths[i]);
}

static void the_demo_login_is_there_only_when_it_is_on(void **state)
{
	fixture *f = *state;
	assert_int_equal(PASS(.path = "/v1/demo/login", .method = "POST", JSON), ERR_NOT_FOUND);
	set(f->p.conf, "demo.login", "true");
	make_gate(f, ROUTES_CORE);
	assert_int_equal(PASS(.path = "/v1/demo/login", .method = "POST", JSON), ERR_OK);
}

static void another_method_is_told_what_is_allowed(void **state)
{
	fixture *f = *state;
	http_req_t after;
	const http_req_t r = {.path = "/v1/packets", .method = "GET", BEARER};
	assert_int_equal(pass(f, r, &after), ERR_METHOD_NOT_ALLOWED);
	assert_string_equal(after.header[0].name, "Allow");
	assert_string_equal(after.header[0].value, "POST");
	assert_int_equal(PASS(.path = "/v1/me/seed", .method = "HEAD"), ERR_METHOD_NOT_ALLOWED);
	assert_int_equal(PASS(.path = "/v1/me/seed", .method = ""), ERR_METHOD_NOT_ALLOWED);
}

static void a_slot_of_another_cell_is_refused(void **state)
{
	fixture *f = *state;
	assert_int_equal(PASS(.path = "/v1/packets/" THEIRS "/claim", .method = "POST", BEARER),
		ERR_WRONG_CELL);
	assert_int_equal(PASS(.path = "/v1/callbacks/finance/" THEIRS, .method = "POST", JSON),
		ERR_WRONG_CELL);
	log_in(f, THEIR_UID);
	assert_int_equal(PASS(.path = "/v1/me/seed", BEARER), ERR_WRONG_CELL);
	assert_int_equal(
		PASS(.path = "/v1/packets/" OURS "/claim", .method = "POST", BEARER), ERR_OK);
}

static void a_session_is_needed_and_only_one(void **state)
{
	fixture *f = *state;
	char tampered[SESSION_TOKEN_BYTES + 8];
	assert_int_equal(PASS(.path = "/v1/me/seed"), ERR_SESSION_INVALID);
	assert_int_equal(
		PASS(.path = "/v1/me/seed", .authorization = f->token), ERR_SESSION_INVALID);
	assert_int_equal(
		PASS(.path = "/v1/me/seed", .authorization = "Bearer "), ERR_SESSION_INVALID);
	assert_int_equal(PASS(.path = "/v1/me/seed", BEARER, .session_cookie = f->token),
		ERR_SESSION_AMBIGUOUS);
	assert_int_equal(PASS(.path = "/v1/me/seed", .session_cookie = f->token), ERR_OK);
	snprintf(tampered, sizeof(tampered), "%s", f->bearer);
	tampered[strlen("Bearer hb1.")]++;
	assert_int_equal(
		PASS(.path = "/v1/me/seed", .authorization = tampered), ERR_SESSION_INVALID);
	session_mint(f->p.session_keys, OUR_UID, clk_wall_ms() / 1000 - 1, f->token);
	assert_int_equal(
		PASS(.path = "/v1/me/seed", .session_cookie = f->token), ERR_SESSION_INVALID);
}

static void cookie_callers_that_write_prove_their_origin(void **state)
{
	static const struct {
		const char *csrf, *origin;
		err_t error;
	} cases[] = {{NULL, NULL, ERR_CSRF_REFUSED}, {"1", NULL, ERR_CSRF_REFUSED},
		{NULL, ORIGIN, ERR_CSRF_REFUSED}, {"0", ORIGIN, ERR_CSRF_REFUSED},
		{"1", "http://127.0.0.1", ERR_CSRF_REFUSED},
		{"1", "https://127.0.0.1:8080", ERR_CSRF_REFUSED},
		{"1", ORIGIN ".evil.example", ERR_CSRF_REFUSED}, {"1", "null", ERR_CSRF_REFUSED},
		{"1", ORIGIN, ERR_OK}};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(PASS(.path = "/v1/packets/" OURS "/claim", .method = "POST",
					 .session_cookie = f->token, .csrf = cases[i].csrf,
					 .origin = cases[i].origin),
			cases[i].error);
}

static void the_schemes_own_port_is_no_part_of_the_origin(void **state)
{
	fixture *f = *state;
	set(f->p.conf, "http.front_url", "https://Hongbao.example:443");
	make_gate(f, ROUTES_CORE);
	assert_int_equal(PASS(.path = "/v1/packets/" OURS "/claim", .method = "POST",
				 .session_cookie = f->token, .csrf = "1",
				 .origin = "https://hongbao.example"),
		ERR_OK);
}

static void the_front_doors_other_addresses_are_ours_too(void **state)
{
	static const struct {
		const char *origin;
		err_t error;
	} cases[] = {{ORIGIN, ERR_OK}, {"http://two", ERR_OK}, {"http://three:81", ERR_OK},
		{"http://two,http://three:81", ERR_CSRF_REFUSED}, {"http://t", ERR_CSRF_REFUSED}};
	fixture *f = *state;
	set(f->p.conf, "http.other_fronts", "http://two,http://three:81");
	make_gate(f, ROUTES_CORE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			PASS(.path = "/v1/packets/" OURS "/claim", .method = "POST",
				.session_cookie = f->token, .csrf = "1", .origin = cases[i].origin),
			cases[i].error);
}

static void a_front_url_with_more_than_an_origin_is_refused(void **state)
{
	static const char *const bad[] = {"hongbao.example", "https://", "https://hongbao.example/",
		"https://hongbao.example/app", "https://hongbao.example?a",
		"https://one.example,https://two.example"};
	static const app_handler handlers[ROUTES_COUNT];
	const gate_conf conf = {.program = ROUTES_RAIN, .handlers = handlers};
	fixture *f = *state;
	gate_t *gate;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set(f->p.conf, "http.front_url", bad[i]);
		assert_int_equal(gate_new(&conf, &f->app, &gate), ERR_CONFIG_INVALID);
	}
}

static void bodies_are_what_the_route_takes(void **state)
{
	static const struct {
		const char *method, *path, *type, *body;
		err_t error;
	} cases[] = {
		{"GET", "/v1/me/seed", "application/json", "{}", ERR_INVALID_REQUEST},
		{"POST", "/v1/packets/" OURS "/claim", NULL, "", ERR_OK},
		{"POST", "/v1/packets/" OURS "/claim", "text/plain", "", ERR_OK},
		{"POST", "/v1/packets/" OURS "/claim", NULL, "{}", ERR_UNSUPPORTED_MEDIA_TYPE},
		{"PUT", "/v1/packets/" OURS "/video", "application/json", "", ERR_INVALID_JSON},
		{"PUT", "/v1/packets/" OURS "/video", "application/json", "{}", ERR_OK},
		{"PUT", "/v1/packets/" OURS "/video", "Application/JSON; charset=utf-8", "{}",
			ERR_OK},
		{"PUT", "/v1/packets/" OURS "/video", "application/json ;charset=utf-8", "{}",
			ERR_OK},
		{"PUT", "/v1/packets/" OURS "/video", "application/jsonp", "{}",
			ERR_UNSUPPORTED_MEDIA_TYPE},
		{"PUT", "/v1/packets/" OURS "/video", "text/json", "{}",
			ERR_UNSUPPORTED_MEDIA_TYPE},
		{"PUT", "/v1/packets/" OURS "/video", "application/json", "{\"a\":\"\xc0\x80\"}",
			ERR_INVALID_JSON},
	};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (PASS(.path = cases[i].path, .method = cases[i].method, BEARER,
			    .content_type = cases[i].type, .body = cases[i].body) != cases[i].error)
			fail_msg("case %zu", i);
	assert_int_equal(PASS(.path = "/v1/packets/" OURS "/claim", .method = "POST", BEARER,
				 .body_error = ERR_BODY_TOO_LARGE),
		ERR_BODY_TOO_LARGE);
	assert_int_equal(PASS(.path = "/v1/packets/" OURS "/claim", .method = "POST",
				 .body_error = ERR_BODY_TOO_LARGE),
		ERR_SESSION_INVALID);
}

static void the_idempotency_key_is_there_and_well_formed(void **state)
{
	static const struct {
		const char *key;
		err_t error;
	} cases[] = {{NULL, ERR_IDEMPOTENCY_KEY_MISSING}, {"short-7", ERR_IDEMPOTENCY_KEY_INVALID},
		{"with space", ERR_IDEMPOTENCY_KEY_INVALID},
		{"dots.are.out", ERR_IDEMPOTENCY_KEY_INVALID},
		{"0123456789012345678901234567890123456789012345678901234567890123-",
			ERR_IDEMPOTENCY_KEY_INVALID},
		{"0123456789012345678901234567890123456789012345678901234567890123", ERR_OK},
		{"Key_1-ab", ERR_OK}};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(PASS(.path = "/v1/packets", .method = "POST", BEARER, JSON,
					 .idempotency_key = cases[i].key),
			cases[i].error);
}

static void query_parameters_are_taken_by_lists_only(void **state)
{
	fixture *f = *state;
	assert_int_equal(
		PASS(.path = "/v1/me/seed", .query = "limit=1", BEARER), ERR_INVALID_REQUEST);
	make_gate(f, ROUTES_QUERY);
	assert_int_equal(
		PASS(.path = "/v1/me/sent", .query = "limt=1", BEARER), ERR_INVALID_REQUEST);
}

static void nothing_is_served_by_a_cell_that_is_not_ready(void **state)
{
	fixture *f = *state;
	f->ready = ERR_CELL_UNAVAILABLE;
	assert_int_equal(PASS(.path = "/v1/me/seed", BEARER), ERR_CELL_UNAVAILABLE);
	assert_int_equal(PASS(.path = "/v1/me/seed"), ERR_SESSION_INVALID);
}

static void a_user_may_have_so_much_of_an_interface(void **state)
{
	fixture *f = *state;
	const http_req_t seed = {.method = "GET", .path = "/v1/me/seed", BEARER};
	http_req_t after = {0};
	unsigned in = 0;
	err_t e = ERR_OK;

	while (in < 1000 && (e = pass(f, seed, &after)) == ERR_OK)
		in++;
	assert_int_equal(e, ERR_RATE_LIMITED);
	assert_true(after.retry_after_ms > 0);
	assert_in_range(in, 50, 100);
	/* Neither another interface nor another user. */
	const http_req_t claim = {.method = "POST", .path = "/v1/packets/" OURS "/claim", BEARER};
	assert_int_equal(pass(f, claim, NULL), ERR_OK);
	log_in(f, OUR_UID - 7);
	assert_int_equal(pass(f, seed, NULL), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
		CASE(each_route_reaches_its_handler),
		CASE(other_paths_are_not_found),
		CASE(the_demo_login_is_there_only_when_it_is_on),
		CASE(another_method_is_told_what_is_allowed),
		CASE(a_slot_of_another_cell_is_refused),
		CASE(a_session_is_needed_and_only_one),
		CASE(cookie_callers_that_write_prove_their_origin),
		CASE(the_schemes_own_port_is_no_part_of_the_origin),
		CASE(the_front_doors_other_addresses_are_ours_too),
		CASE(a_front_url_with_more_than_an_origin_is_refused),
		CASE(bodies_are_what_the_route_takes),
		CASE(the_idempotency_key_is_there_and_well_formed),
		CASE(query_parameters_are_taken_by_lists_only),
		CASE(nothing_is_served_by_a_cell_that_is_not_ready),
		CASE(a_user_may_have_so_much_of_an_interface),
	};
	if (keys_init() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
