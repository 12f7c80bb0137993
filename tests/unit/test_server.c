/* The FastCGI server against a client that keeps connections, sends too much, too little, or goes
 * away. Two threads, so that a lost one shows at once. */
#include "base/clk.h"
#include "base/keys.h"
#include "fcgi_client.h"
#include "http/http.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	THREADS = 2,
	BIG_BYTES = 100000,
	SLOW_MS = 300,
	STUCK_MS = 1500,
	SOON_MS = 50,
	MANY = 40,
	DRAIN_MS = 5000
};

typedef struct {
	http_server_conf conf;
	char listen[32];
	uint16_t port;
	pthread_t thread;
	err_t result;
	_Atomic bool in_flight;
	pthread_t resumer;
	_Atomic unsigned gifts;
	http_req_t *_Atomic given[MANY]; /* requests that nobody has resumed yet */
	fcgi_answer answer;
} fixture;

static err_t serve_echo(http_req_t *r)
{
	jw_obj(&r->out, NULL);
	jw_str(&r->out, "path", r->path);
	jw_str(&r->out, "query", r->query);
	jw_i64(&r->out, "length", (int64_t)r->body_len);
	jw_strn(&r->out, "body", r->body, r->body_len < 64 ? r->body_len : 64);
	jw_obj_end(&r->out);
	return r->body_error;
}

static err_t serve_sleep(http_req_t *r, int ms)
{
	fixture *f = r->app;
	atomic_store(&f->in_flight, true);
	usleep((useconds_t)ms * 1000);
	r->status = 204;
	return ERR_OK;
}

static err_t serve_later(http_req_t *r)
{
	jw_str(&r->out, NULL, r->state);
	return ERR_OK;
}

static void *resume_soon(void *r)
{
	usleep(SOON_MS * 1000);
	http_resume(r);
	return NULL;
}

static err_t serve_given_away(http_req_t *r)
{
	fixture *f = r->app;
	r->later = serve_later;
	r->state = arena_strdup(r->arena, "came back");
	if (strcmp(r->path, "/given/at-once") == 0) {
		http_resume(r);
	} else if (strcmp(r->path, "/given/soon") == 0) {
		assert_int_equal(pthread_create(&f->resumer, NULL, resume_soon, r), 0);
	} else {
		atomic_store(&f->given[atomic_fetch_add(&f->gifts, 1)], r);
	}
	return ERR_OK;
}

static err_t serve(http_req_t *r)
{
	if (strncmp(r->path, "/given", 6) == 0)
		return serve_given_away(r);
	if (strcmp(r->path, "/slow") == 0)
		return serve_sleep(r, SLOW_MS);
	if (strcmp(r->path, "/stuck") == 0)
		return serve_sleep(r, STUCK_MS);
	if (strcmp(r->path, "/busy") == 0) {
		jw_str(&r->out, NULL, "dropped");
		r->retry_after_ms = 1200;
		return ERR_PACKET_BUSY;
	}
	if (strcmp(r->path, "/big") == 0) {
		char *big = arena_alloc(r->arena, BIG_BYTES);
		memset(big, 'x', BIG_BYTES);
		r->content = big;
		r->content_len = BIG_BYTES;
		r->content_out_type = "text/plain";
		http_header(r, "X-Test", "yes");
		http_header(r, "X-Split", "a\r\nSet-Cookie: b");
		return ERR_OK;
	}
	return serve_echo(r);
}

static void *run(void *arg)
{
	fixture *f = arg;
	f->result = http_serve(&f->conf);
	return NULL;
}

static int start(void **state)
{
	fixture *f = calloc(1, sizeof(*f));
	f->port = fcgi_free_port();
	snprintf(f->listen, sizeof(f->listen), "127.0.0.1:%u", f->port);
	f->conf = (http_server_conf){.listen = f->listen,
		.threads = THREADS,
		.drain_ms = DRAIN_MS,
		.arena_bytes = 1 << 20,
		.handler = serve,
		.app = f};
	*state = f;
	return pthread_create(&f->thread, NULL, run, f);
}

static int64_t stop(fixture *f)
{
	int64_t from = clk_mono_ms();
	http_stop();
	pthread_join(f->thread, NULL);
	f->thread = 0;
	return clk_mono_ms() - from;
}

static int end(void **state)
{
	fixture *f = *state;
	if (f->thread) {
		stop(f);
		assert_int_equal(f->result, ERR_OK);
	}
	free(f);
	return 0;
}

