/* mq: publishing with confirms, consuming, and what breaks in between, on the broker of HB_TEST_MQ.
 * The queues carry the process id in their names and are deleted at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clk.h"
#include "base/logger.h"
#include "store/mq.h"
#include "tests/unit/server_tests.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static server_address server;
static mq_target target;
static proxy_t *proxy;
static mq_t *mq;
static char queue[40], small_queue[40], parked[40], wait_queue[40];

static amqp_connection_state_t admin_open(void)
{
	amqp_connection_state_t c = amqp_new_connection();

	assert_int_equal(amqp_socket_open(amqp_tcp_socket_new(c), server.host, server.port), 0);
	assert_int_equal(amqp_login(c, server.name, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN,
				 server.user, server.password)
				 .reply_type,
		AMQP_RESPONSE_NORMAL);
	amqp_channel_open(c, 1);
	return c;
}

static void delete_queue(const char *name)
{
	amqp_connection_state_t c = admin_open();

	amqp_queue_delete(c, 1, amqp_cstring_bytes(name), 0, 0);
	amqp_connection_close(c, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(c);
}

static mq_t *open_mq(void)
{
	mq_t *m = NULL;

	assert_int_equal(mq_open(&target, &m), ERR_OK);
	return m;
}

static int fresh_queues(void **state)
{
	(void)state;
	proxy_set(proxy, PROXY_PASS);
	delete_queue(queue);
	delete_queue(small_queue);
	delete_queue(parked);
	delete_queue(wait_queue);
	mq = open_mq();
	return mq_declare(mq, parked, 1000, 0) == ERR_OK &&
			       mq_declare(mq, queue, 100000, 3) == ERR_OK &&
			       mq_declare(mq, small_queue, 3, 3) == ERR_OK
		       ? 0
		       : -1;
}

static int end_mq(void **state)
{
	(void)state;
	proxy_set(proxy, PROXY_PASS);
	mq_close(&mq);
	return 0;
}

static err_t publish_text(mq_t *m, const char *to, const char *text, int64_t confirm_ms)
{
	mq_out msg = {.queue = to, .body = text, .len = strlen(text), .message_id = text};
	err_t e = mq_publish(m, &msg, 1, confirm_ms);

	assert_true(msg.confirmed == (e == ERR_OK));
	return e;
}

static void expect_next(mq_t *m, const char *text, uint64_t deliveries, uint64_t *tag)
{
	mq_in in;

	assert_int_equal(mq_next(m, 5000, &in), ERR_OK);
	assert_int_equal(in.len, strlen(text));
	assert_string_equal(in.body, text);
	assert_int_equal(in.deliveries, deliveries);
	*tag = in.tag;
}

static void declaring_twice_is_fine_and_otherwise_refused(void **state)
{
	(void)state;
	assert_int_equal(mq_declare(mq, queue, 100000, 3), ERR_OK);
	assert_int_equal(mq_declare(mq, parked, 1000, 0), ERR_OK);
	assert_int_equal(mq_declare(mq, queue, 100001, 3), ERR_CONFIG_INVALID);
	assert_false(mq_alive(mq));
}

static void what_is_published_is_consumed_in_order(void **state)
{
	(void)state;
	uint64_t tag, consumers, ready = 9;

	assert_int_equal(publish_text(mq, queue, "one", 5000), ERR_OK);
	assert_int_equal(publish_text(mq, queue, "", 5000), ERR_OK);
	assert_int_equal(publish_text(mq, queue, "three", 5000), ERR_OK);
	assert_int_equal(mq_consume(mq, queue, 10), ERR_OK);
	expect_next(mq, "one", 0, &tag);
	assert_int_equal(mq_ack(mq, tag), ERR_OK);
	expect_next(mq, "", 0, &tag);
	assert_int_equal(mq_ack(mq, tag), ERR_OK);
	expect_next(mq, "three", 0, &tag);
	assert_int_equal(mq_ack(mq, tag), ERR_OK);
	assert_int_equal(mq_depth(mq, queue, &ready, &consumers), ERR_OK);
	assert_int_equal(ready, 0);
	mq_in in;
	int64_t start = clk_mono_ms();
	assert_int_equal(mq_next(mq, 200, &in), ERR_TIMEOUT);
	assert_in_range(clk_mono_ms() - start, 190, 600);
}

static void many_messages_are_confirmed_one_by_one(void **state)
{
	(void)state;
	enum { N = 3000 };
	mq_out *msgs = calloc(N, sizeof *msgs);
	char(*body)[16] = calloc(N, sizeof *body);
	uint64_t tag;

	for (int i = 0; i < N; i++) {
		snprintf(body[i], sizeof body[i], "message %d", i);
		msgs[i] = (mq_out){.queue = queue, .body = body[i], .len = strlen(body[i])};
	}
	assert_int_equal(mq_publish(mq, msgs, N, 20000), ERR_OK);
	for (int i = 0; i < N; i++)
		assert_true(msgs[i].confirmed);
	assert_int_equal(mq_consume(mq, queue, 50), ERR_OK);
	for (int i = 0; i < N; i++) {
		expect_next(mq, body[i], 0, &tag);
		assert_int_equal(mq_ack(mq, tag), ERR_OK);
	}
	free(body);
	free(msgs);
}

static void a_large_body_arrives_whole(void **state)
{
	(void)state;
	enum { BYTES = 1500001 };
	char *body = malloc(BYTES);
	mq_out msg = {.queue = queue, .body = body, .len = BYTES};
	mq_in in;

	for (size_t i = 0; i < BYTES; i++)
		body[i] = (char)(i * 31 >> 3);
	assert_int_equal(mq_publish(mq, &msg, 1, 10000), ERR_OK);
	assert_int_equal(mq_consume(mq, queue, 1), ERR_OK);
	assert_int_equal(mq_next(mq, 10000, &in), ERR_OK);
	assert_int_equal(in.len, BYTES);
	assert_memory_equal(in.body, body, BYTES);
	free(body);
}

static void what_no_queue_takes_is_not_confirmed(void **state)
{
	(void)state;
	mq_out msgs[] = {
		{.queue = queue, .body = "a", .len = 1, .message_id = "same"},
		{.queue = "A.no_such_queue", .body = "b", .len = 1, .message_id = "same"},
		{.queue = queue, .body = "", .len = 0},
		{.queue = "A.no_such_queue", .body = "", .len = 0},
		{.queue = queue, .body = "c", .len = 1},
	};

	assert_int_equal(mq_publish(mq, msgs, 5, 5000), ERR_MQ_REFUSED);
	assert_true(msgs[0].confirmed && msgs[2].confirmed && msgs[4].confirmed);
	assert_false(msgs[1].confirmed || msgs[3].confirmed);
	assert_true(mq_alive(mq));
	assert_int_equal(publish_text(mq, queue, "d", 5000), ERR_OK);
}

static void a_full_queue_refuses(void **state)
{
	(void)state;
	unsigned refused = 0;

	/* The limit of a quorum queue is reached a little late. */
	for (int i = 0; i < 20; i++)
		refused += publish_text(mq, small_queue, "x", 5000) == ERR_MQ_REFUSED;
	assert_true(refused >= 10);
	assert_true(mq_alive(mq));
	assert_int_equal(publish_text(mq, queue, "y", 5000), ERR_OK);
}

