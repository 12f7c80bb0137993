/* The lanes over a store in memory that can be slow, fail, and lose the answer of its commit. */
#include "base/clk.h"
#include "domain/lane.h"
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PACKETS = 40, USERS = 400, EXECUTORS_MAX = 4 };

typedef struct {
	pthread_mutex_t lock;
	uint32_t left[PACKETS];
	uint64_t claim_no[PACKETS][USERS];
	uint32_t index[PACKETS][USERS];
	uint64_t numbers;
	/* what it is told to do */
	_Atomic bool hold;      /* every run waits */
	_Atomic int bad_packet; /* fails every batch that it is in; -1: none */
	_Atomic int locked;     /* a packet locked elsewhere; -1: none */
	_Atomic int stuck;      /* so many runs after an unknown one find its packets locked */
	_Atomic int err_count;  /* so many runs return `err` without effect */
	_Atomic int unknown;    /* so many runs return UNKNOWN ... */
	_Atomic bool applied;   /* ... after having applied the batch, or not */
	_Atomic unsigned chaos; /* percent of runs in which something goes wrong */
	_Atomic int delay_us;
	err_t err;
	/* what it saw */
	_Atomic int runs, running, most_items, most_parts, overlaps;
	_Atomic int inside[EXECUTORS_MAX];
	int first_parts; /* of the first run that was not held back */
	unsigned seed;
} fake;

static uint64_t packet_id(int p)
{
	return (uint64_t)p * 100000 + 1000;
}

static int packet_of(uint64_t id)
{
	return (int)(id / 100000);
}

static void fake_part(fake *f, lane_part *part)
{
	const int p = packet_of(part->packet_id);

	for (unsigned i = 0; i < part->count; i++) {
		lane_item *it = &part->item[i];
		claim_result *r = &it->result;
		uint64_t *no = &f->claim_no[p][it->uid];
		if (*no) {
			r->outcome = *no == it->claim_no ? CLAIM_CLAIMED : CLAIM_ALREADY;
		} else if (f->left[p] == 0) {
			r->outcome = CLAIM_EXHAUSTED;
		} else {
			if (it->claim_no == 0)
				it->claim_no = ++f->numbers;
			*no = it->claim_no;
			f->index[p][it->uid] = f->left[p]--;
			r->outcome = CLAIM_CLAIMED;
		}
		r->row = (claim_row){.packet_id = part->packet_id,
			.uid = it->uid,
			.claim_no = *no,
			.index = f->index[p][it->uid]};
	}
	part->known = true;
	part->remaining = f->left[p];
}

static unsigned dice(fake *f)
{
	return (unsigned)rand_r(&f->seed) % 100;
}

static void fake_number(fake *f, lane_batch *b)
{
	for (unsigned i = 0; i < b->parts; i++) {
		for (unsigned k = 0; k < b->part[i].count; k++) {
			lane_item *it = &b->part[i].item[k];
			if (it->claim_no == 0)
				it->claim_no = ++f->numbers;
		}
	}
}

static err_t fake_commit(fake *f, lane_batch *b)
{
	const bool wrong = f->chaos > 0 && dice(f) < f->chaos;
	const int fault = wrong ? (int)dice(f) % 6 : -1;
	static const err_t errors[] = {ERR_DB_RETRY, ERR_DB_LOST, ERR_DB_FAILED, ERR_DB_RETRY};

	for (unsigned i = 0; i < b->parts; i++) {
		if (packet_of(b->part[i].packet_id) == f->bad_packet)
			return ERR_DB_FAILED;
	}
	if (f->err_count > 0) {
		f->err_count--;
		return f->err;
	}
	if (fault >= 0 && fault < 4)
		return errors[fault];
	const bool unknown = f->unknown > 0 || fault >= 4;
	if (f->unknown > 0)
		f->unknown--;
	if (unknown && !(fault == 4 || (fault < 0 && f->applied))) {
		fake_number(f, b);
		return ERR_OUTCOME_UNKNOWN;
	}
	const bool stuck = !unknown && f->stuck > 0;
	f->stuck -= stuck;
	for (unsigned i = 0; i < b->parts; i++) {
		if (stuck || packet_of(b->part[i].packet_id) == f->locked ||
			(f->chaos > 0 && dice(f) < f->chaos / 2))
			b->part[i].elsewhere = true;
		else
			fake_part(f, &b->part[i]);
	}
	return unknown ? ERR_OUTCOME_UNKNOWN : ERR_OK;
}

