/* Why: what a claim needs besides its lane: admission over several processes, an executor's
 * connection, the counting of outcomes. The row-lock variant is the baseline of the benchmark and
 * meant to be as good as its kind can be: the same statements for one claim, waiting for the row's
 * lock instead of skipping it. */
#include "domain/claim.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/claim_batch.h"
#include "domain/settled.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_BUSY = 6, LABEL_UNKNOWN = 7, LABEL_FAILED = 8 }; /* of METRICS_CLAIMS */

/* What one executor works with. */
typedef struct {
	db_t *db; /* NULL until needed, and after it died */
	claim_batch_t *work;
} claim_hand;

/* Working memory of one row-lock claim; idle ones are kept. */
typedef struct claim_spare {
	struct claim_spare *next;
	claim_batch_t *work;
} claim_spare;

struct claim_service {
	claim_service_conf conf;
	admission_conf admission;
	bool row_lock, hashed;
	int64_t unknown_ms;
	unsigned tx_tries;
	lanes_t *lanes; /* NULL with row_lock */
	settled_t *settled;
	claim_hand *hand;
	unsigned hands;
	pthread_mutex_t spare_lock;
	claim_spare *spare;
};

static err_t hand_run(void *ctx, unsigned executor, lane_batch *b)
{
	claim_service_t *s = ctx;
	claim_hand *h = &s->hand[executor];

	if (h->db && !db_alive(h->db))
		db_close(&h->db);
	if (!h->db) {
		const err_t err = db_open(&s->conf.program->db, &h->db);
		if (err != ERR_OK)
			return ERR_CELL_UNAVAILABLE;
	}
	return claim_batch_run(h->work, h->db, b);
}

static claim_batch_t *work_new(const claim_service_t *s, unsigned claims_max)
{
	const claim_batch_conf c = {.numbers = s->conf.numbers,
		.shares = s->conf.shares,
		.claims_max = claims_max,
		.skip_locked = !s->row_lock};

	return claim_batch_new(&c);
}

static err_t lanes_start(claim_service_t *s)
{
	const conf_t *conf = s->conf.program->conf;
	const lanes_conf c = {
		.store = {hand_run, s},
		.executors = (unsigned)conf_i(conf, CONF_CLAIM_EXECUTORS),
		.batch_max = (unsigned)conf_i(conf, CONF_CLAIM_BATCH_MAX),
		.gather_us = conf_i(conf, CONF_CLAIM_GATHER_US),
		.lane_max = (unsigned)conf_i(conf, CONF_CLAIM_LANE_MAX),
		.lanes_max = (unsigned)conf_i(conf, CONF_CLAIM_LANES_MAX),
		.idle_ms = conf_i(conf, CONF_CLAIM_IDLE_MS),
		.wait_ms = s->unknown_ms,
		.admission = s->admission,
	};

	s->hands = c.executors;
	s->hand = calloc(s->hands, sizeof(*s->hand));
	BUG_ON(!s->hand);
	for (unsigned i = 0; i < s->hands; i++)
		s->hand[i].work = work_new(s, c.batch_max);
	return lanes_new(&c, &s->lanes);
}

err_t claim_service_new(const claim_service_conf *c, claim_service_t **out)
{
	claim_service_t *s = calloc(1, sizeof(*s));
	const conf_t *conf = c->program->conf;

	BUG_ON(!s);
	s->conf = *c;
	s->row_lock = conf_b(conf, CONF_CLAIM_ROW_LOCK);
	s->hashed = conf_b(conf, CONF_CLAIM_HASH);
	s->unknown_ms = conf_i(conf, CONF_CLAIM_UNKNOWN_MS);
	s->tx_tries = (unsigned)conf_i(conf, CONF_DB_TX_TRIES);
	s->admission = (admission_conf){.percent = (unsigned)conf_i(conf, CONF_CLAIM_ADMIT_PERCENT),
		.floor = (unsigned)conf_i(conf, CONF_CLAIM_ADMIT_FLOOR)};
	pthread_mutex_init(&s->spare_lock, NULL);
	s->settled = settled_new((size_t)conf_i(conf, CONF_CLAIM_SETTLED_MIB) << 20,
		conf_i(conf, CONF_CLAIM_SETTLED_S) * 1000);
	const err_t err = s->row_lock ? ERR_OK : lanes_start(s);
	if (err != ERR_OK)
		claim_service_free(&s);
	else
		*out = s;
	return err;
}

