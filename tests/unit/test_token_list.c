/* token_list: on the memcached of HB_TEST_MEMCACHED, through a proxy that can stop. Every test has
 * a user and a writer of its own, and time is what it says it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clk.h"
#include "base/logger.h"
#include "domain/token_list.h"
#include "tests/unit/files.h"
#include "tests/unit/server_tests.h"

enum { TIMEOUT_MS = 200, BREAK_MS = 50 };

static const breaker_conf breaker = {.of = BREAKER_MEMCACHED,
	.window_ms = 1000,
	.min_calls = 1,
	.error_percent = 100,
	.slow_percent = 100,
	.open_ms = BREAK_MS,
	.probes = 1};

static server_address server;
static proxy_t *proxy;
static cache_t *cache, *readers; /* the writer's through the proxy */
static keys_ring_t *keys;
static token_list_t *writer;
static uint64_t uid = 0;
static int64_t now; /* later in each test than all the tests before ever said */

static token_list_entry entry[TOKEN_LIST_MAX];
static size_t count;

static bool complete(unsigned writers)
{
	bool whole;
	assert_int_equal(
		token_list_read(readers, keys, writers, uid, now, entry, &count, &whole), ERR_OK);
	return whole;
}

static int start(void **state)
{
	(void)state;
	now += 60000;
	uid++;
	assert_int_equal(cache_delete(readers, "tl:live:1"), ERR_OK);
	writer = token_list_new(cache, 1, now);
	return 0;
}

static int end(void **state)
{
	(void)state;
	proxy_set(proxy, PROXY_PASS);
	usleep((BREAK_MS + TIMEOUT_MS) * 1000);
	token_list_free(&writer);
	return 0;
}

static err_t win(unsigned k)
{
	token_win w = {.uid = uid,
		.subsidy_id = 1000 + k,
		.campaign = 1,
		.amount_fen = 100 + k,
		.expires_at_ms = now + 1000};
	char token[TOKEN_TEXT_BYTES];

	snprintf(w.out_order_no, sizeof(w.out_order_no), "1.1.%u.%llu", k, (unsigned long long)uid);
	token_seal(keys, &w, token);
	return token_list_put(writer, uid, token, now);
}

static void drained(int64_t until_ms)
{
	assert_int_equal(token_list_drained(readers, until_ms), ERR_OK);
}

static void wins_are_listed_once_in_order_and_the_list_is_complete(void **state)
{
	(void)state;
	token_list_keep(writer, now, false);
	drained(now += 1000);
	for (unsigned k = 0; k < 3; k++)
		assert_int_equal(win(k), ERR_OK);
	assert_int_equal(win(1), ERR_OK);
	assert_true(complete(1));
	assert_int_equal(count, 3);
	for (unsigned k = 0; k < 3; k++)
		assert_int_equal(entry[k].win.amount_fen, 100 + k);
	token_win opened;
	assert_int_equal(token_open(keys, uid, entry[2].token, &opened), ERR_OK);
}

static void nothing_is_complete_before_the_consumer_has_caught_up_with_the_writer(void **state)
{
	(void)state;
	drained(now);
	token_list_keep(writer, now, false);
	assert_false(complete(1));
	drained(now + TOKEN_LIST_SKEW_MS);
	assert_true(complete(1));
	assert_false(complete(2));
}

static void a_win_is_found_by_its_number_since_its_round(void **state)
{
	(void)state;
	token_win found;
	char no[TOKEN_OUT_ORDER_BYTES];
	now = (now / 86400000 + 1) * 86400000 - 2000;
	int64_t since = now;
	assert_int_equal(win(1), ERR_OK);
	assert_int_equal(win(2), ERR_OK);
	snprintf(no, sizeof(no), "1.1.2.%llu", (unsigned long long)uid);
	assert_true(token_list_find(writer, keys, uid, no, since, now, &found));
	assert_int_equal(found.amount_fen, 102);
	now += 5000;
	assert_true(token_list_find(writer, keys, uid, no, since, now, &found));
	assert_false(token_list_find(writer, keys, uid, no, now, now, &found));
	assert_false(token_list_find(writer, keys, uid + 1, no, since, now, &found));
	no[4] = '3';
	assert_false(token_list_find(writer, keys, uid, no, since, now, &found));
	now += (int64_t)TOKEN_LIST_DAYS * 86400000;
	no[4] = '2';
	assert_false(token_list_find(writer, keys, uid, no, since, now, &found));
}

static void a_writer_is_believed_for_a_short_while(void **state)
{
	(void)state;
	token_list_keep(writer, now, false);
	drained(now += TOKEN_LIST_BELIEVED_MS);
	assert_true(complete(1));
	now++;
	assert_false(complete(1));
}

static void a_win_from_before_midnight_is_listed_while_it_may_be_unconsumed(void **state)
{
	(void)state;
	now = (now / 86400000 + 1) * 86400000 - 2000;
	token_list_keep(writer, now - 1000, false);
	drained(now);
	assert_int_equal(win(1), ERR_OK);
	now += 5000;
	token_list_keep(writer, now, false);
	assert_true(complete(1));
	assert_int_equal(count, 1);
	drained(now);
	assert_true(complete(1));
	assert_int_equal(count, 0);
}

static void a_consumer_too_far_behind_makes_no_complete_list(void **state)
{
	(void)state;
	token_list_keep(writer, now, false);
	drained(now + 1000);
	now += (int64_t)TOKEN_LIST_DAYS * 86400000 + 2000;
	token_list_keep(writer, now, false);
	assert_false(complete(1));
}

