/* The lanes over a store that misbehaves on demand. */
#include "tests/unit/lane_fake.h"

#include <stdlib.h>
#include <string.h>

static void test_each_claim_gets_its_own_result(void **state)
{
	fake *f = fake_new(10);
	lanes_conf k = fake_conf(f);
	lanes_t *l = fake_lanes(&k);
	caller c[30];
	int claimed = 0;
	bool seen[11] = {0};

	(void)state;
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		caller_start(&c[i], l, 3, i);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		caller_join(&c[i]);
		assert_int_equal(c[i].err, ERR_OK);
		if (c[i].result.outcome == CLAIM_EXHAUSTED)
			continue;
		assert_int_equal(c[i].result.outcome, CLAIM_CLAIMED);
		assert_int_equal(c[i].result.row.uid, i);
		assert_false(seen[c[i].result.row.index]);
		seen[c[i].result.row.index] = true;
		claimed++;
	}
	assert_int_equal(claimed, 10);
	lanes_free(&l);
	free(f);
}

static void test_claims_keep_their_order_of_arrival(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	lanes_t *l = fake_lanes(&k);
	caller first, c[20];

	(void)state;
	caller_hold(f, l, &first, 1, 99);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		caller_start(&c[i], l, 1, i);
		UNTIL(lanes_waiting(l) == 2 + i);
	}
	f->hold = false;
	caller_expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		caller_expect(&c[i], CLAIM_CLAIMED);
		assert_int_equal(c[i].result.row.index, 99 - i);
	}
	assert_int_equal(f->runs, 2);
	lanes_free(&l);
	free(f);
}

static void test_the_same_user_twice_gets_one_share_and_two_answers(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	lanes_t *l = fake_lanes(&k);
	caller first, a, b;

	(void)state;
	caller_hold(f, l, &first, 1, 99);
	caller_start(&a, l, 1, 7);
	UNTIL(lanes_waiting(l) == 2);
	caller_start(&b, l, 1, 7);
	UNTIL(lanes_waiting(l) == 3);
	f->hold = false;
	caller_expect(&first, CLAIM_CLAIMED);
	caller_expect(&a, CLAIM_CLAIMED);
	caller_expect(&b, CLAIM_ALREADY);
	assert_int_equal(a.result.row.claim_no, b.result.row.claim_no);
	assert_int_equal(f->left[1], 98);
	lanes_free(&l);
	free(f);
}

static void test_a_hot_lane_does_not_crowd_out_the_others(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	k.executors = 1;
	k.batch_max = 16;
	lanes_t *l = fake_lanes(&k);
	caller first, hot[40], other[5];
	int most_hot = 0;

	(void)state;
	caller_hold(f, l, &first, 0, 99);
	for (unsigned i = 0; i < UNIT_COUNT(hot); i++)
		caller_start(&hot[i], l, 1, i);
	UNTIL(lanes_waiting(l) == 41);
	for (unsigned i = 0; i < UNIT_COUNT(other); i++)
		caller_start(&other[i], l, 2 + (int)i, 1);
	UNTIL(lanes_waiting(l) == 46);
	f->delay_us = 400000;
	f->hold = false;
	caller_expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(other); i++)
		caller_expect(&other[i], CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(hot); i++)
		most_hot += hot[i].done;
	assert_true(most_hot <= 16);
	for (unsigned i = 0; i < UNIT_COUNT(hot); i++)
		caller_expect(&hot[i], CLAIM_CLAIMED);
	assert_int_equal(f->most_items, 16);
	assert_int_equal(f->most_parts, 6);
	lanes_free(&l);
	free(f);
}

static void unknown_is_found_out(bool applied)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	lanes_t *l = fake_lanes(&k);
	caller c;

	f->unknown = 3;
	f->applied = applied;
	caller_start(&c, l, 1, 5);
	caller_expect(&c, CLAIM_CLAIMED);
	assert_int_equal(f->claim_no[1][5], c.result.row.claim_no);
	assert_int_equal(f->runs, 4);
	assert_int_equal(f->left[1], 99);
	lanes_free(&l);
	free(f);
}

