/* Why: the executors of all lanes share one table of sets, under eviction. What must hold: the
 * right shares for the right packet, a set that somebody holds outlives its eviction, and a seed
 * opens only for the number that it was sealed for. */
#include "base/keys.h"
#include "domain/shares.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { COUNT = 10, TOTAL = 10000, SEED_ID = 9001001, THREADS = 4 };

static keys_ring_t *ring;
static char folder[] = "/tmp/hb-shares-XXXXXX";

typedef struct {
	uint8_t sealed[32 + KEYS_SEAL_OVERHEAD];
	shares_source src;
} packet_t;

static packet_t *packet_new(const shares_t *s, uint64_t packet_id, uint8_t seed_byte)
{
	packet_t *p = calloc(1, sizeof *p);
	uint8_t seed[32];
	memset(seed, seed_byte, sizeof seed);
	shares_seal(s, SEED_ID, seed, p->sealed);
	p->src = (shares_source){.packet_id = packet_id,
		.seed_id = SEED_ID,
		.total_fen = TOTAL,
		.count = COUNT,
		.kind = SPLIT_LUCKY,
		.sealed = p->sealed,
		.sealed_len = sizeof p->sealed,
		.nonce = "n",
		.nonce_len = 1};
	return p;
}

static void assert_right(const shares_set_t *set, uint64_t packet_id, uint8_t seed_byte)
{
	split_input in = {.packet_id = packet_id,
		.total_fen = TOTAL,
		.count = COUNT,
		.kind = SPLIT_LUCKY,
		.nonce = "n",
		.nonce_len = 1};
	memset(in.seed, seed_byte, sizeof in.seed);
	int64_t want[COUNT];
	split_shares(&in, want);
	assert_int_equal(set->packet_id, packet_id);
	assert_int_equal(set->count, COUNT);
	assert_memory_equal(set->fen, want, sizeof want);
}

static void a_sealed_seed_gives_the_shares_and_stays_in_memory(void **state)
{
	(void)state;
	shares_t *s = shares_new(ring, 1 << 20);
	packet_t *p = packet_new(s, 1, 7);
	assert_null(shares_peek(s, 1));
	const shares_set_t *set, *again;
	assert_int_equal(shares_acquire(s, &p->src, &set), ERR_OK);
	assert_right(set, 1, 7);
	again = shares_peek(s, 1);
	assert_ptr_equal(set, again);
	shares_release(s, &again);
	shares_release(s, &set);
	assert_null(set);
	free(p);
	shares_free(&s);
}

static void the_seed_opens_for_its_own_number_only(void **state)
{
	(void)state;
	shares_t *s = shares_new(ring, 1 << 20);
	packet_t *p = packet_new(s, 1, 7);
	uint8_t seed[32], want[32];
	memset(want, 7, sizeof want);
	assert_int_equal(shares_unseal(s, &p->src, seed), ERR_OK);
	assert_memory_equal(seed, want, sizeof want);
	p->src.seed_id++;
	const shares_set_t *set;
	assert_int_equal(shares_unseal(s, &p->src, seed), ERR_TOKEN_INVALID);
	assert_int_equal(shares_acquire(s, &p->src, &set), ERR_TOKEN_INVALID);
	p->src.seed_id--;
	p->src.sealed_len--;
	assert_int_equal(shares_unseal(s, &p->src, seed), ERR_TOKEN_INVALID);
	p->src.sealed_len++;
	p->sealed[40] ^= 1;
	assert_int_equal(shares_unseal(s, &p->src, seed), ERR_TOKEN_INVALID);
	free(p);
	shares_free(&s);
}

static void the_least_recently_used_set_leaves_and_a_held_one_stays_readable(void **state)
{
	(void)state;
	shares_t *s = shares_new(ring, 700); /* room for three */
	const shares_set_t *held = NULL;
	for (uint8_t i = 1; i <= 20; i++) {
		packet_t *p = packet_new(s, i, i);
		const shares_set_t *set;
		assert_int_equal(shares_acquire(s, &p->src, &set), ERR_OK);
		assert_right(set, i, i);
		if (i == 1)
			held = set;
		else
			shares_release(s, &set);
		free(p);
	}
	assert_null(shares_peek(s, 1));
	assert_right(held, 1, 1);
	shares_release(s, &held);
	const shares_set_t *last = shares_peek(s, 20);
	assert_non_null(last);
	shares_release(s, &last);
	shares_free(&s);
}

static void a_set_larger_than_the_table_is_given_all_the_same(void **state)
{
	(void)state;
	shares_t *s = shares_new(ring, 1);
	packet_t *p = packet_new(s, 5, 5);
	const shares_set_t *set;
	assert_int_equal(shares_acquire(s, &p->src, &set), ERR_OK);
	assert_right(set, 5, 5);
	assert_null(shares_peek(s, 5));
	shares_release(s, &set);
	free(p);
	shares_free(&s);
}

static void *run(void *ctx)
{
	shares_t *s = ctx;
	for (unsigned i = 0; i < 2000; i++) {
		const uint8_t n = (uint8_t)(1 + i * 7 % 11);
		packet_t *p = packet_new(s, n, n);
		const shares_set_t *set;
		if (shares_acquire(s, &p->src, &set) != ERR_OK || set->packet_id != n)
			return "wrong";
		int64_t sum = 0;
		for (unsigned k = 0; k < COUNT; k++)
			sum += set->fen[k];
		shares_release(s, &set);
		free(p);
		if (sum != TOTAL)
			return "wrong";
	}
	return NULL;
}

static void threads_share_the_table_under_eviction(void **state)
{
	(void)state;
	shares_t *s = shares_new(ring, 700);
	pthread_t thread[THREADS];
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run, s), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;
		pthread_join(thread[i], &wrong);
		assert_null(wrong);
	}
	shares_free(&s);
}

static int start(void **state)
{
	(void)state;
	char path[64];
	if (keys_init() != ERR_OK || !mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/seal.keys", folder);
	FILE *f = fopen(path, "w");
	if (!f)
		return -1;
	fprintf(f, "k1 %064d\n", 7);
	fclose(f);
	if (chmod(path, 0400) != 0 || keys_load(path, &ring) != ERR_OK)
		return -1;
	unlink(path);
	return rmdir(folder);
}

static int end(void **state)
{
	(void)state;
	keys_free(&ring);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sealed_seed_gives_the_shares_and_stays_in_memory),
		cmocka_unit_test(the_seed_opens_for_its_own_number_only),
		cmocka_unit_test(the_least_recently_used_set_leaves_and_a_held_one_stays_readable),
		cmocka_unit_test(a_set_larger_than_the_table_is_given_all_the_same),
		cmocka_unit_test(threads_share_the_table_under_eviction),
	};
	return cmocka_run_group_tests_name("shares", tests, start, end);
}