static void a_win_that_cannot_be_put_waits_until_nobody_believes_the_list(void **state)
{
	(void)state;
	token_list_keep(writer, now, false);
	drained(now + 1000);
	proxy_set(proxy, PROXY_FROZEN);
	now += 1000;
	assert_int_equal(win(1), ERR_CACHE_UNAVAILABLE);
	assert_true(complete(1)); /* so the win may not be answered yet */
	assert_int_equal(token_list_hold_ms(writer, now), 1000);
	proxy_set(proxy, PROXY_PASS);
	usleep(2 * BREAK_MS * 1000);
	token_list_keep(writer, now, false); /* memcached is back, the hole is not closed */
	assert_int_equal(token_list_hold_ms(writer, now), 1000);
	now += 1000;
	assert_int_equal(token_list_hold_ms(writer, now), 0);
	assert_false(complete(1));
	token_list_keep(writer, now, false);
	assert_false(complete(1)); /* before the consumer has passed the hole */
	drained(now + TOKEN_LIST_SKEW_MS);
	assert_true(complete(1));
}

static void a_memcached_born_again_is_complete_only_from_then_on(void **state)
{
	(void)state;
	token_list_keep(writer, now, false);
	drained(now += 1000);
	assert_int_equal(win(1), ERR_OK);
	assert_true(complete(1));
	assert_int_equal(cache_delete(readers, "tl:birth"), ERR_OK);
	assert_false(complete(1));
	token_list_keep(writer, now, false);
	assert_false(complete(1));
	drained(now + TOKEN_LIST_SKEW_MS);
	assert_true(complete(1));
}

static void after_an_orderly_end_the_next_takes_over_and_after_a_crash_begins_anew(void **state)
{
	(void)state;
	token_list_keep(writer, now, false);
	drained(now + 1000);
	now += 2000;
	token_list_keep(writer, now, true);
	token_list_free(&writer);
	now += 5000;
	assert_true(complete(1));
	writer = token_list_new(cache, 1, now);
	token_list_keep(writer, now, false);
	assert_true(complete(1));
	token_list_free(&writer);
	now += TOKEN_LIST_BELIEVED_MS + 1;
	assert_false(complete(1));
	writer = token_list_new(cache, 1, now);
	token_list_keep(writer, now, false);
	assert_false(complete(1));
}

static void a_new_writer_that_cannot_look_holds_for_the_one_before(void **state)
{
	(void)state;
	assert_int_equal(token_list_hold_ms(writer, now), TOKEN_LIST_LEFT_MS + TOKEN_LIST_SKEW_MS);
	token_list_keep(writer, now, false);
	assert_int_equal(
		token_list_hold_ms(writer, now), TOKEN_LIST_BELIEVED_MS + TOKEN_LIST_SKEW_MS);
}

static void what_others_put_there_is_no_money_and_makes_no_complete_list(void **state)
{
	(void)state;
	char key[64];
	token_list_keep(writer, now, false);
	drained(now += 1000);
	snprintf(key, sizeof(key), "tl:%llu:%lld", (unsigned long long)uid,
		(long long)(now / 86400000));
	assert_int_equal(cache_append(readers, key, "hbs1.AAAA\n", 10, 60), ERR_OK);
	assert_false(complete(1));
	assert_int_equal(count, 0);
}

static void more_than_a_list_holds_is_not_complete(void **state)
{
	(void)state;
	token_list_keep(writer, now, false);
	drained(now += 1000);
	for (unsigned k = 0; k < TOKEN_LIST_MAX; k++)
		assert_int_equal(win(k), ERR_OK);
	assert_true(complete(1));
	assert_int_equal(count, TOKEN_LIST_MAX);
	assert_int_equal(win(TOKEN_LIST_MAX), ERR_OK);
	assert_false(complete(1));
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(wins_are_listed_once_in_order_and_the_list_is_complete),
		T(nothing_is_complete_before_the_consumer_has_caught_up_with_the_writer),
		T(a_win_is_found_by_its_number_since_its_round),
		T(a_writer_is_believed_for_a_short_while),
		T(a_win_from_before_midnight_is_listed_while_it_may_be_unconsumed),
		T(a_consumer_too_far_behind_makes_no_complete_list),
		T(a_win_that_cannot_be_put_waits_until_nobody_believes_the_list),
		T(a_memcached_born_again_is_complete_only_from_then_on),
		T(after_an_orderly_end_the_next_takes_over_and_after_a_crash_begins_anew),
		T(a_new_writer_that_cannot_look_holds_for_the_one_before),
		T(what_others_put_there_is_no_money_and_makes_no_complete_list),
		T(more_than_a_list_holds_is_not_complete),
	};
	const char *dir = files_dir();

	logger_init("test_token_list", "", 0, LOGGER_ERROR);
	server_from_env("HB_TEST_MEMCACHED", false, &server);
	proxy = proxy_start(&server);
	assert_int_equal(keys_init(), ERR_OK);
	assert_int_equal(keys_load(files_write(dir, "k", 0400,
					   "k1 "
					   "000102030405060708090a0b0c0d0e0f101112131415161718191a1"
					   "b1c1d1e1f\n"),
				 &keys),
		ERR_OK);
	files_remove_dir(dir);
	uid = (uint64_t)getpid() * 1000;
	now = clk_wall_ms();
	assert_int_equal(
		cache_new("127.0.0.1", proxy_port(proxy), TIMEOUT_MS, &breaker, 2, &cache), ERR_OK);
	assert_int_equal(
		cache_new(server.host, server.port, TIMEOUT_MS, &breaker, 2, &readers), ERR_OK);
	int failures = cmocka_run_group_tests_name("token_list", tests, NULL, NULL);
	(void)!cache_delete(readers, "tl:live:1");
	(void)!cache_delete(readers, "tl:birth");
	(void)!cache_delete(readers, "tl:done");
	cache_free(&cache);
	cache_free(&readers);
	keys_free(&keys);
	proxy_stop(&proxy);
	return failures;
}