static void test_an_unknown_commit_that_happened_is_claimed(void **state)
{
	(void)state;
	unknown_is_found_out(true);
}

static void test_an_unknown_commit_that_did_not_happen_is_done_again(void **state)
{
	(void)state;
	unknown_is_found_out(false);
}

static void test_what_stays_unknown_is_told_so_and_resolved_before_new_work(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	k.executors = 1;
	k.wait_ms = 200;
	lanes_t *l = fake_lanes(&k);
	caller a, again, other;

	(void)state;
	f->applied = true;
	f->unknown = 1000000;
	caller_start(&a, l, 1, 5);
	caller_join(&a);
	assert_int_equal(a.err, ERR_OUTCOME_UNKNOWN);
	caller_start(&again, l, 1, 5);
	caller_start(&other, l, 2, 6);
	caller_join(&other);
	assert_int_equal(other.err, ERR_CELL_UNAVAILABLE);
	assert_int_equal(f->claim_no[2][6], 0);
	caller_join(&again);
	assert_int_equal(again.err, ERR_OUTCOME_UNKNOWN);
	f->unknown = 0;
	do {
		caller_start(&again, l, 1, 5);
		caller_join(&again);
	} while (again.err == ERR_OUTCOME_UNKNOWN);
	assert_int_equal(again.err, ERR_OK);
	assert_int_equal(again.result.outcome, CLAIM_ALREADY);
	assert_int_equal(f->left[1], 99);
	lanes_free(&l);
	free(f);
}

static void test_an_unresolved_packet_locked_by_its_dead_session_is_waited_for(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	lanes_t *l = fake_lanes(&k);
	caller a;

	(void)state;
	f->applied = true;
	f->stuck = 4;
	f->unknown = 1;
	caller_start(&a, l, 1, 5);
	caller_expect(&a, CLAIM_CLAIMED);
	assert_int_equal(f->runs, 6);
	assert_int_equal(f->left[1], 99);
	lanes_free(&l);
	free(f);
}

static void test_a_bad_packet_hurts_only_itself(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	k.executors = 1;
	lanes_t *l = fake_lanes(&k);
	caller first, bad, good[5];

	(void)state;
	caller_hold(f, l, &first, 0, 1);
	caller_start(&bad, l, 1, 1);
	for (unsigned i = 0; i < UNIT_COUNT(good); i++)
		caller_start(&good[i], l, 2 + (int)i, 1);
	UNTIL(lanes_waiting(l) == 7);
	f->bad_packet = 1;
	f->hold = false;
	caller_expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(good); i++)
		caller_expect(&good[i], CLAIM_CLAIMED);
	caller_join(&bad);
	assert_int_equal(bad.err, ERR_DB_FAILED);
	lanes_free(&l);
	free(f);
}

static unsigned packets_claimed(fake *f, int from, int to, uint64_t uid)
{
	unsigned n = 0;

	pthread_mutex_lock(&f->lock);
	for (int p = from; p <= to; p++)
		n += f->claim_no[p][uid] != 0;
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* Each commit that stays unknown holds a connection at the server. */
static void test_packet_by_packet_ends_at_the_first_unknown(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	k.executors = 1;
	lanes_t *l = fake_lanes(&k);
	caller first, bad, good[5];

	(void)state;
	caller_hold(f, l, &first, 0, 1);
	caller_start(&bad, l, 1, 1);
	for (unsigned i = 0; i < UNIT_COUNT(good); i++)
		caller_start(&good[i], l, 2 + (int)i, 1);
	UNTIL(lanes_waiting(l) == 7);
	f->bad_packet = 1;
	f->unknown_from = 2;
	f->applied = true;
	f->unknown = 1000000;
	f->hold = false;
	caller_expect(&first, CLAIM_CLAIMED);
	UNTIL(f->runs >= 10);
	assert_int_equal(packets_claimed(f, 2, 6, 1), 1);
	f->unknown = 0;
	for (unsigned i = 0; i < UNIT_COUNT(good); i++)
		caller_expect(&good[i], CLAIM_CLAIMED);
	caller_join(&bad);
	lanes_free(&l);
	free(f);
}

static void errors_pass(err_t err, int times)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	lanes_t *l = fake_lanes(&k);
	caller c;

	f->err = err;
	f->err_count = times;
	caller_start(&c, l, 1, 5);
	caller_expect(&c, CLAIM_CLAIMED);
	assert_int_equal(f->runs, times + 1);
	lanes_free(&l);
	free(f);
}

