/* peer against listeners that answer nothing: what is sent where, and how many calls a hung cell holds. */
#include "base/clk.h"
#include "store/peer.h"
#include "tests/unit/finance_ring.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { TOTAL_MS = 1000, MOST = 2, SLOT_A = 1, SLOT_B = 501 };

static int listener;
static int8_t cells[1000];
static peer_target target;

/* The kernel takes connections and requests; nobody reads them. */
static int set_up(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	(void)state;
	for (unsigned slot = 500; slot < 1000; slot++)
		cells[slot] = 1;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	target = (peer_target){.connect_ms = 200,
		.total_ms = TOTAL_MS,
		.keys = finance_ring(FINANCE_KEY_1),
		.cell_of_slot = cells,
		.most = MOST};
	snprintf(target.urls, sizeof target.urls, "http://127.0.0.1:1,http://127.0.0.1:%d",
		ntohs(at.sin_port));
	return 0;
}

static int tear_down(void **state)
{
	keys_ring_t *keys = (keys_ring_t *)(uintptr_t)target.keys;
	(void)state;
	keys_free(&keys);
	close(listener);
	return 0;
}

static err_t call(const peer_target *t, unsigned slot)
{
	peer_answer a;
	peer_t *p;
	assert_int_equal(peer_new(t, &p), ERR_OK);
	const err_t e = peer_post(p, "/internal/v1/x/1", slot, "{}", 2, NULL, &a);
	peer_free(&p);
	return e;
}

static void *call_a(void *into)
{
	*(err_t *)into = call(&target, SLOT_A);
	return NULL;
}

static void where_nobody_is_another_address_is_asked(void **state)
{
	peer_target nobody = target;
	(void)state;
	assert_int_equal(call(&target, SLOT_A), ERR_OUTCOME_UNKNOWN); /* sent to the second */
	snprintf(nobody.urls, sizeof nobody.urls, "http://127.0.0.1:1,http://127.0.0.1:1");
	assert_int_equal(call(&nobody, SLOT_A), ERR_CELL_UNAVAILABLE);
}

static void a_cell_that_hangs_holds_so_many_calls_and_no_more(void **state)
{
	pthread_t thread[2 * MOST];
	err_t got[2 * MOST];
	unsigned refused = 0;
	(void)state;
	const int64_t start = clk_mono_ms();
	for (unsigned i = 0; i < 2 * MOST; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, call_a, &got[i]), 0);
	/* The other cell's have places of their own. */
	assert_int_equal(call(&target, SLOT_B), ERR_OUTCOME_UNKNOWN);
	for (unsigned i = 0; i < 2 * MOST; i++) {
		pthread_join(thread[i], NULL);
		refused += got[i] == ERR_CELL_UNAVAILABLE;
	}
	assert_int_equal(refused, MOST);
	/* All at once, and none after the other. */
	assert_in_range(clk_mono_ms() - start, TOTAL_MS - 50, 2 * TOTAL_MS - 50);
	assert_int_equal(
		call(&target, SLOT_A), ERR_OUTCOME_UNKNOWN); /* the places are free again */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_nobody_is_another_address_is_asked),
		cmocka_unit_test(a_cell_that_hangs_holds_so_many_calls_and_no_more),
	};
	return cmocka_run_group_tests_name("peer", tests, set_up, tear_down);
}