void claim_service_free(claim_service_t **s)
{
	claim_spare *next;

	if (!*s)
		return;
	lanes_free(&(*s)->lanes);
	settled_free(&(*s)->settled);
	for (unsigned i = 0; i < (*s)->hands; i++) {
		db_close(&(*s)->hand[i].db);
		claim_batch_free(&(*s)->hand[i].work);
	}
	for (claim_spare *p = (*s)->spare; p; p = next) {
		next = p->next;
		claim_batch_free(&p->work);
		free(p);
	}
	pthread_mutex_destroy(&(*s)->spare_lock);
	free((*s)->hand);
	free(*s);
	*s = NULL;
}

/* ---- one locked transaction per claim ---- */

static claim_spare *spare_take(claim_service_t *s)
{
	pthread_mutex_lock(&s->spare_lock);
	claim_spare *p = s->spare;
	if (p)
		s->spare = p->next;
	pthread_mutex_unlock(&s->spare_lock);
	if (!p) {
		p = calloc(1, sizeof(*p));
		BUG_ON(!p);
		p->work = work_new(s, 1);
	}
	return p;
}

static void spare_give(claim_service_t *s, claim_spare *p)
{
	pthread_mutex_lock(&s->spare_lock);
	p->next = s->spare;
	s->spare = p;
	pthread_mutex_unlock(&s->spare_lock);
}

static err_t row_lock_once(claim_service_t *s, claim_batch_t *work, lane_batch *b)
{
	db_t *db;
	err_t err = db_pool_take(s->conf.db, &db);

	if (err != ERR_OK)
		return err;
	err = claim_batch_run(work, db, b);
	db_pool_give(s->conf.db, &db);
	return err;
}

/* As an executor does it: an unknown commit is run again until it is known. */
static err_t row_lock_claim(claim_service_t *s, uint64_t packet_id, lane_item *item)
{
	lane_part part = {.packet_id = packet_id, .item = item, .count = 1};
	lane_batch batch = {&part, 1};
	const int64_t until = clk_mono_ms() + s->unknown_ms;
	claim_spare *p = spare_take(s);
	bool unknown = false;
	err_t err;

	for (unsigned tries = 1;; tries++) {
		err = row_lock_once(s, p->work, &batch);
		unknown = unknown || err == ERR_OUTCOME_UNKNOWN;
		if (err == ERR_OK || (unknown ? clk_mono_ms() >= until : tries >= s->tx_tries))
			break;
		if (!unknown && err != ERR_DB_RETRY && err != ERR_DB_LOST)
			break;
		clk_sleep_ms(1 << (tries < 5 ? tries : 5));
	}
	spare_give(s, p);
	if (err != ERR_OK)
		return unknown ? ERR_OUTCOME_UNKNOWN : err;
	return item->err;
}

/* ---- claims ---- */

static bool admitted(claim_service_t *s, uint64_t packet_id, int64_t now_ms)
{
	uint32_t remaining;

	if (s->hashed || !lanes_remaining(s->lanes, packet_id, &remaining))
		return true;
	return admission_window(
		&s->admission, s->conf.cache, s->conf.program->epoch, packet_id, remaining, now_ms);
}

static void count_outcome(err_t err, const claim_result *r)
{
	unsigned label = LABEL_FAILED;

	if (err == ERR_OK)
		label = (unsigned)r->outcome - 1;
	else if (err == ERR_PACKET_BUSY)
		label = LABEL_BUSY;
	else if (err == ERR_OUTCOME_UNKNOWN)
		label = LABEL_UNKNOWN;
	metrics_add(METRICS_CLAIMS, label, 1);
}

/* What every claim ends with. */
static void claim_end(err_t err, const claim_result *r, int64_t *retry_ms)
{
	if (err != ERR_NOT_FOUND)
		count_outcome(err, r);
	if (err == ERR_PACKET_BUSY)
		*retry_ms = admission_retry_ms();
}