static void test_a_deadlock_or_a_lost_connection_is_tried_again(void **state)
{
	(void)state;
	errors_pass(ERR_DB_RETRY, 2);
	errors_pass(ERR_DB_LOST, 1);
}

static void test_an_unavailable_cell_fails_all_at_once(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	k.executors = 1;
	lanes_t *l = fake_lanes(&k);
	caller first, c[10];

	(void)state;
	caller_hold(f, l, &first, 0, 1);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		caller_start(&c[i], l, 1 + (int)i, 1);
	UNTIL(lanes_waiting(l) == 11);
	f->err = ERR_CELL_UNAVAILABLE;
	f->err_count = 1000;
	f->hold = false;
	caller_join(&first);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		caller_join(&c[i]);
		assert_int_equal(c[i].err, ERR_CELL_UNAVAILABLE);
	}
	assert_int_equal(f->runs, 2);
	lanes_free(&l);
	free(f);
}

static void test_a_packet_locked_elsewhere_does_not_stall_the_others(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	k.executors = 1;
	lanes_t *l = fake_lanes(&k);
	caller a, b, c;

	(void)state;
	f->locked = 1;
	caller_start(&a, l, 1, 1);
	UNTIL(lanes_waiting(l) == 1);
	caller_start(&b, l, 1, 2);
	UNTIL(lanes_waiting(l) == 2);
	for (int i = 0; i < 20; i++) {
		caller_start(&c, l, 2, (uint64_t)i);
		caller_expect(&c, CLAIM_CLAIMED);
	}
	assert_false(a.done);
	f->locked = -1;
	caller_expect(&a, CLAIM_CLAIMED);
	caller_expect(&b, CLAIM_CLAIMED);
	assert_int_equal(a.result.row.index, 100);
	assert_int_equal(b.result.row.index, 99);
	lanes_free(&l);
	free(f);
}

static void test_a_packet_that_stays_locked_is_busy_in_the_end(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	k.wait_ms = 150;
	lanes_t *l = fake_lanes(&k);
	caller a;

	(void)state;
	f->locked = 1;
	caller_start(&a, l, 1, 1);
	caller_join(&a);
	assert_int_equal(a.err, ERR_PACKET_BUSY);
	assert_int_equal(f->claim_no[1][1], 0);
	lanes_free(&l);
	free(f);
}

static void test_a_full_lane_and_too_many_for_what_remains_are_busy(void **state)
{
	fake *f = fake_new(8);
	lanes_conf k = fake_conf(f);
	k.lane_max = 20;
	k.admission = (admission_conf){.percent = 150, .floor = 3};
	lanes_t *l = fake_lanes(&k);
	caller first, c[30];
	int busy = 0;

	(void)state;
	caller_hold(f, l, &first, 1, 99);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		caller_start(&c[i], l, 1, i);
	UNTIL(caller_done(c, 30) == 11 && lanes_waiting(l) == 20);
	f->hold = false;
	caller_expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		caller_join(&c[i]);
		busy += c[i].err == ERR_PACKET_BUSY;
	}
	assert_int_equal(busy, 11); /* 20 inside with the first; nothing known yet */
	caller_hold(f, l, &first, 1, 98);
	for (unsigned i = 0; i < 5; i++)
		caller_start(&c[i], l, 1, 100 + i);
	UNTIL(caller_done(c, 5) == 3 && lanes_waiting(l) == 3);
	f->hold = false;
	caller_expect(&first, CLAIM_EXHAUSTED);
	busy = 0;
	for (unsigned i = 0; i < 5; i++) {
		caller_join(&c[i]);
		busy += c[i].err == ERR_PACKET_BUSY;
	}
	assert_int_equal(busy, 3); /* the floor of 3, nothing remains */
	caller_start(&first, l, 1, 97);
	caller_expect(&first, CLAIM_EXHAUSTED);
	lanes_free(&l);
	free(f);
}