static err_t fake_run(void *ctx, unsigned executor, lane_batch *b)
{
	fake *f = ctx;
	int items = 0;

	for (unsigned i = 0; i < b->parts; i++)
		items += (int)b->part[i].count;
	f->running++;
	if (f->inside[executor]++ != 0)
		f->overlaps++;
	while (f->hold)
		usleep(200);
	if (f->delay_us > 0)
		usleep((unsigned)f->delay_us);
	pthread_mutex_lock(&f->lock);
	if (items > f->most_items)
		f->most_items = items;
	if ((int)b->parts > f->most_parts)
		f->most_parts = (int)b->parts;
	f->runs++;
	const err_t err = fake_commit(f, b);
	pthread_mutex_unlock(&f->lock);
	f->inside[executor]--;
	f->running--;
	return err;
}

static fake *fake_new(uint32_t shares)
{
	fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	pthread_mutex_init(&f->lock, NULL);
	f->bad_packet = f->locked = -1;
	f->seed = (unsigned)clk_mono_us();
	for (int p = 0; p < PACKETS; p++)
		f->left[p] = shares;
	return f;
}

static lanes_conf conf_of(fake *f)
{
	return (lanes_conf){.store = {fake_run, f},
		.executors = 2,
		.batch_max = 64,
		.lane_max = 1000,
		.lanes_max = 100,
		.idle_ms = 5000,
		.wait_ms = 4000,
		.admission = {.percent = 150, .floor = 1000}};
}

static lanes_t *lanes_of(const lanes_conf *c)
{
	lanes_t *l = NULL;

	assert_int_equal(lanes_new(c, &l), ERR_OK);
	return l;
}

/* One claim on a thread of its own. */
typedef struct {
	pthread_t thread;
	lanes_t *lanes;
	int packet;
	uint64_t uid;
	err_t err;
	claim_result result;
	_Atomic bool done;
} caller;

static void *caller_main(void *arg)
{
	caller *c = arg;

	c->err = lanes_claim(c->lanes, packet_id(c->packet), c->uid, 0, 1, &c->result);
	c->done = true;
	return NULL;
}

static void call(caller *c, lanes_t *l, int packet, uint64_t uid)
{
	*c = (caller){.lanes = l, .packet = packet, .uid = uid};
	assert_int_equal(pthread_create(&c->thread, NULL, caller_main, c), 0);
}

static unsigned done_of(const caller *c, unsigned n)
{
	unsigned done = 0;

	for (unsigned i = 0; i < n; i++)
		done += c[i].done;
	return done;
}

static void joined(caller *c)
{
	pthread_join(c->thread, NULL);
}

static void expect(caller *c, claim_outcome outcome)
{
	joined(c);
	assert_int_equal(c->err, ERR_OK);
	assert_int_equal(c->result.outcome, outcome);
}

/* Waits for something that must come soon. */
#define UNTIL(cond)                                                                                \
	do {                                                                                       \
		for (int tries_ = 0; !(cond) && tries_ < 50000; tries_++)                          \
			usleep(200);                                                               \
		assert_true(cond);                                                                 \
	} while (0)

/* The executor of the packet is held in a run, with `c` in it. */
static void hold_with(fake *f, lanes_t *l, caller *c, int packet, uint64_t uid)
{
	f->hold = true;
	call(c, l, packet, uid);
	UNTIL(f->running > 0);
}