static void again_is_counted_and_ends_among_the_parked(void **state)
{
	(void)state;
	mq_t *other = open_mq();
	uint64_t tag;

	assert_int_equal(publish_text(mq, queue, "poison", 5000), ERR_OK);
	assert_int_equal(mq_consume(mq, queue, 10), ERR_OK);
	for (uint64_t i = 0; i <= 3; i++) {
		expect_next(mq, "poison", i, &tag);
		assert_int_equal(mq_again(mq, tag), ERR_OK);
	}
	assert_int_equal(mq_consume(other, parked, 10), ERR_OK);
	mq_in in;
	assert_int_equal(mq_next(other, 10000, &in), ERR_OK);
	assert_string_equal(in.body, "poison");
	assert_string_equal(in.died_in, queue);
	assert_string_equal(in.died_of, "delivery_limit");
	assert_int_equal(mq_ack(other, in.tag), ERR_OK);
	mq_close(&other);
}

static void unacknowledged_messages_come_again_elsewhere(void **state)
{
	(void)state;
	mq_t *other = open_mq();
	uint64_t tag;
	mq_in in;

	assert_int_equal(publish_text(mq, queue, "a", 5000), ERR_OK);
	assert_int_equal(publish_text(mq, queue, "b", 5000), ERR_OK);
	assert_int_equal(mq_consume(other, queue, 10), ERR_OK);
	expect_next(other, "a", 0, &tag);
	assert_int_equal(mq_ack(other, tag), ERR_OK);
	mq_close(&other); /* "b" has been sent to it as well */
	assert_int_equal(mq_consume(mq, queue, 10), ERR_OK);
	assert_int_equal(mq_next(mq, 5000, &in), ERR_OK);
	assert_string_equal(in.body, "b");
}

