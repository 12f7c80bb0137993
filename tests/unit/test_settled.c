/* settled: late claims are answered from memory, exactly, within the bound. */
#include "base/clk.h"
#include "domain/settled.h"
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

enum { MANY = 2000, THREADS = 4, ROUNDS = 20000, KEEP_MS = 600000 };

static settled_claim claim_for(uint64_t uid)
{
	return (settled_claim){.uid = uid,
		.claim_no = uid * 100000 + 1001,
		.amount_fen = (int64_t)uid + 5,
		.claimed_at_ms = 1700000000000 + (int64_t)uid,
		.index = (uint32_t)(uid % 1000)};
}

static void put(settled_t *s, uint64_t packet, claim_outcome others, uint32_t count)
{
	settled_claim *c = calloc(count + 1, sizeof(*c));

	assert_non_null(c);
	for (uint32_t i = 0; i < count; i++)
		c[i] = claim_for(2 * i + 1); /* odd users have claimed */
	settled_put(s, packet, others, 3, c, count);
	free(c);
}

static void claimers_get_their_claim_and_others_what_the_packet_says(void **state)
{
	settled_t *s = settled_new(64 << 20, KEEP_MS);
	claim_result r;

	(void)state;
	put(s, 77, CLAIM_EXPIRED, MANY);
	for (uint64_t uid = 0; uid < 2 * MANY + 2; uid++) {
		assert_true(settled_answer(s, 77, uid, &r));
		const bool has = uid % 2 == 1 && uid < 2 * MANY;
		assert_int_equal(r.outcome, has ? CLAIM_ALREADY : CLAIM_EXPIRED);
		assert_int_equal(r.remaining_count, 3);
		if (!has)
			continue;
		const settled_claim want = claim_for(uid);
		assert_int_equal(r.row.packet_id, 77);
		assert_int_equal(r.row.uid, uid);
		assert_int_equal(r.row.claim_no, want.claim_no);
		assert_int_equal(r.row.amount_fen, want.amount_fen);
		assert_int_equal(r.row.claimed_at_ms, want.claimed_at_ms);
		assert_int_equal(r.row.index, want.index);
		assert_int_equal(r.transfer, TRANSFER_END_PENDING);
	}
	settled_free(&s);
	assert_null(s);
}

static void a_packet_is_forgotten_when_its_time_is_over(void **state)
{
	settled_t *s = settled_new(64 << 20, 50);
	claim_result r;

	(void)state;
	put(s, 77, CLAIM_EXPIRED, 1);
	const int64_t put_ms = clk_mono_ms();
	const bool known = settled_answer(s, 77, 1, &r);
	assert_true(known || clk_mono_ms() - put_ms >= 50);
	while (settled_answer(s, 77, 1, &r))
		assert_true(clk_mono_ms() - put_ms < 10000);
	assert_true(clk_mono_ms() - put_ms >= 49);
	assert_int_equal(settled_bytes(s), 0);
	settled_free(&s);
}

static void a_packet_that_is_not_there_is_not_answered(void **state)
{
	settled_t *s = settled_new(64 << 20, KEEP_MS);
	claim_result r;

	(void)state;
	put(s, 77, CLAIM_EXHAUSTED, 10);
	assert_false(settled_answer(s, 78, 1, &r));
	settled_free(&s);
}

static void a_transfer_seen_done_stays_done_and_is_one_user_s(void **state)
{
	settled_t *s = settled_new(64 << 20, KEEP_MS);
	claim_result r;

	(void)state;
	put(s, 77, CLAIM_EXHAUSTED, 10);
	settled_transfer_end(s, 77, 3, TRANSFER_END_WALLET);
	settled_transfer_end(s, 77, 4, TRANSFER_END_WALLET); /* has no claim */
	settled_transfer_end(s, 99, 3, TRANSFER_END_WALLET); /* is not there */
	assert_true(settled_answer(s, 77, 3, &r) && r.transfer == TRANSFER_END_WALLET);
	assert_true(settled_answer(s, 77, 5, &r) && r.transfer == TRANSFER_END_PENDING);
	assert_true(settled_answer(s, 77, 4, &r) && r.outcome == CLAIM_EXHAUSTED);
	settled_free(&s);
}

static void memory_is_bounded_and_the_newest_use_stays(void **state)
{
	const size_t max = 16 * 100 * (SETTLED_PACKET_BYTES + 10 * SETTLED_CLAIM_BYTES);
	settled_t *s = settled_new(max, KEEP_MS);
	claim_result r;
	unsigned kept = 0;

	(void)state;
	put(s, 1, CLAIM_EXHAUSTED, 10);
	for (uint64_t p = 2; p < 20000; p++) {
		assert_true(settled_answer(s, 1, 1, &r));
		put(s, p, CLAIM_EXHAUSTED, 10);
		assert_true(settled_bytes(s) <= max);
	}
	for (uint64_t p = 1; p < 20000; p++)
		kept += settled_answer(s, p, 1, &r);
	assert_in_range(kept, 1500, 1600);
	assert_true(settled_answer(s, 1, 1, &r));
	assert_false(settled_answer(s, 2, 1, &r));
	settled_free(&s);
}

static void a_packet_over_the_bound_is_not_kept(void **state)
{
	settled_t *s = settled_new(16 * 1000, KEEP_MS);
	claim_result r;

	(void)state;
	put(s, 77, CLAIM_EXHAUSTED, 100);
	assert_false(settled_answer(s, 77, 1, &r));
	assert_int_equal(settled_bytes(s), 0);
	settled_free(&s);
}

static void the_same_packet_again_takes_the_room_once(void **state)
{
	settled_t *s = settled_new(64 << 20, KEEP_MS);
	const size_t one = SETTLED_PACKET_BYTES + 10 * SETTLED_CLAIM_BYTES;

	(void)state;
	put(s, 77, CLAIM_EXHAUSTED, 10);
	put(s, 77, CLAIM_EXHAUSTED, 10);
	assert_int_equal(settled_bytes(s), one);
	settled_free(&s);
}

static void *churn(void *arg)
{
	settled_t *s = arg;
	claim_result r;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		const uint64_t p = 1 + i % 50;
		if (i % 16 == 0)
			put(s, p, CLAIM_EXHAUSTED, 20);
		else if (settled_answer(s, p, i % 40, &r))
			assert_int_equal(
				r.outcome, i % 40 % 2 == 1 ? CLAIM_ALREADY : CLAIM_EXHAUSTED);
		if (i % 7 == 0)
			settled_transfer_end(s, p, i % 40, TRANSFER_END_WALLET);
	}
	return NULL;
}

static void threads_read_while_packets_come_and_go(void **state)
{
	settled_t *s =
		settled_new(16 * 3 * (SETTLED_PACKET_BYTES + 20 * SETTLED_CLAIM_BYTES), KEEP_MS);
	pthread_t thread[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, churn, s), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	settled_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claimers_get_their_claim_and_others_what_the_packet_says),
		cmocka_unit_test(a_packet_is_forgotten_when_its_time_is_over),
		cmocka_unit_test(a_packet_that_is_not_there_is_not_answered),
		cmocka_unit_test(a_transfer_seen_done_stays_done_and_is_one_user_s),
		cmocka_unit_test(memory_is_bounded_and_the_newest_use_stays),
		cmocka_unit_test(a_packet_over_the_bound_is_not_kept),
		cmocka_unit_test(the_same_packet_again_takes_the_room_once),
		cmocka_unit_test(threads_read_while_packets_come_and_go),
	};

	return cmocka_run_group_tests_name("settled", tests, NULL, NULL);
}