static void test_lanes_are_bounded_and_idle_ones_are_dropped(void **state)
{
	fake *f = fake_new(8);
	lanes_conf k = fake_conf(f);
	k.executors = 1;
	k.lanes_max = 4;
	k.idle_ms = 100;
	lanes_t *l = fake_lanes(&k);
	caller first, c[5];
	uint32_t remaining;
	int busy = 0;

	(void)state;
	caller_hold(f, l, &first, 0, 1);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		caller_start(&c[i], l, 1 + (int)i, 1);
	UNTIL(caller_done(c, 5) == 2 && lanes_waiting(l) == 4);
	f->hold = false;
	caller_expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		caller_join(&c[i]);
		busy += c[i].err == ERR_PACKET_BUSY;
	}
	assert_int_equal(busy, 2);
	for (int p = 10; p < 20; p++) {
		caller_start(&first, l, p, 1);
		caller_expect(&first, CLAIM_CLAIMED);
	}
	assert_true(lanes_remaining(l, fake_packet_id(19), &remaining));
	assert_int_equal(remaining, 7);
	assert_false(lanes_remaining(l, fake_packet_id(10), &remaining));
	for (int i = 0; i < 100 && lanes_remaining(l, fake_packet_id(19), &remaining); i++)
		usleep(10000);
	assert_false(lanes_remaining(l, fake_packet_id(19), &remaining));
	lanes_free(&l);
	free(f);
}

static void test_the_end_answers_everyone_who_was_let_in(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = fake_conf(f);
	lanes_t *l = fake_lanes(&k);
	caller c[30];

	(void)state;
	f->hold = true;
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		caller_start(&c[i], l, (int)i % 5, i);
	UNTIL(lanes_waiting(l) == 30);
	f->delay_us = 2000;
	f->hold = false;
	lanes_free(&l);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		caller_expect(&c[i], CLAIM_CLAIMED);
	free(f);
}

/* ---- a storm of faults ---- */

typedef struct {
	pthread_t thread;
	fake *f;
	lanes_t *l;
	unsigned seed;
	int first_user, users;
	bool acked[PACKETS][USERS];
	bool maybe[PACKETS][USERS];
	uint64_t no[PACKETS][USERS];
} storm;

static void *storm_main(void *arg)
{
	storm *s = arg;

	for (int i = 0; i < 600; i++) {
		const int p = rand_r(&s->seed) % PACKETS;
		const int u = s->first_user + rand_r(&s->seed) % s->users;
		claim_result r;
		const err_t err = lanes_claim(s->l, fake_packet_id(p), (uint64_t)u, 0, 1, &r);
		if (err == ERR_OUTCOME_UNKNOWN)
			s->maybe[p][u] = true;
		if (err != ERR_OK || r.outcome == CLAIM_EXHAUSTED)
			continue;
		if (r.outcome == CLAIM_ALREADY && !s->acked[p][u] && !s->maybe[p][u])
			s->no[p][u] =
				UINT64_MAX; /* somebody took this user's share: caught below */
		else if (s->no[p][u] == 0)
			s->no[p][u] = r.row.claim_no;
		else if (s->no[p][u] != r.row.claim_no)
			s->no[p][u] = UINT64_MAX;
		s->acked[p][u] = true;
	}
	return NULL;
}

