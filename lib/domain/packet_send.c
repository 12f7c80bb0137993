/* Why: a send must make one packet, and one payment or one spent subsidy, for one key, whatever is
 * repeated, raced or lost. So the key's row is the first write of the one transaction that makes
 * them all: a second request waits for its lock and then meets a duplicate, and the same transaction
 * run again after an unknown COMMIT meets its own number there. Numbers and the fresh seed are taken
 * before the transaction, so that every run of it writes the same. */
#include "base/clk.h"
#include "base/jw.h"
#include "base/logger.h"
#include "domain/age.h"
#include "domain/idempotency.h"
#include "domain/packet_inner.h"
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { SLOTS = 1000, SEALED_BYTES = KEYS_BYTES + KEYS_SEAL_OVERHEAD };

typedef struct {
	uint64_t seed_id; /* 0: none */
	uint8_t sealed[SEALED_BYTES];
	size_t sealed_len;
} seed_row;

static err_t seed_select(db_t *db, sql_id id, uint64_t uid, seed_row *out)
{
	db_rows_t *r;
	const err_t e = db_select(db, id, DB_ARGS(db_u(uid)), &r);
	if (e != ERR_OK)
		return e;
	*out = (seed_row){0};
	if (db_rows_next(r)) {
		out->seed_id = db_rows_u(r, 0);
		out->sealed_len = packet_bytes_of(r, 1, out->sealed, sizeof out->sealed);
	}
	db_rows_free(&r);
	return ERR_OK;
}

static void seed_make(const shares_t *shares, uint64_t seed_id, seed_row *out)
{
	uint8_t seed[KEYS_BYTES];
	keys_random(seed, sizeof seed);
	*out = (seed_row){.seed_id = seed_id, .sealed_len = sizeof out->sealed};
	shares_seal(shares, seed_id, seed, out->sealed);
	sodium_memzero(seed, sizeof seed);
}

static err_t seed_open(const shares_t *shares, const seed_row *row, uint8_t seed[KEYS_BYTES])
{
	const shares_source src = {
		.seed_id = row->seed_id, .sealed = row->sealed, .sealed_len = row->sealed_len};
	if (shares_unseal(shares, &src, seed) == ERR_OK)
		return ERR_OK;
	LOG(ERROR, "packet.seed_does_not_open", {"seed_id", LOG_U(row->seed_id)});
	return ERR_INTERNAL;
}

typedef struct {
	uint64_t uid;
	seed_row fresh, current;
} seed_tx;

static err_t seed_tx_run(db_t *db, void *ctx)
{
	seed_tx *t = ctx;
	err_t e = db_exec(db, SQL_SEED_INSERT,
		DB_ARGS(db_u(t->uid), db_u(t->fresh.seed_id),
			db_b(t->fresh.sealed, t->fresh.sealed_len)),
		NULL);
	if (e != ERR_OK && e != ERR_DB_DUPLICATE)
		return e;
	e = seed_select(db, SQL_SEED_FIND, t->uid, &t->current);
	if (e == ERR_OK && t->current.seed_id == 0)
		return ERR_DB_RETRY; /* a send has consumed the duplicate meanwhile */
	return e;
}

static err_t seed_read(db_pool_t *pool, uint64_t uid, seed_row *out)
{
	db_t *db;
	err_t e = db_pool_take(pool, &db);
	if (e != ERR_OK)
		return e;
	e = seed_select(db, SQL_SEED_FIND, uid, out);
	db_pool_give(pool, &db);
	return e;
}

err_t packet_next_seed(const packet_desk *d, uint64_t uid, uint64_t *seed_id, uint8_t seed_hash[32])
{
	seed_tx t = {.uid = uid};
	err_t e = seed_read(d->db, uid, &t.current);
	if (e != ERR_OK)
		return e;
	if (t.current.seed_id == 0) {
		uint64_t number;
		e = numbers_next(d->numbers, (unsigned)(uid % SLOTS), &number);
		if (e != ERR_OK)
			return e;
		seed_make(d->shares, number, &t.fresh);
		e = db_transact(d->db, d->tx_tries, seed_tx_run, &t);
		if (e != ERR_OK)
			return e;
	}
	uint8_t seed[KEYS_BYTES];
	e = seed_open(d->shares, &t.current, seed);
	if (e != ERR_OK)
		return e;
	*seed_id = t.current.seed_id;
	split_seed_hash(seed, seed_hash);
	sodium_memzero(seed, sizeof seed);
	return ERR_OK;
}

typedef struct {
	const packet_desk *desk;
	const packet_order *order;
	uint64_t packet_id; /* ours, if it is to be */
	seed_row fresh;
	packet_row packet; /* seed and commitment are set by each run */
	payment_row payment;
	idempotency_t key;
	bool replayed;
	bool aged; /* the number is of a range that is closed */
} send_tx;

