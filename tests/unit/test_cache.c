/* cache: on the memcached of HB_TEST_MEMCACHED, through a proxy that can stop. Keys carry the process
 * id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clk.h"
#include "base/logger.h"
#include "store/cache.h"
#include "tests/unit/server_tests.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_MS = 50, BREAK_MS = 400 };

static const breaker_conf breaker = {.of = BREAKER_MEMCACHED,
	.window_ms = 1000,
	.min_calls = 1,
	.error_percent = 100,
	.slow_percent = 100,
	.open_ms = BREAK_MS,
	.probes = 1};

static server_address server;
static proxy_t *proxy;
static cache_t *cache;

static const char *key_of(const char *name)
{
	static char key[80];

	snprintf(key, sizeof key, "hbtest:%d:%s", getpid(), name);
	return key;
}

static int start(void **state)
{
	(void)state;
	proxy_set(proxy, PROXY_PASS);
	return cache_new("127.0.0.1", proxy_port(proxy), TIMEOUT_MS, &breaker, 4, &cache) == ERR_OK
		       ? 0
		       : -1;
}

static int end(void **state)
{
	(void)state;
	proxy_set(proxy, PROXY_PASS);
	cache_free(&cache);
	return 0;
}

static err_t get(const char *name, char *value, size_t room)
{
	size_t len = room - 1;
	err_t e = cache_get(cache, key_of(name), value, &len);

	if (e == ERR_OK)
		value[len] = 0;
	return e;
}

static err_t set(const char *name, const char *value)
{
	return cache_set(cache, key_of(name), value, strlen(value), 60);
}

static void what_is_set_is_got_until_deleted(void **state)
{
	(void)state;
	static const char bytes[] = "a\0b\r\nEND\r\n\xff";
	char value[64];
	size_t len = sizeof value;

	assert_int_equal(get("k", value, sizeof value), ERR_NOT_FOUND);
	assert_int_equal(cache_set(cache, key_of("k"), bytes, sizeof bytes, 60), ERR_OK);
	assert_int_equal(cache_get(cache, key_of("k"), value, &len), ERR_OK);
	assert_int_equal(len, sizeof bytes);
	assert_memory_equal(value, bytes, len);
	assert_int_equal(set("k", ""), ERR_OK);
	assert_int_equal(get("k", value, sizeof value), ERR_OK);
	assert_string_equal(value, "");
	assert_int_equal(cache_delete(cache, key_of("k")), ERR_OK);
	assert_int_equal(cache_delete(cache, key_of("k")), ERR_OK);
	assert_int_equal(get("k", value, sizeof value), ERR_NOT_FOUND);
}

static void a_value_larger_than_the_room_is_none(void **state)
{
	(void)state;
	char value[4];

	assert_int_equal(set("k", "four"), ERR_OK);
	assert_int_equal(get("k", value, sizeof value), ERR_NOT_FOUND);
	assert_int_equal(cache_delete(cache, key_of("k")), ERR_OK);
}

static void values_end_with_their_time(void **state)
{
	(void)state;
	char value[8];

	assert_int_equal(cache_set(cache, key_of("k"), "x", 1, 1), ERR_OK);
	assert_int_equal(get("k", value, sizeof value), ERR_OK);
	usleep(2200000);
	assert_int_equal(get("k", value, sizeof value), ERR_NOT_FOUND);
}

static void *count_hundred(void *ctx)
{
	uint64_t now;

	for (int i = 0; i < 100; i++)
		BUG_ON(cache_count(cache, ctx, 60, &now) != ERR_OK);
	return NULL;
}

static void a_counter_counts_all_threads(void **state)
{
	(void)state;
	pthread_t thread[4];
	char key[80];
	uint64_t now = 0;

	snprintf(key, sizeof key, "%s", key_of("n"));
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, count_hundred, key), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(cache_count(cache, key, 60, &now), ERR_OK);
	assert_int_equal(now, 401);
	assert_int_equal(cache_delete(cache, key), ERR_OK);
	assert_int_equal(cache_count(cache, key, 60, &now), ERR_OK);
	assert_int_equal(now, 1);
	assert_int_equal(cache_delete(cache, key), ERR_OK);
}

static void *append_hundred(void *ctx)
{
	for (int i = 0; i < 100; i++)
		BUG_ON(cache_append(cache, ctx, "ab", 2, 60) != ERR_OK);
	return NULL;
}

static void what_all_threads_append_is_there(void **state)
{
	(void)state;
	pthread_t thread[4];
	char key[80], value[1000];
	size_t len = sizeof value;
	uint64_t evictions = 1000;

	snprintf(key, sizeof key, "%s", key_of("list"));
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, append_hundred, key), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(cache_get(cache, key, value, &len), ERR_OK);
	assert_int_equal(len, 800);
	for (size_t i = 0; i < len; i += 2)
		assert_memory_equal(value + i, "ab", 2);
	assert_int_equal(cache_delete(cache, key), ERR_OK);
	assert_int_equal(cache_evictions(cache, &evictions), ERR_OK);
	assert_int_equal(evictions, 0);
}

static void a_stopped_server_costs_one_short_wait_and_then_nothing(void **state)
{
	(void)state;
	char value[8];

	assert_int_equal(set("k", "x"), ERR_OK);
	proxy_set(proxy, PROXY_FROZEN);
	int64_t began = clk_mono_ms();
	assert_int_equal(get("k", value, sizeof value), ERR_CACHE_UNAVAILABLE);
	assert_in_range(clk_mono_ms() - began, TIMEOUT_MS - 10, 2 * TIMEOUT_MS + 20);
	began = clk_mono_us();
	for (int i = 0; i < 100; i++)
		assert_int_equal(get("k", value, sizeof value), ERR_CACHE_UNAVAILABLE);
	assert_in_range(clk_mono_us() - began, 0, 5000);
	/* After the break one call tries; a new connection is as silent. */
	usleep(BREAK_MS * 1000 + 10000);
	began = clk_mono_ms();
	assert_int_equal(set("k", "y"), ERR_CACHE_UNAVAILABLE);
	assert_in_range(clk_mono_ms() - began, TIMEOUT_MS - 10, 3 * TIMEOUT_MS + 20);
	proxy_set(proxy, PROXY_PASS);
	usleep(BREAK_MS * 1000 + 10000);
	assert_int_equal(set("k", "z"), ERR_OK);
	assert_int_equal(get("k", value, sizeof value), ERR_OK);
	assert_string_equal(value, "z");
	assert_int_equal(cache_delete(cache, key_of("k")), ERR_OK);
}

