/* The client of finance against a server of one thread that answers as each test tells it: what
 * counts as finance's word, and what is only noise on the way. */
#define _GNU_SOURCE
#include "tests/unit/finance_ring.h"

#include "base/clk.h"
#include "base/life.h"
#include "store/finance.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define DONE                                                                                       \
	"{\"order_no\":\"12301001\",\"kind\":\"transfer\",\"outcome\":\"done\",\"amount\":{"       \
	"\"amount\":188,\"currency\":\"CNY\"},\"reason\":null}"
enum { TOTAL_MS = 300, SLOW_MS = 600, BIG_BYTES = 70000 };

typedef enum {
	SIGN_WELL,
	SIGN_NOT,
	SIGN_OTHER_KEY,
	SIGN_OTHER_REQUEST,
	SIGN_OTHER_STATUS,
	SIGN_OTHER_PATH,
	SIGN_OLD
} sign_how;

/* What the server says to every request until told otherwise, and what it saw last. */
static struct {
	int status;
	const char *body;
	sign_how how;
	int64_t wait_ms;
	const char *extra; /* a header line */
	char method[8], path[300], seen[4096], signature[256];
	unsigned requests;
	err_t verified;
} server;

static keys_ring_t *ring, *false_ring;
static int listener;
static pthread_t thread;
static finance_target target;
static finance_t *client;
static char big[BIG_BYTES + 1];

static const finance_order order = {.order_no = 12301001,
	.uid = 1001,
	.amount_fen = 188,
	.notify_url = "http://127.0.0.1/v1/callbacks/finance/12301001"};

static bool read_request(int fd, char *buf, size_t room)
{
	size_t len = 0, want = 0;
	char *head = NULL;
	while (!head || len < want) {
		ssize_t n = read(fd, buf + len, room - 1 - len);
		if (n <= 0)
			return false;
		len += (size_t)n;
		buf[len] = 0;
		head = strstr(buf, "\r\n\r\n");
		const char *length = strcasestr(buf, "Content-Length:");
		if (head)
			want = (size_t)(head + 4 - buf) +
			       (length && length < head ? strtoul(length + 15, NULL, 10) : 0);
	}
	const char *sig = strcasestr(buf, "X-Finance-Signature:");
	sscanf(buf, "%7s %299s", server.method, server.path);
	snprintf(server.seen, sizeof server.seen, "%s", head + 4);
	if (sig)
		sscanf(sig + 20, " %255[^\r]", server.signature);
	return true;
}

static void answer(int fd)
{
	char id[65] = "", header[256] = "", status[16], path[310];
	char *out = malloc(BIG_BYTES + 2000);
	server.verified = finance_verify(ring, "hongbao", clk_wall_ms() / 1000, 300,
		server.signature, server.method, server.path, server.seen, strlen(server.seen), id);
	snprintf(
		status, sizeof status, "%d", server.how == SIGN_OTHER_STATUS ? 404 : server.status);
	snprintf(path, sizeof path, "%s%s", server.path, server.how == SIGN_OTHER_PATH ? "/" : "");
	finance_sign(server.how == SIGN_OTHER_KEY ? false_ring : ring, "hongbao",
		clk_wall_ms() / 1000 - (server.how == SIGN_OLD ? 1000 : 0),
		server.how == SIGN_OTHER_REQUEST ? "earlier" : id, status, path, server.body,
		strlen(server.body), header);
	int n = sprintf(out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s%s%s%s\r\n%s",
		server.status, strlen(server.body), server.extra ? server.extra : "",
		server.how == SIGN_NOT ? "" : "x-finance-signature: ",
		server.how == SIGN_NOT ? "" : header, server.how == SIGN_NOT ? "" : "\r\n",
		server.body);
	server.requests++;
	usleep((useconds_t)(server.wait_ms * 1000));
	for (int sent = 0; sent < n;) {
		ssize_t w = send(fd, out + sent, (size_t)(n - sent), MSG_NOSIGNAL);
		if (w <= 0)
			break;
		sent += (int)w;
	}
	free(out);
}