/* Of a packet that has left: the repeated order and what was kept say all that is shown of it. */
static err_t packet_that_left(db_t *db, send_tx *t, uint64_t packet_id)
{
	age_rest rest;
	packet_row *p = &t->packet;
	const err_t e = age_rest_find(db, packet_id, &rest);
	if (e != ERR_OK)
		return e;
	p->packet_id = packet_id;
	p->total_fen = rest.total_fen;
	p->created_at_ms = rest.created_at_ms;
	p->expires_at_ms = rest.expires_at_ms;
	p->seed_id = rest.seed_id;
	memcpy(p->commitment, rest.commitment, sizeof p->commitment);
	return ERR_OK;
}

/* The answer of the first request, whatever has become of the packet since. */
static err_t packet_as_sent(db_t *db, send_tx *t, uint64_t packet_id)
{
	const packet_order *o = t->order;
	t->replayed = packet_id != t->packet_id;
	err_t e = packet_load(db, packet_id, &t->packet);
	if (e == ERR_NOT_FOUND)
		e = packet_that_left(db, t, packet_id);
	const bool paid = e == ERR_OK && t->packet.kind == PACKET_C2C;
	if (paid)
		e = payment_of_packet(db, packet_id, &t->payment);
	if (e != ERR_OK)
		return e;
	t->packet.state = paid ? STATES_PACKET_UNPAID : STATES_PACKET_OPEN;
	t->packet.remaining_fen = t->packet.total_fen;
	t->packet.remaining_count = t->packet.count;
	if (paid)
		t->packet.expires_at_ms = t->payment.expires_at_ms;
	snprintf(t->packet.video_id, sizeof t->packet.video_id, "%s",
		o->video_id ? o->video_id : "");
	return ERR_OK;
}

static err_t seed_take(db_t *db, send_tx *t)
{
	const packet_order *o = t->order;
	seed_row row;
	err_t e = seed_select(db, SQL_SEED_LOCK, o->uid, &row);
	if (e != ERR_OK)
		return e;
	if (o->seed_id != 0 && row.seed_id != o->seed_id)
		return ERR_INVALID_FIELD;
	const seed_row *use = row.seed_id != 0 ? &row : &t->fresh;
	if (use == &row) {
		e = db_exec(db, SQL_SEED_CONSUME, DB_ARGS(db_u(o->uid), db_u(row.seed_id)), NULL);
		if (e != ERR_OK)
			return e;
	}
	packet_row *p = &t->packet;
	p->seed_id = use->seed_id;
	p->seed_len = use->sealed_len;
	memcpy(p->seed, use->sealed, use->sealed_len);
	split_input in = {.packet_id = p->packet_id,
		.total_fen = p->total_fen,
		.count = p->count,
		.kind = p->split,
		.nonce = p->nonce,
		.nonce_len = p->nonce_len};
	e = seed_open(t->desk->shares, use, in.seed);
	if (e == ERR_OK)
		split_commitment(&in, p->commitment);
	sodium_memzero(&in, sizeof in);
	return e;
}

/* The subsidy is taken first: what is in it is the packet's total. With a token it may have to be
 * recorded before, since the message of the win may still wait. */
static err_t subsidy_take(db_t *db, send_tx *t)
{
	const packet_order *o = t->order;
	packet_row *p = &t->packet;
	subsidy_row s = {.subsidy_id = o->subsidy_id};
	err_t e = ERR_OK;
	if (o->win)
		e = subsidy_record(db, t->desk->numbers, o->win, o->now_ms, &s);
	if (e == ERR_OK)
		e = subsidy_spend(db, o->uid, s.subsidy_id, p->packet_id, o->now_ms, &s);
	if (e == ERR_OK && s.amount_fen < (int64_t)p->count)
		e = ERR_SHARE_TOO_SMALL;
	if (e != ERR_OK)
		return e;
	p->total_fen = p->remaining_fen = s.amount_fen;
	p->campaign = s.campaign;
	return ERR_OK;
}

static err_t packet_write(db_t *db, send_tx *t)
{
	const packet_row *p = &t->packet;
	uint64_t written = 0;
	const err_t e = db_exec(db, SQL_PACKET_INSERT,
		DB_ARGS(db_u(p->packet_id), db_u(p->sender), db_u(p->kind), db_u(p->split),
			db_u(p->scope), db_u(p->state), db_u(p->count), db_u(p->remaining_count),
			db_i(p->total_fen), db_i(p->remaining_fen), db_i(p->created_at_ms),
			db_i(p->expires_at_ms), db_u(p->seed_id), db_b(p->seed, p->seed_len),
			db_b(p->nonce, p->nonce_len), db_b(p->commitment, sizeof p->commitment),
			db_s(p->greeting), db_s(*p->video_id ? p->video_id : NULL),
			db_u(p->campaign), db_u(p->packet_id)),
		&written);
	t->aged = e == ERR_OK && written == 0;
	return t->aged ? ERR_STATE_REFUSED : e;
}