static void test_a_storm_of_faults_loses_and_doubles_nothing(void **state)
{
	enum { THREADS = 16, SHARES = 30 };
	fake *f = fake_new(SHARES);
	lanes_conf k = fake_conf(f);
	k.executors = 3;
	k.wait_ms = 100;
	k.lanes_max = 60;
	lanes_t *l = fake_lanes(&k);
	storm *s = calloc(THREADS, sizeof(*s));

	(void)state;
	assert_non_null(s);
	print_message("# seed %u\n", f->seed);
	f->chaos = 12;
	for (int i = 0; i < THREADS; i++) {
		s[i] = (storm){.f = f, .l = l, .seed = f->seed + (unsigned)i};
		s[i].first_user = i * (USERS / THREADS);
		s[i].users = USERS / THREADS;
		pthread_create(&s[i].thread, NULL, storm_main, &s[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(s[i].thread, NULL);
	f->chaos = 0;
	lanes_free(&l);
	for (int p = 0; p < PACKETS; p++) {
		bool used[SHARES + 1] = {0};
		uint32_t rows = 0;
		for (int u = 0; u < USERS; u++) {
			const storm *t = &s[u / (USERS / THREADS)];
			if (t->acked[p][u])
				assert_int_equal(t->no[p][u], f->claim_no[p][u]);
			else if (!t->maybe[p][u])
				assert_int_equal(f->claim_no[p][u], 0);
			if (f->claim_no[p][u] == 0)
				continue;
			assert_false(used[f->index[p][u]]);
			used[f->index[p][u]] = true;
			rows++;
		}
		assert_int_equal(rows + f->left[p], SHARES);
	}
	assert_int_equal(f->overlaps, 0);
	free(s);
	free(f);
}

typedef struct {
	claim_ticket ticket;
	_Atomic unsigned *answers, *claimed;
} ticket_of_ours;

static void count_ticket(claim_ticket *t)
{
	const ticket_of_ours *o = t->ctx;

	atomic_fetch_add(o->claimed, t->err == ERR_OK && t->result.outcome == CLAIM_CLAIMED);
	memset(t, 0xee, sizeof(*t)); /* its memory is ours again */
	atomic_fetch_add(o->answers, 1);
}

static void test_claims_without_a_thread_are_answered_once_each(void **state)
{
	enum { TICKETS = 300, SHARES = 100 };
	static ticket_of_ours t[TICKETS];
	_Atomic unsigned answers = 0, claimed = 0;
	fake *f = fake_new(SHARES);
	lanes_conf k = fake_conf(f);

	(void)state;
	k.gather_us = 2000;
	f->delay_us = 500;
	lanes_t *l = fake_lanes(&k);
	for (unsigned i = 0; i < TICKETS; i++) {
		t[i] = (ticket_of_ours){.answers = &answers, .claimed = &claimed};
		t[i].ticket.done = count_ticket;
		t[i].ticket.ctx = &t[i];
		while (lanes_submit(l, fake_packet_id(3), i, 0, 0, &t[i].ticket) == ERR_PACKET_BUSY)
			usleep(200);
	}
	UNTIL(answers == TICKETS);
	assert_int_equal(claimed, SHARES);
	assert_int_equal(lanes_waiting(l), 0);
	lanes_free(&l);
	assert_int_equal(answers, TICKETS);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims_without_a_thread_are_answered_once_each),
		cmocka_unit_test(test_each_claim_gets_its_own_result),
		cmocka_unit_test(test_claims_keep_their_order_of_arrival),
		cmocka_unit_test(test_the_same_user_twice_gets_one_share_and_two_answers),
		cmocka_unit_test(test_a_hot_lane_does_not_crowd_out_the_others),
		cmocka_unit_test(test_an_unknown_commit_that_happened_is_claimed),
		cmocka_unit_test(test_an_unknown_commit_that_did_not_happen_is_done_again),
		cmocka_unit_test(test_what_stays_unknown_is_told_so_and_resolved_before_new_work),
		cmocka_unit_test(
			test_an_unresolved_packet_locked_by_its_dead_session_is_waited_for),
		cmocka_unit_test(test_a_bad_packet_hurts_only_itself),
		cmocka_unit_test(test_packet_by_packet_ends_at_the_first_unknown),
		cmocka_unit_test(test_a_deadlock_or_a_lost_connection_is_tried_again),
		cmocka_unit_test(test_an_unavailable_cell_fails_all_at_once),
		cmocka_unit_test(test_a_packet_locked_elsewhere_does_not_stall_the_others),
		cmocka_unit_test(test_a_packet_that_stays_locked_is_busy_in_the_end),
		cmocka_unit_test(test_a_full_lane_and_too_many_for_what_remains_are_busy),
		cmocka_unit_test(test_lanes_are_bounded_and_idle_ones_are_dropped),
		cmocka_unit_test(test_the_end_answers_everyone_who_was_let_in),
		cmocka_unit_test(test_a_storm_of_faults_loses_and_doubles_nothing),
	};

	return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