static void *serve(void *arg)
{
	static char buf[16384];
	(void)arg;
	for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd))
		while (read_request(fd, buf, sizeof buf))
			answer(fd);
	return NULL;
}

static int set_up(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	(void)state;
	memset(big, ' ', BIG_BYTES);
	for (size_t i = 0; i < strlen(DONE); i++)
		big[i] = DONE[i];
	ring = finance_ring(FINANCE_KEY_1);
	false_ring = finance_ring(FINANCE_KEY_FALSE);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	target = (finance_target){
		.merchant = "hongbao", .connect_ms = 200, .total_ms = TOTAL_MS, .keys = ring};
	snprintf(target.urls, sizeof target.urls, "http://127.0.0.1:%d/pay/", ntohs(at.sin_port));
	return pthread_create(&thread, NULL, serve, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	keys_free(&ring);
	keys_free(&false_ring);
	return 0;
}

static int one_client(void **state)
{
	(void)state;
	memset(&server, 0, sizeof server);
	server.status = 200;
	server.body = DONE;
	return finance_new(&target, &client) == ERR_OK ? 0 : -1;
}

static int no_client(void **state)
{
	(void)state;
	finance_free(&client);
	assert_null(client);
	return 0;
}

static err_t submit(finance_answer *a)
{
	return finance_submit(client, FINANCE_TRANSFER, &order, a);
}

static void submit_sends_the_order_signed(void **state)
{
	finance_answer a;
	(void)state;
	assert_int_equal(submit(&a), ERR_OK);
	assert_int_equal(server.verified, ERR_OK);
	assert_string_equal(server.method, "POST");
	assert_string_equal(server.path, "/pay/finance/v1/transfers");
	assert_string_equal(server.seen,
		"{\"merchant\":\"hongbao\",\"order_no\":\"12301001\",\"uid\":\"1001\",\"amount\":{"
		"\"amount\":188,\"currency\":\"CNY\"},\"notify_url\":\"http://127.0.0.1/v1/"
		"callbacks/finance/12301001\"}");
	assert_int_equal(a.outcome, FINANCE_DONE);
	assert_int_equal(a.amount_fen, 188);
	assert_string_equal(a.reason, "");
}

static void payment_brings_its_cashier_address(void **state)
{
	finance_answer a;
	(void)state;
	server.status = 201;
	server.body = "{\"order_no\":\"12301001\",\"kind\":\"payment\",\"outcome\":\"pending\","
		      "\"amount\":{\"amount\":188,\"currency\":\"CNY\"},\"reason\":null,"
		      "\"cashier_url\":\"http://c/1?t=2\",\"new\":1}";
	assert_int_equal(finance_submit(client, FINANCE_PAYMENT, &order, &a), ERR_OK);
	assert_int_equal(a.outcome, FINANCE_PENDING);
	assert_string_equal(a.cashier_url, "http://c/1?t=2");
}

static void query_and_close_ask_about_the_number(void **state)
{
	finance_answer a;
	(void)state;
	assert_int_equal(finance_query(client, FINANCE_TRANSFER, 12301001, &a), ERR_OK);
	assert_int_equal(server.verified, ERR_OK);
	assert_string_equal(server.method, "GET");
	assert_string_equal(server.path, "/pay/finance/v1/transfers/12301001");
	server.body = "{\"order_no\":\"7001\",\"kind\":\"payment\",\"outcome\":\"closed\","
		      "\"amount\":{\"amount\":0,\"currency\":\"CNY\"},\"reason\":\"X\"}";
	assert_int_equal(finance_close(client, 7001, &a), ERR_OK);
	assert_int_equal(server.verified, ERR_OK);
	assert_string_equal(server.path, "/pay/finance/v1/payments/7001/close");
	assert_int_equal(a.outcome, FINANCE_CLOSED);
	assert_string_equal(a.reason, "X");
}

static void what_finance_did_not_sign_for_this_request_says_nothing(void **state)
{
	finance_answer a = {.outcome = 99};
	(void)state;
	for (sign_how how = SIGN_NOT; how <= SIGN_OLD; how++) {
		server.how = how;
		assert_int_equal(submit(&a), ERR_FINANCE_UNAVAILABLE);
		assert_int_equal(a.outcome, 99);
	}
	server.how = SIGN_WELL;
	assert_int_equal(submit(&a), ERR_OK);
}

static void only_a_signed_ORDER_NOT_KNOWN_is_not_known(void **state)
{
	finance_answer a;
	(void)state;
	server.status = 404;
	server.body = "{\"code\":\"ORDER_NOT_KNOWN\"}";
	assert_int_equal(finance_query(client, FINANCE_TRANSFER, 12301001, &a), ERR_OK);
	assert_int_equal(a.outcome, FINANCE_NOT_KNOWN);
	assert_int_equal(submit(&a), ERR_FINANCE_UNAVAILABLE);
	server.how = SIGN_NOT;
	assert_int_equal(
		finance_query(client, FINANCE_TRANSFER, 12301001, &a), ERR_FINANCE_UNAVAILABLE);
	server.how = SIGN_WELL;
	server.body = "{\"code\":\"NOT_FOUND\"}";
	assert_int_equal(
		finance_query(client, FINANCE_TRANSFER, 12301001, &a), ERR_FINANCE_UNAVAILABLE);
}

static void conflict_is_told_apart(void **state)
{
	finance_answer a;
	(void)state;
	server.status = 409;
	server.body = "{\"code\":\"ORDER_CONFLICT\"}";
	assert_int_equal(submit(&a), ERR_ORDER_CONFLICT);
	server.body = "{\"code\":\"OTHER\"}";
	assert_int_equal(submit(&a), ERR_FINANCE_UNAVAILABLE);
	server.status = 200;
	server.body = "{\"order_no\":\"12301001\",\"kind\":\"transfer\",\"outcome\":\"done\","
		      "\"amount\":{\"amount\":189,\"currency\":\"CNY\"}}";
	assert_int_equal(submit(&a), ERR_ORDER_CONFLICT);
}

static void answers_about_something_else_say_nothing(void **state)
{
	static const char *const bodies[] = {"", "[]", "{", DONE "x",
		"{\"order_no\":\"12301002\",\"kind\":\"transfer\",\"outcome\":\"done\",\"amount\":"
		"{\"amount\":188,\"currency\":\"CNY\"}}",
		"{\"order_no\":\"12301001\",\"kind\":\"refund\",\"outcome\":\"done\",\"amount\":"
		"{\"amount\":188,\"currency\":\"CNY\"}}",
		"{\"order_no\":\"12301001\",\"kind\":\"transfer\",\"outcome\":\"maybe\",\"amount\":"
		"{\"amount\":188,\"currency\":\"CNY\"}}",
		"{\"order_no\":\"12301001\",\"kind\":\"transfer\",\"outcome\":\"done\",\"amount\":"
		"{\"amount\":188,\"currency\":\"USD\"}}",
		"{\"order_no\":\"12301001\",\"kind\":\"transfer\",\"outcome\":\"done\",\"amount\":"
		"{\"amount\":0,\"currency\":\"CNY\"}}",
		"{\"order_no\":\"12301001\",\"kind\":\"transfer\",\"outcome\":\"done\"}"};
	finance_answer a;
	(void)state;
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		server.body = bodies[i];
		if (submit(&a) != ERR_FINANCE_UNAVAILABLE)
			fail_msg("%s", bodies[i]);
	}
}