static void assert_echo(fixture *f, int fd, const char *uri)
{
	fcgi_call(fd, &(fcgi_request){.uri = uri}, &f->answer);
	assert_int_equal(f->answer.status, 200);
	assert_non_null(strstr(f->answer.text, uri));
}

/* All threads work: as many slow requests take the time of one. */
static void assert_all_threads_serve(fixture *f)
{
	const int64_t from = clk_mono_ms();
	int fd[THREADS];
	for (int i = 0; i < THREADS; i++) {
		fd[i] = fcgi_connect(f->port);
		fcgi_send(fd[i], &(fcgi_request){.uri = "/slow"});
	}
	for (int i = 0; i < THREADS; i++) {
		fcgi_read(fd[i], &f->answer);
		assert_int_equal(f->answer.status, 204);
		close(fd[i]);
	}
	assert_true(clk_mono_ms() - from < 2 * SLOW_MS);
}

static void answers_carry_the_common_headers(void **state)
{
	fixture *f = *state;
	char value[512];
	const char *more[] = {"HTTP_X_REQUEST_ID", "abcdef0123456789", "HTTP_TRACEPARENT",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", NULL};
	int fd = fcgi_connect(f->port);
	fcgi_call(fd, &(fcgi_request){.uri = "/a?b=c", .more = more}, &f->answer);
	assert_int_equal(f->answer.status, 200);
	assert_string_equal(fcgi_header(&f->answer, "X-Request-Id", value), more[1]);
	assert_string_equal(fcgi_header(&f->answer, "traceparent", value), more[3]);
	assert_string_equal(fcgi_header(&f->answer, "Cache-Control", value), "no-store");
	assert_string_equal(fcgi_header(&f->answer, "Content-Type", value), "application/json");
	assert_int_equal(strtol(fcgi_header(&f->answer, "Content-Length", value), NULL, 10),
		f->answer.len - f->answer.body_at);
	assert_non_null(strstr(f->answer.text, "\"path\":\"/a\",\"query\":\"b=c\""));
	close(fd);
}

static void an_error_becomes_a_problem_with_retry_after(void **state)
{
	fixture *f = *state;
	char value[512];
	int fd = fcgi_connect(f->port);
	fcgi_call(fd, &(fcgi_request){.uri = "/busy"}, &f->answer);
	const char *body = f->answer.text + f->answer.body_at;
	assert_int_equal(f->answer.status, 429);
	assert_string_equal(
		fcgi_header(&f->answer, "Content-Type", value), "application/problem+json");
	assert_string_equal(fcgi_header(&f->answer, "Retry-After", value), "2");
	assert_non_null(strstr(body, "\"code\":\"PACKET_BUSY\""));
	assert_non_null(strstr(body, "\"retry_after_ms\":1200"));
	assert_non_null(strstr(body, "\"retryable\":true"));
	assert_non_null(strstr(body, "太火爆了"));
	assert_null(strstr(body, "dropped"));
	close(fd);
}

static void many_requests_share_one_connection(void **state)
{
	fixture *f = *state;
	char uri[32], body[64];
	int fd = fcgi_connect(f->port);
	for (int i = 0; i < 200; i++) {
		snprintf(uri, sizeof(uri), "/n/%d", i);
		snprintf(body, sizeof(body), "{\"i\":%d}", i);
		const fcgi_request q = {
			.method = "POST", .uri = uri, .body = body, .body_len = strlen(body)};
		fcgi_call(fd, &q, &f->answer);
		assert_non_null(strstr(f->answer.text, uri));
		snprintf(body, sizeof(body), "{\\\"i\\\":%d}", i);
		assert_non_null(strstr(f->answer.text, body));
	}
	close(fd);
}

static void a_body_of_the_largest_size_arrives_whole(void **state)
{
	fixture *f = *state;
	char *body = malloc(HTTP_BODY_MAX_BYTES);
	memset(body, 'b', HTTP_BODY_MAX_BYTES);
	int fd = fcgi_connect(f->port);
	const fcgi_request q = {
		.method = "POST", .uri = "/p", .body = body, .body_len = HTTP_BODY_MAX_BYTES};
	fcgi_call(fd, &q, &f->answer);
	assert_non_null(strstr(f->answer.text, "\"length\":16384"));
	free(body);
	close(fd);
}

static void a_body_too_large_is_refused_and_the_next_request_is_served(void **state)
{
	fixture *f = *state;
	static const size_t sizes[] = {HTTP_BODY_MAX_BYTES + 1, 60000, 500000};
	int fd = fcgi_connect(f->port);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *body = calloc(1, sizes[i]);
		const fcgi_request q = {
			.method = "POST", .uri = "/p", .body = body, .body_len = sizes[i]};
		fcgi_call(fd, &q, &f->answer);
		assert_int_equal(f->answer.status, 413);
		assert_echo(f, fd, "/next");
		free(body);
	}
	close(fd);
}

