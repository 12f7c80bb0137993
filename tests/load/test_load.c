/* The load generator itself: what it reads of answers, its quantiles, and that a stall of the
 * server counts against every request that was due meanwhile. */
#include "tests/load/load.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STALL_MS = 300 };

static long parse(const char *text, reply_t *r)
{
	char buf[1024];
	const size_t n = strlen(text);

	memcpy(buf, text, n + 1);
	return reply_read(buf, n, r);
}

static void an_answer_is_read_with_its_outcome(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n"
				   "{\"outcome\":\"claimed\",\"x\":";
	reply_t r;

	(void)state;
	assert_int_equal(parse(text, &r), 0);
	assert_int_equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n"
			       "{\"outcome\":\"claimed\",\"x\":1",
				 &r),
		(long)strlen("HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n") + 26);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.outcome, REPLY_CLAIMED);
}

static void only_a_success_has_an_outcome(void **state)
{
	reply_t r;

	(void)state;
	assert_true(parse("HTTP/1.1 429 Too\r\nContent-Length: 22\r\nConnection: close\r\n\r\n"
			  "{\"outcome\":\"claimed\"}  ",
			    &r) > 0);
	assert_int_equal(r.status, 429);
	assert_int_equal(r.outcome, REPLY_NO_OUTCOME);
	assert_true(r.closes);
	assert_int_equal(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0", &r), -1);
}

static void quantiles_are_right_to_two_percent(void **state)
{
	static hist_t h;

	(void)state;
	assert_int_equal(hist_at(&h, 500), 0);
	for (uint64_t us = 1; us <= 100000; us++)
		hist_add(&h, us);
	assert_in_range(hist_at(&h, 500), 50000, 51000);
	assert_in_range(hist_at(&h, 990), 99000, 101000);
	assert_in_range(hist_at(&h, 999), 99900, 101900);
}

/* Answers one connection's requests, but first sleeps once. */
static void *stalling_server(void *arg)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	const struct timespec stall = {0, STALL_MS * 1000000L};
	char buf[2048];
	int fd = accept(*(int *)arg, NULL, NULL);

	nanosleep(&stall, NULL);
	while (recv(fd, buf, sizeof(buf), 0) > 0)
		if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
			break;
	close(fd);
	return NULL;
}

static load_result run_against_stall(double rate, uint64_t tickets)
{
	static load_result r;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	pthread_t thread;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(pthread_create(&thread, NULL, stalling_server, &fd), 0);
	const load_conf c = {.to = at,
		.before = "GET / HTTP/1.1\r\n",
		.after = "",
		.connections = 1,
		.threads = 1,
		.rate = rate,
		.tickets = tickets,
		.run_ms = 1000,
		.drain_ms = 5000};
	assert_int_equal(load_run(&c, &r), 0);
	pthread_join(thread, NULL);
	close(fd);
	return r;
}

static void an_open_loop_counts_what_a_stall_delayed(void **state)
{
	const load_result r = run_against_stall(300, 0);

	(void)state;
	/* Each that was due is counted; the last ones may have come too late to be sent. */
	assert_in_range(r.sent + r.missing, 298, 300);
	assert_in_range(r.missing, 0, 15);
	/* About 90 of 300 were due during the stall: they waited 0 to 300 ms. */
	assert_true(hist_at(&r.latency, 850) >= 100000);
	assert_true(hist_at(&r.latency, 999) >= 280000);
}

static void a_closed_loop_stops_at_its_tickets(void **state)
{
	const load_result r = run_against_stall(0, 10);

	(void)state;
	assert_int_equal(r.sent, 10);
	assert_int_equal(r.answered, 10);
	assert_int_equal(r.status[200], 10);
	assert_true(r.ran_out);
}

static char asked[2048];

/* Answers one connection once, closes it, and so on: each is idle when it is closed. */
static void *closing_server(void *arg)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	for (;;) {
		int fd = accept(*(int *)arg, NULL, NULL);
		if (fd < 0)
			return NULL;
		ssize_t n = recv(fd, asked, sizeof(asked) - 1, 0);
		if (n > 0)
			asked[n] = 0;
		if (n > 0 && send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
			return NULL;
		close(fd);
	}
}

static void an_idle_connection_that_is_closed_is_made_again_and_is_one(void **state)
{
	static load_result r;
	static const uint64_t packet[] = {77};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	pthread_t thread;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(pthread_create(&thread, NULL, closing_server, &fd), 0);
	const load_conf c = {.to = at,
		.before = "POST / HTTP/1.1\r\n",
		.after = "",
		.packet = packet,
		.packets = 1,
		.key = "key-",
		.body_before = "<",
		.body_after = ">",
		.connections = 1,
		.threads = 1,
		.rate = 50,
		.run_ms = 1000,
		.drain_ms = 5000};
	assert_int_equal(load_run(&c, &r), 0);
	assert_in_range(r.answered, 40, 50);
	shutdown(fd, SHUT_RDWR);
	close(fd);
	pthread_join(thread, NULL);
	char *last = strstr(asked, "\r\nIdempotency-Key: key-4");
	assert_non_null(last);
	assert_non_null(strstr(
		last, "\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n<77>"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_read_with_its_outcome),
		cmocka_unit_test(only_a_success_has_an_outcome),
		cmocka_unit_test(quantiles_are_right_to_two_percent),
		cmocka_unit_test(an_open_loop_counts_what_a_stall_delayed),
		cmocka_unit_test(a_closed_loop_stops_at_its_tickets),
		cmocka_unit_test(an_idle_connection_that_is_closed_is_made_again_and_is_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
