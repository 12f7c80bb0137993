/* control: compare-and-set of a cell's record, on the etcd of HB_TEST_ETCD. The prefix carries the
 * process id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clk.h"
#include "base/logger.h"
#include "store/control.h"
#include "tests/unit/server_tests.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *etcd;
static char prefix[48], endpoints[300];
static proxy_t *proxy;
static unsigned run;

static control_t *open_control(const char *where, int64_t timeout_ms)
{
	control_t *c = NULL;

	assert_int_equal(control_new(where, prefix, timeout_ms, &c), ERR_OK);
	return c;
}

static control_record first_record(void)
{
	return (control_record){.epoch = 1,
		.primary = "east",
		.in_sync = {"east", "west"},
		.in_sync_count = 2,
		.protection = CONTROL_PROTECTED};
}

static int fresh(void **state)
{
	(void)state;
	proxy_set(proxy, PROXY_PASS);
	snprintf(prefix, sizeof prefix, "/hbtest%d-%u/", getpid(), run++);
	return 0;
}

static void a_record_is_written_once_and_read_back(void **state)
{
	(void)state;
	control_t *c = open_control(etcd, 2000);
	control_record w = first_record(), r;

	assert_int_equal(control_get(c, "A", &r), ERR_NOT_FOUND);
	assert_int_equal(control_put(c, "A", &w), ERR_OK);
	assert_true(w.revision > 0);
	assert_int_equal(control_get(c, "A", &r), ERR_OK);
	assert_memory_equal(&r, &w, sizeof r);
	assert_int_equal(control_get(c, "B", &r), ERR_NOT_FOUND);
	control_record again = first_record();
	assert_int_equal(control_put(c, "A", &again), ERR_CONTROL_CONFLICT);
	assert_int_equal(again.revision, 0);
	control_free(&c);
}

static void a_change_needs_the_latest_revision(void **state)
{
	(void)state;
	control_t *c = open_control(etcd, 2000);
	control_record a = first_record(), b, r;

	assert_int_equal(control_put(c, "A", &a), ERR_OK);
	b = a;
	a.epoch = 2;
	strcpy(a.primary, "west");
	a.in_sync_count = 0;
	memset(a.in_sync, 0, sizeof a.in_sync);
	a.protection = CONTROL_UNPROTECTED;
	a.change = CONTROL_MOVING;
	assert_int_equal(control_put(c, "A", &a), ERR_OK);
	assert_true(a.revision > b.revision);
	assert_int_equal(control_put(c, "A", &b), ERR_CONTROL_CONFLICT);
	assert_int_equal(control_get(c, "A", &r), ERR_OK);
	assert_memory_equal(&r, &a, sizeof r);
	a.change = CONTROL_STEADY;
	a.epoch = UINT32_MAX;
	assert_int_equal(control_put(c, "A", &a), ERR_OK); /* its own new revision */
	assert_int_equal(control_get(c, "A", &r), ERR_OK);
	assert_memory_equal(&r, &a, sizeof r);
	control_free(&c);
}

static void a_dead_endpoint_is_passed_over(void **state)
{
	(void)state;
	control_record w = first_record(), r;

	snprintf(endpoints, sizeof endpoints, "http://127.0.0.1:1,%s/", etcd);
	control_t *c = open_control(endpoints, 2000);
	assert_int_equal(control_put(c, "A", &w), ERR_OK);
	assert_int_equal(control_get(c, "A", &r), ERR_OK);
	control_free(&c);
	c = open_control("http://127.0.0.1:1", 2000);
	assert_int_equal(control_put(c, "A", &w), ERR_CONTROL_UNAVAILABLE);
	assert_int_equal(control_get(c, "A", &r), ERR_CONTROL_UNAVAILABLE);
	control_free(&c);
}

static void a_silent_endpoint_is_passed_over_when_reading(void **state)
{
	(void)state;
	control_record w = first_record(), r;

	snprintf(endpoints, sizeof endpoints, "http://127.0.0.1:%u,%s", proxy_port(proxy), etcd);
	control_t *c = open_control(endpoints, 300);
	assert_int_equal(control_put(c, "A", &w), ERR_OK);
	proxy_set(proxy, PROXY_FROZEN);
	int64_t start = clk_mono_ms();
	assert_int_equal(control_get(c, "A", &r), ERR_OK);
	assert_in_range(clk_mono_ms() - start, 140, 900); /* its share of the 300 ms, of two */
	start = clk_mono_ms();
	assert_int_equal(control_get(c, "A", &r), ERR_OK); /* not asked first again */
	assert_in_range(clk_mono_ms() - start, 0, 250);
	control_free(&c);
}

