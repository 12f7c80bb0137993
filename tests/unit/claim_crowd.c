#include "tests/unit/claim_crowd.h"

#include "base/clk.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TOLD_MS = 20000 };

static const uint32_t shares[CROWD_PACKETS] = {1, 3, 5};

static void answered(claim_ticket *t)
{
	crowd_ask *a = t->ctx;
	crowd *c = a->crowd;
	int64_t retry_ms;

	a->err = claim_collect(t, &retry_ms, &a->result);
	pthread_mutex_lock(&c->lock);
	if (--c->waiting == 0)
		pthread_cond_signal(&c->answered);
	pthread_mutex_unlock(&c->lock);
}

/* The packets' users in turn, so that a batch has several of each; the second asking comes last. */
crowd *crowd_new(claim_fixture *f, claim_service_t *s)
{
	crowd *c = calloc(1, sizeof(*c));
	unsigned n = 0;

	assert_non_null(c);
	c->f = f;
	c->service = s;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->answered, NULL);
	fixture_run(f, "START TRANSACTION");
	for (unsigned p = 0; p < CROWD_PACKETS; p++)
		c->packet[p] = fixture_packet_new(
			f, &(fixture_packet){.count = shares[p], .total_fen = shares[p] * 70});
	fixture_run(f, "COMMIT");
	for (uint32_t round = 0; n < CROWD_ASKS; round++) {
		for (unsigned p = 0; p < CROWD_PACKETS; p++) {
			if (round > shares[p] + 1)
				continue;
			const uint64_t uid = round == shares[p] + 1 ? 1 : round + 1;
			c->ask[n++] = (crowd_ask){
				.crowd = c, .packet_id = c->packet[p], .uid = 7000 + uid};
		}
	}
	return c;
}

void crowd_free(crowd **c)
{
	pthread_cond_destroy(&(*c)->answered);
	pthread_mutex_destroy(&(*c)->lock);
	free(*c);
	*c = NULL;
}

static err_t ask_once(claim_service_t *s, const crowd_ask *a, claim_result *out)
{
	int64_t retry_ms;

	return claim_open(s, a->packet_id, a->uid, 0, FIXTURE_NOW + 1, &retry_ms, out);
}

void crowd_start(crowd *c)
{
	int64_t retry_ms;

	c->waiting = claim_defers(c->service) ? CROWD_ASKS : 0;
	for (unsigned i = 0; i < CROWD_ASKS; i++) {
		crowd_ask *a = &c->ask[i];
		a->ticket = (claim_ticket){.done = answered, .ctx = a};
		if (c->waiting == 0)
			a->err = ask_once(c->service, a, &a->result);
		else
			assert_int_equal(claim_submit(c->service, a->packet_id, a->uid, 0,
						 FIXTURE_NOW + 1, &retry_ms, &a->ticket),
				ERR_OK);
	}
}

void crowd_wait(crowd *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->waiting > 0)
		pthread_cond_wait(&c->answered, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

/* As a client does: a refusal for now is asked again. */
static claim_result ask_until_told(claim_service_t *s, const crowd_ask *a)
{
	const int64_t until = clk_mono_ms() + TOLD_MS;
	claim_result r;
	err_t err;

	while ((err = ask_once(s, a, &r)) != ERR_OK) {
		assert_true(err_retryable(err) && clk_mono_ms() < until);
		usleep(5000);
	}
	return r;
}

static bool has_claim(const crowd_ask *a)
{
	return a->err == ERR_OK &&
	       (a->result.outcome == CLAIM_CLAIMED || a->result.outcome == CLAIM_ALREADY);
}

void crowd_expect_all_served(const crowd *c)
{
	unsigned said[CLAIM_NOT_ELIGIBLE + 1] = {0}, total = 0;

	for (unsigned i = 0; i < CROWD_ASKS; i++) {
		assert_int_equal(c->ask[i].err, ERR_OK);
		said[c->ask[i].result.outcome]++;
	}
	for (unsigned p = 0; p < CROWD_PACKETS; p++)
		total += shares[p];
	assert_int_equal(said[CLAIM_CLAIMED], total);
	assert_int_equal(said[CLAIM_ALREADY], CROWD_PACKETS);
	assert_int_equal(said[CLAIM_EXHAUSTED], CROWD_PACKETS);
}

unsigned crowd_count(const crowd *c, err_t err)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CROWD_ASKS; i++)
		n += c->ask[i].err == err;
	return n;
}

static void same_claim(const claim_row *a, const claim_row *b)
{
	assert_int_equal(a->claim_no, b->claim_no);
	assert_int_equal(a->amount_fen, b->amount_fen);
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->claimed_at_ms, b->claimed_at_ms);
}

/* One user's asks of one packet together, against the row. True: the row is there. */
static bool check_user(const crowd *c, const crowd_ask *of, claim_row *row)
{
	bool told = false, doubt = false;
	unsigned claimed = 0;
	const err_t found = claim_find(c->f->db, of->packet_id, of->uid, row);

	for (unsigned i = 0; i < CROWD_ASKS; i++) {
		const crowd_ask *a = &c->ask[i];
		if (a->packet_id != of->packet_id || a->uid != of->uid)
			continue;
		doubt = doubt || a->err == ERR_OUTCOME_UNKNOWN;
		claimed += a->err == ERR_OK && a->result.outcome == CLAIM_CLAIMED;
		if (!has_claim(a))
			continue;
		told = true;
		assert_int_equal(found, ERR_OK);
		same_claim(&a->result.row, row);
	}
	assert_true(claimed <= 1);
	if (!told && !doubt)
		assert_int_equal(found, ERR_NOT_FOUND);
	return found == ERR_OK;
}

/* The result of a repeat, against the row that is there by now. */
static void check_repeat(const crowd *c, const crowd_ask *of, const claim_result *r)
{
	claim_row row;
	const err_t found = claim_find(c->f->db, of->packet_id, of->uid, &row);

	if (r->outcome == CLAIM_EXHAUSTED) {
		assert_int_equal(found, ERR_NOT_FOUND);
		return;
	}
	assert_true(r->outcome == CLAIM_CLAIMED || r->outcome == CLAIM_ALREADY);
	assert_int_equal(found, ERR_OK);
	same_claim(&r->row, &row);
}

void crowd_check(const crowd *c, claim_service_t *again)
{
	bool had[CROWD_ASKS];
	claim_row row[CROWD_ASKS];

	for (unsigned i = 0; i < CROWD_ASKS; i++)
		had[i] = check_user(c, &c->ask[i], &row[i]);
	for (unsigned i = 0; i < CROWD_ASKS; i++) {
		const claim_result r = ask_until_told(again, &c->ask[i]);
		check_repeat(c, &c->ask[i], &r);
		if (!had[i])
			continue;
		assert_int_equal(r.outcome, CLAIM_ALREADY);
		same_claim(&r.row, &row[i]);
	}
	for (unsigned p = 0; p < CROWD_PACKETS; p++)
		assert_int_equal(fixture_value(c->f,
					 "SELECT state = 3 AND remaining = 0 AND remaining_count ="
					 " 0 FROM packet WHERE packet_id = %" PRIu64,
					 c->packet[p]),
			1);
}