/* ---- cases ---- */

static void test_each_claim_gets_its_own_result(void **state)
{
	fake *f = fake_new(10);
	lanes_conf k = conf_of(f);
	lanes_t *l = lanes_of(&k);
	caller c[30];
	int claimed = 0;
	bool seen[11] = {0};

	(void)state;
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		call(&c[i], l, 3, i);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		joined(&c[i]);
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
	lanes_conf k = conf_of(f);
	lanes_t *l = lanes_of(&k);
	caller first, c[20];

	(void)state;
	hold_with(f, l, &first, 1, 99);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		call(&c[i], l, 1, i);
		UNTIL(lanes_waiting(l) == 2 + i);
	}
	f->hold = false;
	expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		expect(&c[i], CLAIM_CLAIMED);
		assert_int_equal(c[i].result.row.index, 99 - i);
	}
	assert_int_equal(f->runs, 2);
	lanes_free(&l);
	free(f);
}

static void test_the_same_user_twice_gets_one_share_and_two_answers(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = conf_of(f);
	lanes_t *l = lanes_of(&k);
	caller first, a, b;

	(void)state;
	hold_with(f, l, &first, 1, 99);
	call(&a, l, 1, 7);
	UNTIL(lanes_waiting(l) == 2);
	call(&b, l, 1, 7);
	UNTIL(lanes_waiting(l) == 3);
	f->hold = false;
	expect(&first, CLAIM_CLAIMED);
	expect(&a, CLAIM_CLAIMED);
	expect(&b, CLAIM_ALREADY);
	assert_int_equal(a.result.row.claim_no, b.result.row.claim_no);
	assert_int_equal(f->left[1], 98);
	lanes_free(&l);
	free(f);
}

static void test_a_hot_lane_does_not_crowd_out_the_others(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = conf_of(f);
	k.executors = 1;
	k.batch_max = 16;
	lanes_t *l = lanes_of(&k);
	caller first, hot[40], other[5];
	int most_hot = 0;

	(void)state;
	hold_with(f, l, &first, 0, 99);
	for (unsigned i = 0; i < UNIT_COUNT(hot); i++)
		call(&hot[i], l, 1, i);
	UNTIL(lanes_waiting(l) == 41);
	for (unsigned i = 0; i < UNIT_COUNT(other); i++)
		call(&other[i], l, 2 + (int)i, 1);
	UNTIL(lanes_waiting(l) == 46);
	f->delay_us = 50000;
	f->hold = false;
	expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(other); i++)
		expect(&other[i], CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(hot); i++)
		most_hot += hot[i].done;
	assert_true(most_hot <= 16);
	for (unsigned i = 0; i < UNIT_COUNT(hot); i++)
		expect(&hot[i], CLAIM_CLAIMED);
	assert_int_equal(f->most_items, 16);
	assert_int_equal(f->most_parts, 6);
	lanes_free(&l);
	free(f);
}

static void unknown_is_found_out(bool applied)
{
	fake *f = fake_new(100);
	lanes_conf k = conf_of(f);
	lanes_t *l = lanes_of(&k);
	caller c;

	f->unknown = 3;
	f->applied = applied;
	call(&c, l, 1, 5);
	expect(&c, CLAIM_CLAIMED);
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
	lanes_conf k = conf_of(f);
	k.executors = 1;
	k.wait_ms = 200;
	lanes_t *l = lanes_of(&k);
	caller a, again, other;

	(void)state;
	f->applied = true;
	f->unknown = 1000000;
	call(&a, l, 1, 5);
	joined(&a);
	assert_int_equal(a.err, ERR_OUTCOME_UNKNOWN);
	call(&again, l, 1, 5);
	call(&other, l, 2, 6);
	joined(&other);
	assert_int_equal(other.err, ERR_CELL_UNAVAILABLE);
	assert_int_equal(f->claim_no[2][6], 0);
	joined(&again);
	f->unknown = 0;
	do {
		call(&again, l, 1, 5);
		joined(&again);
	} while (again.err == ERR_CELL_UNAVAILABLE);
	assert_int_equal(again.err, ERR_OK);
	assert_int_equal(again.result.outcome, CLAIM_ALREADY);
	assert_int_equal(f->left[1], 99);
	lanes_free(&l);
	free(f);
}