static void publishing_and_consuming_share_a_connection(void **state)
{
	(void)state;
	uint64_t tag;

	assert_int_equal(mq_consume(mq, queue, 10), ERR_OK);
	assert_int_equal(publish_text(mq, queue, "a", 5000), ERR_OK);
	usleep(100000);
	assert_int_equal(publish_text(mq, queue, "b", 5000), ERR_OK); /* meets "a" coming in */
	expect_next(mq, "a", 0, &tag);
	expect_next(mq, "b", 0, &tag);
}

static void a_cut_connection_is_unavailable(void **state)
{
	(void)state;
	mq_in in;

	assert_int_equal(mq_consume(mq, queue, 10), ERR_OK);
	proxy_cut(proxy);
	assert_int_equal(mq_next(mq, 5000, &in), ERR_MQ_UNAVAILABLE);
	assert_false(mq_alive(mq));
	assert_int_equal(publish_text(mq, queue, "a", 5000), ERR_MQ_UNAVAILABLE);
	assert_int_equal(mq_ack(mq, 1), ERR_MQ_UNAVAILABLE);
	mq_close(&mq);
	mq = open_mq();
	assert_int_equal(publish_text(mq, queue, "a", 5000), ERR_OK);
	proxy_cut(proxy);
	assert_int_equal(publish_text(mq, queue, "a", 5000), ERR_MQ_UNAVAILABLE);
}

static void a_stopped_broker_does_not_hold_the_publisher(void **state)
{
	(void)state;
	enum { N = 2000, BYTES = 20000 };
	static char body[BYTES];
	mq_out *msgs = calloc(N, sizeof *msgs);
	int64_t start = clk_mono_ms();

	for (int i = 0; i < N; i++)
		msgs[i] = (mq_out){.queue = queue, .body = body, .len = BYTES};
	assert_int_equal(publish_text(mq, queue, "a", 5000), ERR_OK);
	proxy_set(proxy, PROXY_FROZEN);
	assert_int_equal(mq_publish(mq, msgs, N, 500), ERR_MQ_REFUSED);
	assert_in_range(clk_mono_ms() - start, 400, 1500);
	for (int i = 0; i < N; i++)
		assert_false(msgs[i].confirmed);
	free(msgs);
}

static void a_silent_node_is_given_up(void **state)
{
	(void)state;
	int64_t start = clk_mono_ms();

	assert_int_equal(publish_text(mq, queue, "a", 5000), ERR_OK);
	proxy_set(proxy, PROXY_FROZEN);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(publish_text(mq, queue, "b", 500), ERR_MQ_REFUSED);
	assert_true(mq_alive(mq));
	while (mq_alive(mq))
		assert_int_not_equal(publish_text(mq, queue, "b", 500), ERR_OK);
	assert_in_range(clk_mono_ms() - start, 4000, 8000);
}