struct caller {
	int64_t took_ms;
};

static void *get_once(void *ctx)
{
	struct caller *c = ctx;
	int64_t began = clk_mono_ms();
	char value[8];
	size_t len = sizeof value;

	BUG_ON(cache_get(cache, "hbtest:any", value, &len) != ERR_CACHE_UNAVAILABLE);
	c->took_ms = clk_mono_ms() - began;
	return NULL;
}

static void after_the_break_one_caller_tries_for_all(void **state)
{
	(void)state;
	struct caller c[8];
	pthread_t thread[8];
	unsigned slow = 0;
	char value[8];

	proxy_set(proxy, PROXY_FROZEN);
	assert_int_equal(get("k", value, sizeof value), ERR_CACHE_UNAVAILABLE);
	usleep(BREAK_MS * 1000 + 10000);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, get_once, &c[i]), 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(thread[i], NULL);
		slow += c[i].took_ms > TIMEOUT_MS / 2;
	}
	assert_int_equal(slow, 1);
}

static void a_late_answer_never_meets_another_question(void **state)
{
	(void)state;
	char value[8];

	assert_int_equal(set("a", "of a"), ERR_OK);
	assert_int_equal(set("b", "of b"), ERR_OK);
	proxy_set(proxy, PROXY_FROZEN);
	assert_int_equal(get("a", value, sizeof value), ERR_CACHE_UNAVAILABLE);
	proxy_set(proxy, PROXY_PASS);
	usleep(BREAK_MS * 1000 + 10000);
	assert_int_equal(get("b", value, sizeof value), ERR_OK);
	assert_string_equal(value, "of b");
}