static void server_errors_say_nothing_even_when_signed(void **state)
{
	static const int statuses[] = {400, 401, 422, 429, 500, 502, 503, 504};
	finance_answer a;
	(void)state;
	for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
		server.status = statuses[i];
		assert_int_equal(submit(&a), ERR_FINANCE_UNAVAILABLE);
	}
}

static void redirects_are_not_followed(void **state)
{
	finance_answer a;
	(void)state;
	server.status = 302;
	server.extra = "Location: /elsewhere\r\n";
	assert_int_equal(submit(&a), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(server.requests, 1);
}

static void answer_above_the_bound_is_cut_off(void **state)
{
	finance_answer a;
	(void)state;
	server.body = big;
	assert_int_equal(submit(&a), ERR_FINANCE_UNAVAILABLE);
	server.body = DONE;
	assert_int_equal(submit(&a), ERR_OK);
}

static void slow_answer_ends_at_the_time_out(void **state)
{
	finance_answer a;
	(void)state;
	server.wait_ms = SLOW_MS;
	int64_t from = clk_mono_ms();
	assert_int_equal(submit(&a), ERR_FINANCE_UNAVAILABLE);
	assert_in_range(clk_mono_ms() - from, TOTAL_MS - 50, SLOW_MS - 20);
}

static void nobody_there_is_unavailable(void **state)
{
	finance_target nowhere = target;
	finance_t *f;
	finance_answer a;
	(void)state;
	snprintf(nowhere.urls, sizeof nowhere.urls, "http://127.0.0.1:1");
	assert_int_equal(finance_new(&nowhere, &f), ERR_OK);
	assert_int_equal(finance_submit(f, FINANCE_TRANSFER, &order, &a), ERR_FINANCE_UNAVAILABLE);
	finance_free(&f);
}

static void an_address_where_nobody_is_is_passed_over(void **state)
{
	finance_target two = target;
	finance_t *f;
	finance_answer a;
	(void)state;
	finance_free(&client); /* the server has one thread */
	snprintf(two.urls, sizeof two.urls, "http://127.0.0.1:1/pay,%.200s", target.urls);
	assert_int_equal(finance_new(&two, &f), ERR_OK);
	assert_int_equal(finance_submit(f, FINANCE_TRANSFER, &order, &a), ERR_OK);
	finance_free(&f);
	snprintf(two.urls, sizeof two.urls, "http://127.0.0.1:1/other,%.200s", target.urls);
	assert_int_equal(finance_new(&two, &f), ERR_CONFIG_INVALID);
}

static void mock_answers_without_a_server(void **state)
{
	finance_target mock = {.mock = true};
	finance_t *f;
	finance_answer a;
	(void)state;
	assert_int_equal(finance_new(&mock, &f), ERR_OK);
	assert_int_equal(finance_submit(f, FINANCE_PAYMENT, &order, &a), ERR_OK);
	assert_int_equal(a.outcome, FINANCE_PENDING);
	assert_string_equal(a.cashier_url, "mock:");
	assert_int_equal(finance_query(f, FINANCE_PAYMENT, order.order_no, &a), ERR_OK);
	assert_int_equal(a.outcome, FINANCE_DONE);
	assert_int_equal(finance_submit(f, FINANCE_REFUND, &order, &a), ERR_OK);
	assert_int_equal(a.outcome, FINANCE_DONE);
	assert_int_equal(a.amount_fen, 188);
	assert_int_equal(finance_close(f, order.order_no, &a), ERR_OK);
	assert_int_equal(a.outcome, FINANCE_DONE);
	finance_free(&f);
}

#define WITH_CLIENT(test) cmocka_unit_test_setup_teardown(test, one_client, no_client)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CLIENT(submit_sends_the_order_signed),
		WITH_CLIENT(an_address_where_nobody_is_is_passed_over),
		WITH_CLIENT(payment_brings_its_cashier_address),
		WITH_CLIENT(query_and_close_ask_about_the_number),
		WITH_CLIENT(what_finance_did_not_sign_for_this_request_says_nothing),
		WITH_CLIENT(only_a_signed_ORDER_NOT_KNOWN_is_not_known),
		WITH_CLIENT(conflict_is_told_apart),
		WITH_CLIENT(answers_about_something_else_say_nothing),
		WITH_CLIENT(server_errors_say_nothing_even_when_signed),
		WITH_CLIENT(redirects_are_not_followed),
		WITH_CLIENT(answer_above_the_bound_is_cut_off),
		WITH_CLIENT(slow_answer_ends_at_the_time_out),
		cmocka_unit_test(nobody_there_is_unavailable),
		cmocka_unit_test(mock_answers_without_a_server),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