static void a_node_that_is_dead_or_hangs_is_passed_over(void **state)
{
	(void)state;
	mq_target three = target;
	mq_t *m = NULL;

	three.nodes = 3;
	three.node[1] = (mq_node){.host = "127.0.0.1", .port = 1};
	three.node[2] = (mq_node){.port = server.port};
	snprintf(three.node[2].host, sizeof three.node[2].host, "%s", server.host);
	proxy_set(proxy, PROXY_FROZEN);
	assert_int_equal(mq_open(&three, &m), ERR_OK);
	mq_close(&m);
	/* Now it is known which one lives. */
	int64_t start = clk_mono_ms();
	assert_int_equal(mq_open(&three, &m), ERR_OK);
	assert_in_range(clk_mono_ms() - start, 0, 1000);
	mq_close(&m);
	three.nodes = 2;
	assert_int_equal(mq_open(&three, &m), ERR_MQ_UNAVAILABLE);
}

static void late_confirms_do_not_confirm_the_next_messages(void **state)
{
	(void)state;
	assert_int_equal(publish_text(mq, queue, "a", 5000), ERR_OK);
	proxy_set(proxy, PROXY_FROZEN);
	assert_int_equal(publish_text(mq, queue, "b", 100), ERR_MQ_REFUSED);
	assert_int_equal(publish_text(mq, queue, "c", 100), ERR_MQ_REFUSED);
	proxy_set(proxy, PROXY_PASS);
	assert_int_equal(publish_text(mq, "A.no_such_queue", "d", 5000), ERR_MQ_REFUSED);
	assert_int_equal(publish_text(mq, queue, "e", 5000), ERR_OK);
}

static void what_has_waited_goes_on_to_its_queue(void **state)
{
	enum { MESSAGES = 12, WAIT_MS = 300 };
	(void)state;
	unsigned seen = 0;
	int64_t start = clk_mono_ms();

	assert_int_equal(mq_declare_wait(mq, wait_queue, 1000, WAIT_MS, queue), ERR_OK);
	assert_int_equal(mq_declare_wait(mq, wait_queue, 1000, WAIT_MS, queue), ERR_OK);
	for (unsigned i = 0; i < MESSAGES; i++) {
		char text[4];
		snprintf(text, sizeof text, "%u", i);
		assert_int_equal(publish_text(mq, wait_queue, text, 5000), ERR_OK);
	}
	assert_int_equal(mq_consume(mq, queue, 1), ERR_OK);
	while (seen != (1u << MESSAGES) - 1) {
		mq_in in;
		assert_int_equal(mq_next(mq, 20000, &in), ERR_OK);
		assert_true(clk_mono_ms() - start >= WAIT_MS);
		seen |= 1u << strtoul(in.body, NULL, 10);
		assert_int_equal(mq_ack(mq, in.tag), ERR_OK);
	}
}

static uint64_t depth(const char *name)
{
	uint64_t ready, consumers;
	assert_int_equal(mq_depth(mq, name, &ready, &consumers), ERR_OK);
	return ready;
}

static void publish_numbers(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		char text[4];
		snprintf(text, sizeof text, "%u", i);
		assert_int_equal(publish_text(mq, wait_queue, text, 5000), ERR_OK);
	}
}

/* RabbitMQ tells who brings messages to a quorum queue afterwards that it is full, so the first ones, which it brings
 * together, may all find room: they fill it, and the others come when that has been said. */
static void what_has_waited_stays_while_its_queue_is_full(void **state)
{
	enum { MESSAGES = 12, FIRST = 5, WAIT_MS = 300, LOOKS = 20 };
	(void)state;
	unsigned seen = 0;

	assert_int_equal(mq_declare_wait(mq, wait_queue, 1000, WAIT_MS, small_queue), ERR_OK);
	publish_numbers(0, FIRST);
	int64_t until = clk_mono_ms() + 20000;
	while (depth(small_queue) < 3)
		assert_true(clk_mono_ms() < until);
	publish_numbers(FIRST, MESSAGES);
	for (unsigned i = 0; i < LOOKS; i++) { /* long over, and no room for them */
		assert_true(depth(small_queue) <= FIRST);
		clk_sleep_ms(WAIT_MS / 4);
	}
	assert_int_equal(mq_consume(mq, small_queue, 1), ERR_OK);
	while (seen != (1u << MESSAGES) - 1) {
		mq_in in;
		assert_int_equal(mq_next(mq, 60000, &in), ERR_OK);
		seen |= 1u << strtoul(in.body, NULL, 10);
		assert_int_equal(mq_ack(mq, in.tag), ERR_OK);
	}
}