static void a_cut_connection_is_one_failure(void **state)
{
	(void)state;
	assert_int_equal(set("k", "x"), ERR_OK);
	proxy_cut(proxy);
	assert_int_equal(set("k", "y"), ERR_CACHE_UNAVAILABLE);
	usleep(BREAK_MS * 1000 + 10000);
	assert_int_equal(set("k", "z"), ERR_OK);
}

/* A server that answers each get with the value of another key. */
static void *answer_wrongly(void *ctx)
{
	static const char answer[] = "VALUE hbtest:mine 0 14\r\nhbtest:other\0x\r\nEND\r\n";
	char buf[200];
	int fd = accept(*(int *)ctx, NULL, NULL);

	if (recv(fd, buf, sizeof buf, 0) > 0)
		BUG_ON(send(fd, answer, sizeof answer - 1, 0) < 0);
	usleep(100000);
	close(fd);
	return NULL;
}

static void the_value_of_another_key_is_refused(void **state)
{
	(void)state;
	struct sockaddr_in here = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof here;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	cache_t *c = NULL;
	pthread_t thread;
	char value[20];
	size_t len = sizeof value;

	assert_int_equal(bind(fd, (struct sockaddr *)&here, size), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &size), 0);
	assert_int_equal(pthread_create(&thread, NULL, answer_wrongly, &fd), 0);
	assert_int_equal(
		cache_new("127.0.0.1", ntohs(here.sin_port), 500, &breaker, 1, &c), ERR_OK);
	assert_int_equal(cache_get(c, "hbtest:mine", value, &len), ERR_CACHE_UNAVAILABLE);
	assert_int_equal(len, sizeof value);
	cache_free(&c);
	pthread_join(thread, NULL);
	close(fd);
}

static void connecting_where_nobody_answers_ends_in_time(void **state)
{
	(void)state;
	struct sockaddr_in here = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof here;
	int fd = socket(AF_INET, SOCK_STREAM, 0), filler[4];
	cache_t *c = NULL;

	/* A full accept queue drops what comes, as a dead host does. */
	assert_int_equal(bind(fd, (struct sockaddr *)&here, size), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &size), 0);
	for (int i = 0; i < 4; i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(filler[i], (struct sockaddr *)&here, size);
	}
	assert_int_equal(
		cache_new("127.0.0.1", ntohs(here.sin_port), TIMEOUT_MS, &breaker, 1, &c), ERR_OK);
	int64_t began = clk_mono_ms();
	assert_int_equal(cache_set(c, "hbtest:x", "x", 1, 1), ERR_CACHE_UNAVAILABLE);
	assert_in_range(clk_mono_ms() - began, 0, 3 * TIMEOUT_MS + 20);
	cache_free(&c);
	for (int i = 0; i < 4; i++)
		close(filler[i]);
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_set_is_got_until_deleted),
		T(a_value_larger_than_the_room_is_none),
		T(values_end_with_their_time),
		T(a_counter_counts_all_threads),
		T(what_all_threads_append_is_there),
		T(a_stopped_server_costs_one_short_wait_and_then_nothing),
		T(after_the_break_one_caller_tries_for_all),
		T(a_late_answer_never_meets_another_question),
		T(a_cut_connection_is_one_failure),
		T(the_value_of_another_key_is_refused),
		T(connecting_where_nobody_answers_ends_in_time),
	};

	logger_init("test_cache", "", 0, LOGGER_ERROR);
	server_from_env("HB_TEST_MEMCACHED", false, &server);
	proxy = proxy_start(&server);
	int failures = cmocka_run_group_tests_name("cache", tests, NULL, NULL);
	proxy_stop(&proxy);
	return failures;
}