static void an_endless_body_ends_the_connection_only(void **state)
{
	fixture *f = *state;
	size_t size = 4 << 20;
	char *body = calloc(1, size);
	int fd = fcgi_connect(f->port);
	const fcgi_request q = {.method = "POST", .uri = "/p", .body = body, .body_len = size};
	fcgi_send(fd, &q);
	fcgi_read(fd, &f->answer);
	if (f->answer.ended)
		assert_int_equal(f->answer.status, 413);
	close(fd);
	free(body);
	assert_all_threads_serve(f);
}

static void a_length_that_is_not_the_bodys_is_refused(void **state)
{
	fixture *f = *state;
	static const char *const lengths[] = {
		"4", "6", "0", "", "5x", "-5", "99999999999999999999"};
	int fd = fcgi_connect(f->port);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const fcgi_request q = {.method = "POST",
			.uri = "/p",
			.body = "12345",
			.body_len = 5,
			.content_length = lengths[i]};
		fcgi_call(fd, &q, &f->answer);
		assert_int_equal(f->answer.status, 400);
		assert_non_null(strstr(f->answer.text, "INVALID_REQUEST"));
		assert_echo(f, fd, "/next");
	}
	close(fd);
}

static void a_client_that_goes_away_in_the_body_costs_no_thread(void **state)
{
	fixture *f = *state;
	for (int i = 0; i < 3 * THREADS; i++) {
		int fd = fcgi_connect(f->port);
		const fcgi_request q = {.method = "POST",
			.uri = "/p",
			.body = "12345",
			.body_len = 5,
			.content_length = "5000"};
		fcgi_send_part(fd, &q);
		close(fd);
	}
	assert_all_threads_serve(f);
}

static void a_truncated_body_is_told_to_who_still_listens(void **state)
{
	fixture *f = *state;
	int fd = fcgi_connect(f->port);
	const fcgi_request q = {.method = "POST",
		.uri = "/p",
		.body = "12345",
		.body_len = 5,
		.content_length = "5000"};
	fcgi_send_part(fd, &q);
	shutdown(fd, SHUT_WR);
	fcgi_read(fd, &f->answer);
	assert_int_equal(f->answer.status, 400);
	close(fd);
}

static void an_aborted_request_ends_its_connection_only(void **state)
{
	fixture *f = *state;
	static const uint8_t abort_record[8] = {1, 2, 0, 1, 0, 0, 0, 0};
	for (int i = 0; i < 2 * THREADS; i++) {
		int fd = fcgi_connect(f->port);
		const fcgi_request q = {.method = "POST",
			.uri = "/p",
			.body = "12345",
			.body_len = 5,
			.content_length = "5000"};
		fcgi_send_part(fd, &q);
		assert_int_equal(send(fd, abort_record, 8, MSG_NOSIGNAL), 8);
		fcgi_read(fd, &f->answer);
		if (f->answer.ended)
			assert_int_equal(f->answer.status, 400);
		close(fd);
	}
	assert_all_threads_serve(f);
}

static void garbage_costs_no_thread(void **state)
{
	fixture *f = *state;
	for (int i = 0; i < 3 * THREADS; i++) {
		int fd = fcgi_connect(f->port);
		if (i > 0)
			(void)!send(fd, "GET / HTTP/1.0\r\n\r\n", (size_t)i * 3, MSG_NOSIGNAL);
		close(fd);
	}
	assert_all_threads_serve(f);
}

static void a_connection_that_is_not_kept_is_closed_after_the_answer(void **state)
{
	fixture *f = *state;
	char byte;
	for (int i = 0; i < 3 * THREADS; i++) {
		int fd = fcgi_connect(f->port);
		fcgi_call(fd, &(fcgi_request){.uri = "/once", .drop_connection = true}, &f->answer);
		assert_int_equal(f->answer.status, 200);
		assert_int_equal(recv(fd, &byte, 1, 0), 0);
		close(fd);
	}
}