static void a_change_whose_answer_is_lost_is_unknown(void **state)
{
	(void)state;
	control_record w = first_record(), r;

	snprintf(endpoints, sizeof endpoints, "http://127.0.0.1:%u,%s", proxy_port(proxy), etcd);
	control_t *c = open_control(endpoints, 500);
	assert_int_equal(control_get(c, "A", &r), ERR_NOT_FOUND); /* a connection to be kept */
	proxy_set(proxy, PROXY_NO_ANSWER);
	assert_int_equal(control_put(c, "A", &w), ERR_OUTCOME_UNKNOWN);
	assert_int_equal(w.revision, 0);
	proxy_set(proxy, PROXY_PASS);
	assert_int_equal(control_get(c, "A", &r), ERR_OK);
	assert_int_equal(r.epoch, 1);
	control_free(&c);
}

static void *heal_and_cut(void *ctx)
{
	(void)ctx;
	usleep(200000);
	proxy_set(proxy, PROXY_PASS);
	proxy_cut(proxy);
	return NULL;
}

static void a_connection_cut_before_the_answer_does_not_send_a_change_twice(void **state)
{
	(void)state;
	control_record w = first_record(), r;
	pthread_t thread;

	snprintf(endpoints, sizeof endpoints, "http://127.0.0.1:%u", proxy_port(proxy));
	control_t *c = open_control(endpoints, 2000);
	assert_int_equal(control_get(c, "A", &r), ERR_NOT_FOUND); /* a connection to be kept */
	proxy_mute_after(proxy, "/v3/kv/txn");
	assert_int_equal(pthread_create(&thread, NULL, heal_and_cut, NULL), 0);
	assert_int_equal(control_put(c, "A", &w), ERR_OUTCOME_UNKNOWN);
	pthread_join(thread, NULL);
	assert_int_equal(control_get(c, "A", &r), ERR_OK);
	assert_int_equal(r.epoch, 1);
	control_free(&c);
}

static void a_change_does_not_need_the_kept_connection(void **state)
{
	(void)state;
	control_record w = first_record(), r;

	snprintf(endpoints, sizeof endpoints, "http://127.0.0.1:%u", proxy_port(proxy));
	control_t *c = open_control(endpoints, 2000);
	assert_int_equal(control_get(c, "A", &r), ERR_NOT_FOUND);
	proxy_cut(proxy);
	assert_int_equal(control_put(c, "A", &w), ERR_OK);
	control_free(&c);
}

static void endpoints_that_make_no_sense_are_refused(void **state)
{
	(void)state;
	control_t *c = NULL;

	assert_int_equal(control_new("", prefix, 100, &c), ERR_CONFIG_INVALID);
	assert_int_equal(control_new("http://a,,http://b", prefix, 100, &c), ERR_CONFIG_INVALID);
	assert_null(c);
}

#define T(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_record_is_written_once_and_read_back),
		T(a_change_needs_the_latest_revision),
		T(a_dead_endpoint_is_passed_over),
		T(a_silent_endpoint_is_passed_over_when_reading),
		T(a_change_whose_answer_is_lost_is_unknown),
		T(a_connection_cut_before_the_answer_does_not_send_a_change_twice),
		T(a_change_does_not_need_the_kept_connection),
		T(endpoints_that_make_no_sense_are_refused),
	};
	server_address server = {.host = "127.0.0.1"};

	logger_init("test_control", "", 0, LOGGER_ERROR);
	etcd = getenv("HB_TEST_ETCD");
	if (!etcd || sscanf(etcd, "http://127.0.0.1:%hu", &server.port) != 1) {
		printf("Bail out! HB_TEST_ETCD must be set to http://127.0.0.1:port\n");
		return 99;
	}
	proxy = proxy_start(&server);
	int failures = cmocka_run_group_tests_name("control", tests, NULL, NULL);
	proxy_stop(&proxy);
	return failures;
}