static void test_an_unresolved_packet_locked_by_its_dead_session_is_waited_for(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = conf_of(f);
	lanes_t *l = lanes_of(&k);
	caller a;

	(void)state;
	f->applied = true;
	f->stuck = 4;
	f->unknown = 1;
	call(&a, l, 1, 5);
	expect(&a, CLAIM_CLAIMED);
	assert_int_equal(f->runs, 6);
	assert_int_equal(f->left[1], 99);
	lanes_free(&l);
	free(f);
}

static void test_a_bad_packet_hurts_only_itself(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = conf_of(f);
	k.executors = 1;
	lanes_t *l = lanes_of(&k);
	caller first, bad, good[5];

	(void)state;
	hold_with(f, l, &first, 0, 1);
	call(&bad, l, 1, 1);
	for (unsigned i = 0; i < UNIT_COUNT(good); i++)
		call(&good[i], l, 2 + (int)i, 1);
	UNTIL(lanes_waiting(l) == 7);
	f->bad_packet = 1;
	f->hold = false;
	expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(good); i++)
		expect(&good[i], CLAIM_CLAIMED);
	joined(&bad);
	assert_int_equal(bad.err, ERR_DB_FAILED);
	lanes_free(&l);
	free(f);
}

static void errors_pass(err_t err, int times)
{
	fake *f = fake_new(100);
	lanes_conf k = conf_of(f);
	lanes_t *l = lanes_of(&k);
	caller c;

	f->err = err;
	f->err_count = times;
	call(&c, l, 1, 5);
	expect(&c, CLAIM_CLAIMED);
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
	lanes_conf k = conf_of(f);
	k.executors = 1;
	lanes_t *l = lanes_of(&k);
	caller first, c[10];

	(void)state;
	hold_with(f, l, &first, 0, 1);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		call(&c[i], l, 1 + (int)i, 1);
	UNTIL(lanes_waiting(l) == 11);
	f->err = ERR_CELL_UNAVAILABLE;
	f->err_count = 1000;
	f->hold = false;
	joined(&first);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		joined(&c[i]);
		assert_int_equal(c[i].err, ERR_CELL_UNAVAILABLE);
	}
	assert_int_equal(f->runs, 2);
	lanes_free(&l);
	free(f);
}

static void test_a_packet_locked_elsewhere_does_not_stall_the_others(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = conf_of(f);
	k.executors = 1;
	lanes_t *l = lanes_of(&k);
	caller a, b, c;

	(void)state;
	f->locked = 1;
	call(&a, l, 1, 1);
	UNTIL(lanes_waiting(l) == 1);
	call(&b, l, 1, 2);
	UNTIL(lanes_waiting(l) == 2);
	for (int i = 0; i < 20; i++) {
		call(&c, l, 2, (uint64_t)i);
		expect(&c, CLAIM_CLAIMED);
	}
	assert_false(a.done);
	f->locked = -1;
	expect(&a, CLAIM_CLAIMED);
	expect(&b, CLAIM_CLAIMED);
	assert_int_equal(a.result.row.index, 100);
	assert_int_equal(b.result.row.index, 99);
	lanes_free(&l);
	free(f);
}

static void test_a_packet_that_stays_locked_is_busy_in_the_end(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = conf_of(f);
	k.wait_ms = 150;
	lanes_t *l = lanes_of(&k);
	caller a;

	(void)state;
	f->locked = 1;
	call(&a, l, 1, 1);
	joined(&a);
	assert_int_equal(a.err, ERR_PACKET_BUSY);
	assert_int_equal(f->claim_no[1][1], 0);
	lanes_free(&l);
	free(f);
}