static void a_big_answer_arrives_whole_and_headers_cannot_be_split(void **state)
{
	fixture *f = *state;
	char value[512];
	int fd = fcgi_connect(f->port);
	fcgi_call(fd, &(fcgi_request){.uri = "/big"}, &f->answer);
	assert_int_equal(f->answer.len - f->answer.body_at, BIG_BYTES);
	assert_int_equal(f->answer.text[f->answer.len - 1], 'x');
	assert_string_equal(fcgi_header(&f->answer, "X-Test", value), "yes");
	assert_null(strstr(f->answer.text, "Set-Cookie"));
	assert_echo(f, fd, "/next");
	close(fd);
}

/* Errors of accept must not end threads: with no file to spare, then with files again. */
static void running_out_of_files_is_waited_out(void **state)
{
	fixture *f = *state;
	struct rlimit old, none;
	int fd = fcgi_connect(f->port);
	assert_echo(f, fd, "/first");
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	close(fd);
	none = old;
	none.rlim_cur = (rlim_t)fd + 1; /* one for the client; accept gets EMFILE */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fd = fcgi_connect(f->port);
	fcgi_send(fd, &(fcgi_request){.uri = "/late"});
	usleep(200000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	fcgi_read(fd, &f->answer);
	assert_int_equal(f->answer.status, 200);
	close(fd);
}

static void stopping_wakes_idle_kept_connections(void **state)
{
	fixture *f = *state;
	int fd[THREADS];
	char byte;
	for (int i = 0; i < THREADS; i++) {
		fd[i] = fcgi_connect(f->port);
		assert_echo(f, fd[i], "/idle");
	}
	assert_true(stop(f) < 1500);
	assert_int_equal(f->result, ERR_OK);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(recv(fd[i], &byte, 1, 0), 0);
		close(fd[i]);
	}
}

static void stopping_wakes_connections_that_never_asked(void **state)
{
	fixture *f = *state;
	int fd = fcgi_connect(f->port), silent = fcgi_connect(f->port);
	assert_echo(f, fd, "/first");
	usleep(50000);
	assert_true(stop(f) < 1500);
	assert_int_equal(f->result, ERR_OK);
	close(fd);
	close(silent);
}

static void stopping_lets_a_request_in_flight_finish(void **state)
{
	fixture *f = *state;
	int fd = fcgi_connect(f->port);
	fcgi_send(fd, &(fcgi_request){.uri = "/slow"});
	while (!atomic_load(&f->in_flight))
		usleep(1000);
	stop(f);
	assert_int_equal(f->result, ERR_OK);
	fcgi_read(fd, &f->answer);
	assert_true(f->answer.ended);
	assert_int_equal(f->answer.status, 204);
	close(fd);
}

static void stopping_waits_for_the_rest_of_a_body(void **state)
{
	fixture *f = *state;
	static const uint8_t rest[] = "\1\5\0\1\0\5\0\0"
				      "67890"
				      "\1\5\0\1\0\0\0\0";
	int fd = fcgi_connect(f->port);
	const fcgi_request q = {.method = "POST",
		.uri = "/p",
		.body = "12345",
		.body_len = 5,
		.content_length = "10"};
	fcgi_send_part(fd, &q);
	usleep(100000); /* the thread is in the body now */
	http_stop();
	usleep(100000);
	assert_int_equal(send(fd, rest, sizeof(rest) - 1, MSG_NOSIGNAL), sizeof(rest) - 1);
	fcgi_read(fd, &f->answer);
	assert_int_equal(f->answer.status, 200);
	assert_non_null(strstr(f->answer.text, "1234567890"));
	close(fd);
}

static void idle_connections_cost_no_thread(void **state)
{
	fixture *f = *state;
	int fd[MANY];
	for (int i = 0; i < MANY; i++) {
		fd[i] = fcgi_connect(f->port);
		assert_echo(f, fd[i], "/kept");
	}
	assert_all_threads_serve(f);
	for (int i = 0; i < MANY; i++) {
		assert_echo(f, fd[i], "/again");
		close(fd[i]);
	}
}

/* With a part of its request sent, and threads enough for one of them to wait for the rest. */
static void who_sends_slowly_holds_up_nobody(void **state)
{
	fixture *f = *state;
	const fcgi_request q = {
		.method = "POST", .uri = "/p", .body = "1", .body_len = 1, .content_length = "10"};
	int slow = fcgi_connect(f->port), fd = fcgi_connect(f->port);
	fcgi_send_part(slow, &q);
	usleep(SOON_MS * 1000);
	assert_echo(f, fd, "/alive");
	close(slow);
	close(fd);
}