static void a_consumer_whose_queue_goes_is_told(void **state)
{
	(void)state;
	mq_in in;

	assert_int_equal(mq_consume(mq, queue, 10), ERR_OK);
	delete_queue(queue);
	assert_int_equal(mq_next(mq, 5000, &in), ERR_MQ_UNAVAILABLE);
}

static void the_depth_of_a_missing_queue_is_not_found(void **state)
{
	(void)state;
	uint64_t consumers, ready;

	assert_int_equal(publish_text(mq, queue, "a", 5000), ERR_OK);
	assert_int_equal(mq_depth(mq, queue, &ready, &consumers), ERR_OK);
	assert_int_equal(ready, 1);
	assert_int_equal(mq_depth(mq, "A.no_such_queue", &ready, &consumers), ERR_NOT_FOUND);
}

static void what_cannot_be_opened_is_unavailable_in_time(void **state)
{
	(void)state;
	mq_target wrong = target;
	mq_t *m = NULL;

	strcpy(wrong.password, "wrong");
	assert_int_equal(mq_open(&wrong, &m), ERR_MQ_UNAVAILABLE);
	proxy_set(proxy, PROXY_FROZEN);
	int64_t start = clk_mono_ms();
	assert_int_equal(mq_open(&target, &m), ERR_MQ_UNAVAILABLE);
	assert_in_range(clk_mono_ms() - start, 1000, 8000);
	assert_null(m);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh_queues, end_mq)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(declaring_twice_is_fine_and_otherwise_refused),
		T(what_is_published_is_consumed_in_order),
		T(many_messages_are_confirmed_one_by_one),
		T(a_large_body_arrives_whole),
		T(what_no_queue_takes_is_not_confirmed),
		T(a_full_queue_refuses),
		T(again_is_counted_and_ends_among_the_parked),
		T(unacknowledged_messages_come_again_elsewhere),
		T(publishing_and_consuming_share_a_connection),
		T(a_cut_connection_is_unavailable),
		T(a_stopped_broker_does_not_hold_the_publisher),
		T(a_silent_node_is_given_up),
		T(a_node_that_is_dead_or_hangs_is_passed_over),
		T(late_confirms_do_not_confirm_the_next_messages),
		T(what_has_waited_goes_on_to_its_queue),
		T(what_has_waited_stays_while_its_queue_is_full),
		T(a_consumer_whose_queue_goes_is_told),
		T(the_depth_of_a_missing_queue_is_not_found),
		T(what_cannot_be_opened_is_unavailable_in_time),
	};

	logger_init("test_mq", "", 0, LOGGER_ERROR);
	server_from_env("HB_TEST_MQ", true, &server);
	proxy = proxy_start(&server);
	target = (mq_target){.node = {{"127.0.0.1", proxy_port(proxy)}}, .nodes = 1};
	snprintf(target.user, sizeof target.user, "%s", server.user);
	snprintf(target.password, sizeof target.password, "%s", server.password);
	snprintf(target.vhost, sizeof target.vhost, "%s", server.name);
	snprintf(queue, sizeof queue, "hbtest%d.work", getpid());
	snprintf(small_queue, sizeof small_queue, "hbtest%d.small", getpid());
	snprintf(parked, sizeof parked, "hbtest%d.parked", getpid());
	snprintf(wait_queue, sizeof wait_queue, "hbtest%d.wait", getpid());
	int failures = cmocka_run_group_tests_name("mq", tests, NULL, NULL);
	delete_queue(queue);
	delete_queue(small_queue);
	delete_queue(parked);
	delete_queue(wait_queue);
	proxy_stop(&proxy);
	return failures;
}
