#include "tests/unit/lane_fake.h"

#include "base/clk.h"

#include <stdlib.h>

uint64_t fake_packet_id(int p)
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
	const bool told = f->unknown > 0 && packet_of(b->part[0].packet_id) >= f->unknown_from;
	const bool unknown = told || fault >= 4;
	f->unknown -= told;
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

fake *fake_new(uint32_t shares)
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

lanes_conf fake_conf(fake *f)
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

lanes_t *fake_lanes(const lanes_conf *c)
{
	lanes_t *l = NULL;

	assert_int_equal(lanes_new(c, &l), ERR_OK);
	return l;
}

static void *caller_main(void *arg)
{
	caller *c = arg;

	c->err = lanes_claim(c->lanes, fake_packet_id(c->packet), c->uid, 0, 1, &c->result);
	c->done = true;
	return NULL;
}

void caller_start(caller *c, lanes_t *l, int packet, uint64_t uid)
{
	*c = (caller){.lanes = l, .packet = packet, .uid = uid};
	assert_int_equal(pthread_create(&c->thread, NULL, caller_main, c), 0);
}

unsigned caller_done(const caller *c, unsigned n)
{
	unsigned done = 0;

	for (unsigned i = 0; i < n; i++)
		done += c[i].done;
	return done;
}

void caller_join(caller *c)
{
	pthread_join(c->thread, NULL);
}

void caller_expect(caller *c, claim_outcome outcome)
{
	caller_join(c);
	assert_int_equal(c->err, ERR_OK);
	assert_int_equal(c->result.outcome, outcome);
}

void caller_hold(fake *f, lanes_t *l, caller *c, int packet, uint64_t uid)
{
	f->hold = true;
	caller_start(c, l, packet, uid);
	UNTIL(f->running > 0);
}