static void a_request_given_away_is_answered_when_it_is_resumed(void **state)
{
	fixture *f = *state;
	static const char *const path[] = {"/given/at-once", "/given/soon"};
	int fd = fcgi_connect(f->port);
	for (int i = 0; i < 4; i++) {
		fcgi_call(fd, &(fcgi_request){.uri = path[i % 2]}, &f->answer);
		assert_int_equal(f->answer.status, 200);
		assert_non_null(strstr(f->answer.text, "\"came back\""));
		if (i % 2 == 1)
			pthread_join(f->resumer, NULL);
	}
	close(fd);
}

static http_req_t *gift(fixture *f, int i)
{
	http_req_t *r;
	while (!(r = atomic_load(&f->given[i])))
		usleep(1000);
	return r;
}

static void requests_given_away_hold_no_thread(void **state)
{
	fixture *f = *state;
	int fd[MANY];
	for (int i = 0; i < MANY; i++) {
		fd[i] = fcgi_connect(f->port);
		fcgi_send(fd[i], &(fcgi_request){.uri = "/given"});
	}
	for (int i = 0; i < MANY; i++)
		(void)gift(f, i);
	assert_all_threads_serve(f);
	for (int i = 0; i < MANY; i++)
		http_resume(gift(f, i));
	for (int i = 0; i < MANY; i++) {
		fcgi_read(fd[i], &f->answer);
		assert_int_equal(f->answer.status, 200);
		close(fd[i]);
	}
}

static void stopping_waits_for_requests_given_away(void **state)
{
	fixture *f = *state;
	int fd = fcgi_connect(f->port);
	fcgi_send(fd, &(fcgi_request){.uri = "/given"});
	http_req_t *r = gift(f, 0);
	http_stop();
	usleep(SOON_MS * 1000);
	http_resume(r);
	pthread_join(f->thread, NULL);
	f->thread = 0;
	assert_int_equal(f->result, ERR_OK);
	fcgi_read(fd, &f->answer);
	assert_int_equal(f->answer.status, 200);
	close(fd);
}

/* Last, because the server stays as it is (and the program has to end). */
static void stopping_does_not_wait_longer_than_the_bound(void **state)
{
	fixture *f = *state;
	f->conf.drain_ms = 200;
	int fd = fcgi_connect(f->port);
	fcgi_send(fd, &(fcgi_request){.uri = "/stuck"});
	while (!atomic_load(&f->in_flight))
		usleep(1000);
	assert_true(stop(f) < 1000);
	assert_int_equal(f->result, ERR_TIMEOUT);
	fcgi_read(fd, &f->answer);
	assert_int_equal(f->answer.status, 204);
	usleep(100000);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
		CASE(answers_carry_the_common_headers),
		CASE(an_error_becomes_a_problem_with_retry_after),
		CASE(many_requests_share_one_connection),
		CASE(a_body_of_the_largest_size_arrives_whole),
		CASE(a_body_too_large_is_refused_and_the_next_request_is_served),
		CASE(an_endless_body_ends_the_connection_only),
		CASE(a_length_that_is_not_the_bodys_is_refused),
		CASE(a_client_that_goes_away_in_the_body_costs_no_thread),
		CASE(a_truncated_body_is_told_to_who_still_listens),
		CASE(an_aborted_request_ends_its_connection_only),
		CASE(garbage_costs_no_thread),
		CASE(a_connection_that_is_not_kept_is_closed_after_the_answer),
		CASE(a_big_answer_arrives_whole_and_headers_cannot_be_split),
		CASE(running_out_of_files_is_waited_out),
		CASE(stopping_wakes_idle_kept_connections),
		CASE(stopping_wakes_connections_that_never_asked),
		CASE(stopping_lets_a_request_in_flight_finish),
		CASE(stopping_waits_for_the_rest_of_a_body),
		CASE(idle_connections_cost_no_thread),
		CASE(who_sends_slowly_holds_up_nobody),
		CASE(a_request_given_away_is_answered_when_it_is_resumed),
		CASE(requests_given_away_hold_no_thread),
		CASE(stopping_waits_for_requests_given_away),
		CASE(stopping_does_not_wait_longer_than_the_bound),
	};
	signal(SIGPIPE, SIG_IGN);
	if (keys_init() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