err_t claim_open(claim_service_t *s, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t now_ms, int64_t *retry_ms, claim_result *out)
{
	lane_item item = {.uid = uid, .relations = relations, .asked_ms = now_ms};
	err_t err;

	if (trace_followed())
		memcpy(item.trace, trace_followed(), sizeof(item.trace));
	if (s->row_lock)
		err = row_lock_claim(s, packet_id, &item);
	else if (!admitted(s, packet_id, now_ms))
		err = ERR_PACKET_BUSY;
	else
		err = lanes_claim(s->lanes, packet_id, uid, relations, now_ms, &item.result);
	claim_end(err, &item.result, retry_ms);
	if (err == ERR_OK)
		*out = item.result;
	return err;
}

bool claim_known(claim_service_t *s, uint64_t packet_id, uint64_t uid, claim_result *out)
{
	if (s->row_lock || !settled_answer(s->settled, packet_id, uid, out))
		return false;
	count_outcome(ERR_OK, out);
	return true;
}

void claim_learn(claim_service_t *s, uint64_t packet_id, const claim_result *r)
{
	const bool late = r->outcome == CLAIM_EXHAUSTED || r->outcome == CLAIM_EXPIRED ||
			  (r->outcome == CLAIM_ALREADY && r->remaining_count == 0);

	if (s->row_lock)
		return;
	if (late && settled_load(s->settled, s->conf.db, packet_id) != ERR_OK)
		LOG(DEBUG, "claim.not_learned", {"packet_id", LOG_U(packet_id)});
}

void claim_transfer_end(claim_service_t *s, uint64_t packet_id, uint64_t uid, transfer_end end)
{
	settled_transfer_end(s->settled, packet_id, uid, end);
}

bool claim_defers(const claim_service_t *s)
{
	return !s->row_lock;
}

err_t claim_submit(claim_service_t *s, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t now_ms, int64_t *retry_ms, claim_ticket *t)
{
	err_t err = ERR_PACKET_BUSY;

	if (admitted(s, packet_id, now_ms))
		err = lanes_submit(s->lanes, packet_id, uid, relations, now_ms, t);
	if (err != ERR_OK)
		claim_end(err, NULL, retry_ms);
	return err;
}

err_t claim_collect(const claim_ticket *t, int64_t *retry_ms, claim_result *out)
{
	claim_end(t->err, &t->result, retry_ms);
	if (t->err == ERR_OK)
		*out = t->result;
	return t->err;
}

err_t claim_find(db_t *db, uint64_t packet_id, uint64_t uid, claim_row *out)
{
	db_rows_t *r;
	const err_t err = db_select(db, SQL_CLAIM_FIND, DB_ARGS(db_u(packet_id), db_u(uid)), &r);

	if (err != ERR_OK)
		return err;
	const bool found = db_rows_next(r);
	if (found)
		*out = (claim_row){.packet_id = packet_id,
			.uid = uid,
			.index = (uint32_t)db_rows_u(r, 0),
			.claim_no = db_rows_u(r, 1),
			.amount_fen = db_rows_i(r, 2),
			.claimed_at_ms = db_rows_i(r, 3)};
	db_rows_free(&r);
	return found ? ERR_OK : ERR_NOT_FOUND;
}

err_t claim_list(db_t *db, uint64_t packet_id, uint32_t from, unsigned limit, claim_row *rows,
	unsigned *count)
{
	db_rows_t *r;
	const err_t err = db_select(
		db, SQL_CLAIM_LIST, DB_ARGS(db_u(packet_id), db_u(from), db_u(limit)), &r);
	unsigned n = 0;

	if (err != ERR_OK)
		return err;
	for (; n < limit && db_rows_next(r); n++)
		rows[n] = (claim_row){.packet_id = packet_id,
			.uid = db_rows_u(r, 0),
			.index = (uint32_t)db_rows_u(r, 1),
			.claim_no = db_rows_u(r, 2),
			.amount_fen = db_rows_i(r, 3),
			.claimed_at_ms = db_rows_i(r, 4)};
	db_rows_free(&r);
	*count = n;
	return ERR_OK;
}