static err_t invited_write(db_t *db, const send_tx *t)
{
	const packet_order *o = t->order;
	if (o->invited_count == 0)
		return ERR_OK;
	BUG_ON(o->invited_count > PACKET_INVITED_MAX);
	char list[PACKET_INVITED_MAX * 20 + 3];
	jw_t w;
	jw_start_fixed(&w, list, sizeof list);
	jw_arr(&w, NULL);
	for (size_t i = 0; i < o->invited_count; i++)
		jw_i64(&w, NULL, (int64_t)o->invited[i]);
	jw_arr_end(&w);
	BUG_ON(jw_end(&w) == 0);
	uint64_t written;
	const err_t e = db_exec(
		db, SQL_INVITED_INSERT, DB_ARGS(db_u(t->packet.packet_id), db_s(list)), &written);
	BUG_ON(e == ERR_OK && written != o->invited_count);
	return e;
}

static err_t send_run(db_t *db, void *ctx)
{
	send_tx *t = ctx;
	bool used;
	uint64_t ref;
	err_t e = idempotency_take(db, &t->key, &used, &ref);
	if (e != ERR_OK || used)
		return e == ERR_OK ? packet_as_sent(db, t, ref) : e;
	if (t->order->kind == PACKET_B2C)
		e = subsidy_take(db, t);
	if (e == ERR_OK)
		e = seed_take(db, t);
	if (e == ERR_OK)
		e = packet_write(db, t);
	if (e == ERR_OK)
		e = invited_write(db, t);
	if (e == ERR_OK && t->order->kind == PACKET_C2C)
		e = payment_insert(db, &t->payment, t->order->now_ms + t->order->check_ms);
	t->key.written |= e == ERR_OK;
	return e;
}

static void rows_prepare(send_tx *t, const uint64_t number[3])
{
	const packet_order *o = t->order;
	const bool paid = o->kind == PACKET_C2C;
	t->packet_id = number[0];
	t->packet = (packet_row){.packet_id = number[0],
		.sender = o->uid,
		.kind = o->kind,
		.split = o->split,
		.scope = o->scope,
		.state = paid ? STATES_PACKET_UNPAID : STATES_PACKET_OPEN,
		.count = o->count,
		.remaining_count = o->count,
		.total_fen = o->total_fen,
		.remaining_fen = o->total_fen,
		.created_at_ms = o->now_ms,
		.expires_at_ms = o->now_ms + (paid ? o->payment_ttl_ms : o->packet_ttl_ms),
		.nonce_len = o->nonce_len};
	BUG_ON(o->nonce_len > sizeof t->packet.nonce);
	if (o->nonce_len)
		memcpy(t->packet.nonce, o->nonce, o->nonce_len);
	snprintf(t->packet.greeting, sizeof t->packet.greeting, "%s", o->greeting);
	snprintf(t->packet.video_id, sizeof t->packet.video_id, "%s",
		o->video_id ? o->video_id : "");
	if (paid)
		t->payment = (payment_row){.order_no = number[1],
			.packet_id = number[0],
			.payer = o->uid,
			.amount_fen = o->total_fen,
			.state = STATES_PAYMENT_PENDING,
			.expires_at_ms = t->packet.expires_at_ms,
			.created_at_ms = o->now_ms};
	seed_make(t->desk->shares, number[2], &t->fresh);
}

static err_t send_once(const packet_desk *d, const packet_order *o, packet_sent *out, bool *aged)
{
	uint64_t number[3];
	*aged = false;
	err_t e = numbers_take(d->numbers, (unsigned)(o->uid % SLOTS), 3, number);
	if (e != ERR_OK)
		return e;
	send_tx t = {.desk = d, .order = o};
	t.key = (idempotency_t){.route = IDEMPOTENCY_PACKETS,
		.uid = o->uid,
		.key = o->key,
		.body_hash = o->body_hash,
		.ref = number[0],
		.now_ms = o->now_ms,
		.started_ms = clk_mono_ms(),
		.wait_ms = d->key_wait_ms};
	rows_prepare(&t, number);
	e = idempotency_end(&t.key, db_transact(d->db, d->tx_tries, send_run, &t));
	*aged = t.aged;
	if (e == ERR_OK)
		*out = (packet_sent){
			.packet = t.packet, .payment = t.payment, .replayed = t.replayed};
	return e;
}

err_t packet_send(const packet_desk *d, const packet_order *o, packet_sent *out)
{
	BUG_ON(o->count < 1 || (o->kind == PACKET_C2C && o->total_fen < (int64_t)o->count));
	BUG_ON(o->kind == PACKET_B2C && (o->subsidy_id == 0) == (o->win == NULL));
	bool aged;
	err_t e = send_once(d, o, out, &aged);
	/* Numbers of a block that has been in hand for very long. */
	if (aged)
		e = numbers_renew(d->numbers);
	if (aged && e == ERR_OK)
		e = send_once(d, o, out, &aged);
	return e;
}