static void test_a_full_lane_and_too_many_for_what_remains_are_busy(void **state)
{
	fake *f = fake_new(8);
	lanes_conf k = conf_of(f);
	k.lane_max = 20;
	k.admission = (admission_conf){.percent = 150, .floor = 3};
	lanes_t *l = lanes_of(&k);
	caller first, c[30];
	int busy = 0;

	(void)state;
	hold_with(f, l, &first, 1, 99);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		call(&c[i], l, 1, i);
	UNTIL(done_of(c, 30) == 11 && lanes_waiting(l) == 20);
	f->hold = false;
	expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		joined(&c[i]);
		busy += c[i].err == ERR_PACKET_BUSY;
	}
	assert_int_equal(busy, 11); /* 20 inside with the first; nothing known yet */
	hold_with(f, l, &first, 1, 98);
	for (unsigned i = 0; i < 5; i++)
		call(&c[i], l, 1, 100 + i);
	UNTIL(done_of(c, 5) == 3 && lanes_waiting(l) == 3);
	f->hold = false;
	expect(&first, CLAIM_EXHAUSTED);
	busy = 0;
	for (unsigned i = 0; i < 5; i++) {
		joined(&c[i]);
		busy += c[i].err == ERR_PACKET_BUSY;
	}
	assert_int_equal(busy, 3); /* the floor of 3, nothing remains */
	call(&first, l, 1, 97);
	expect(&first, CLAIM_EXHAUSTED);
	lanes_free(&l);
	free(f);
}

static void test_lanes_are_bounded_and_idle_ones_are_dropped(void **state)
{
	fake *f = fake_new(8);
	lanes_conf k = conf_of(f);
	k.executors = 1;
	k.lanes_max = 4;
	k.idle_ms = 100;
	lanes_t *l = lanes_of(&k);
	caller first, c[5];
	uint32_t remaining;
	int busy = 0;

	(void)state;
	hold_with(f, l, &first, 0, 1);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		call(&c[i], l, 1 + (int)i, 1);
	UNTIL(done_of(c, 5) == 2 && lanes_waiting(l) == 4);
	f->hold = false;
	expect(&first, CLAIM_CLAIMED);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++) {
		joined(&c[i]);
		busy += c[i].err == ERR_PACKET_BUSY;
	}
	assert_int_equal(busy, 2);
	for (int p = 10; p < 20; p++) {
		call(&first, l, p, 1);
		expect(&first, CLAIM_CLAIMED);
	}
	assert_true(lanes_remaining(l, packet_id(19), &remaining));
	assert_int_equal(remaining, 7);
	assert_false(lanes_remaining(l, packet_id(10), &remaining));
	for (int i = 0; i < 100 && lanes_remaining(l, packet_id(19), &remaining); i++)
		usleep(10000);
	assert_false(lanes_remaining(l, packet_id(19), &remaining));
	lanes_free(&l);
	free(f);
}

static void test_the_end_answers_everyone_who_was_let_in(void **state)
{
	fake *f = fake_new(100);
	lanes_conf k = conf_of(f);
	lanes_t *l = lanes_of(&k);
	caller c[30];

	(void)state;
	f->hold = true;
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		call(&c[i], l, (int)i % 5, i);
	UNTIL(lanes_waiting(l) == 30);
	f->delay_us = 2000;
	f->hold = false;
	lanes_free(&l);
	for (unsigned i = 0; i < UNIT_COUNT(c); i++)
		expect(&c[i], CLAIM_CLAIMED);
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
		const err_t err = lanes_claim(s->l, packet_id(p), (uint64_t)u, 0, 1, &r);
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
	lanes_conf k = conf_of(f);
	k.executors = 3;
	k.wait_ms = 100;
	k.lanes_max = 60;
	lanes_t *l = lanes_of(&k);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
