/* Why: the cost of a claim is the commit and the round trips, so both are shared by a batch. The
 * statements are text that is built here, from integers (and traceparents, which are looked at): prepared statements cannot hold lists
 * of any length. COMMIT goes alone, at the price of one more trip for the whole batch: its failure
 * is the only one that leaves the outcome open and must not be mistaken for another statement's,
 * and so the changed rows are counted before it.
 *
 * Most who come have not claimed, and the table's primary key tells those who have. So a batch gives
 * everyone a share and inserts plainly; only when the key refuses (which undoes the whole statement)
 * or somebody would go without a share, it reads who has claimed and decides again. All of that is
 * under the packet's lock, so what is read then is complete: under READ COMMITTED it holds every
 * other process's claims. A batch that is run again reads first, and tells its own earlier claims
 * from others by the numbers that it gave them. */
#include "domain/claim_inner.h"

#include "base/logger.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "domain/outbox.h"
#include "domain/states.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_PER_CLAIM = 640, TEXT_BYTES = 4096 };
enum { WARY_BATCHES = 16 }; /* that read first after one that met an earlier claim */
enum { PACKET_COLS = 9 };   /* of the packets' SELECT; those of the seed follow */

claim_batch_t *claim_batch_new(const claim_batch_conf *c)
{
	claim_batch_t *w = calloc(1, sizeof(*w));
	unsigned slots = 4;

	BUG_ON(!w || c->claims_max == 0 ||
		!states_legal(STATES_PACKET, STATES_PACKET_OPEN, STATES_PACKET_EXHAUSTED,
			STATES_BY_CLAIM));
	while (slots < 2 * c->claims_max)
		slots *= 2;
	w->conf = *c;
	w->mask = slots - 1;
	w->room = TEXT_BYTES + (size_t)c->claims_max * TEXT_BYTES_PER_CLAIM;
	w->packet = calloc(c->claims_max, sizeof(*w->packet));
	w->seat = calloc(c->claims_max, sizeof(*w->seat));
	w->table = calloc(slots, sizeof(*w->table));
	w->number = calloc(c->claims_max, sizeof(*w->number));
	w->text = malloc(w->room);
	BUG_ON(!w->packet || !w->seat || !w->table || !w->number || !w->text);
	return w;
}

void claim_batch_free(claim_batch_t **w)
{
	if (!*w)
		return;
	free((*w)->packet);
	free((*w)->seat);
	free((*w)->table);
	free((*w)->number);
	free((*w)->text);
	free(*w);
	*w = NULL;
}

static void text_add(claim_batch_t *w, const char *s)
{
	const size_t n = strlen(s);

	BUG_ON(w->len + n > w->room);
	memcpy(w->text + w->len, s, n);
	w->len += n;
}

static void text_number(claim_batch_t *w, uint64_t v)
{
	BUG_ON(w->len + PARSE_DECIMAL_BYTES > w->room);
	w->len += parse_to_decimal(v, w->text + w->len);
}

static void text_fen(claim_batch_t *w, int64_t v)
{
	BUG_ON(v < 0);
	text_number(w, (uint64_t)v);
}

/* A separator, but not before the first of a list. */
static void text_between(claim_batch_t *w, bool *any)
{
	if (*any)
		text_add(w, ",");
	*any = true;
}

/* "(1,2,3)" of the packets that `want` says yes to; false and no text when there are none. */
static bool text_packets(claim_batch_t *w, const char *before, bool (*want)(const claim_packet *))
{
	bool any = false;

	for (unsigned i = 0; i < w->packets; i++) {
		if (!want(&w->packet[i]))
			continue;
		if (!any)
			text_add(w, before);
		text_add(w, any ? "," : "(");
		text_number(w, w->packet[i].part->packet_id);
		any = true;
	}
	if (any)
		text_add(w, ")");
	return any;
}

/* The same with the packet and user of every first seat. */
static bool text_users(claim_batch_t *w, const char *before, bool (*want)(const claim_seat *))
{
	bool any = false;

	for (unsigned i = 0; i < w->seats; i++) {
		const claim_seat *s = &w->seat[i];
		if (s->first != s || !want(s))
			continue;
		if (!any)
			text_add(w, before);
		text_add(w, any ? ",(" : "((");
		text_number(w, s->packet->part->packet_id);
		text_add(w, ",");
		text_number(w, s->item->uid);
		text_add(w, ")");
		any = true;
	}
	if (any)
		text_add(w, ")");
	return any;
}

static uint64_t col_number(const char *s)
{
	uint64_t v;

	BUG_ON(!s || !parse_u64(s, INT64_MAX, &v));
	return v;
}

static int64_t col_fen(const char *s)
{
	return (int64_t)col_number(s);
}

static int by_packet_id(const void *a, const void *b)
{
	const uint64_t x = ((const claim_packet *)a)->part->packet_id;
	const uint64_t y = ((const claim_packet *)b)->part->packet_id;

	return x < y ? -1 : x > y;
}

static claim_packet *packet_of(const claim_batch_t *w, const char *id)
{
	lane_part part = {.packet_id = col_number(id)};
	const claim_packet key = {.part = &part};
	claim_packet *p = bsearch(&key, w->packet, w->packets, sizeof(key), by_packet_id);

	BUG_ON(!p);
	return p;
}

static claim_seat **seat_slot(const claim_batch_t *w, const claim_packet *p, uint64_t uid)
{
	uint64_t h = (p->part->packet_id ^ uid * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;

	for (h >>= 32;; h++) {
		claim_seat **s = &w->table[h & w->mask];
		if (!*s || ((*s)->packet == p && (*s)->item->uid == uid))
			return s;
	}
}

static claim_seat *seat_of(const claim_batch_t *w, char *const *col)
{
	claim_seat *s = *seat_slot(w, packet_of(w, col[0]), col_number(col[1]));

	BUG_ON(!s);
	return s;
}

static void on_seed(packet_row *r, char *const *col, const unsigned long *len)
{
	BUG_ON(len[3] > sizeof(r->seed) || len[4] > sizeof(r->nonce));
	r->split = (split_kind)col_number(col[0]);
	r->total_fen = col_fen(col[1]);
	r->seed_id = col_number(col[2]);
	r->seed_len = len[3];
	r->nonce_len = len[4];
	memcpy(r->seed, col[3], len[3]);
	memcpy(r->nonce, col[4], len[4]);
}

static void on_packet(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	claim_packet *p = packet_of(ctx, col[0]);

	(void)result;
	p->found = true;
	p->row.sender = col_number(col[1]);
	p->row.kind = (packet_kind)col_number(col[2]);
	p->row.scope = (packet_scope)col_number(col[3]);
	p->row.state = (unsigned)col_number(col[4]);
	p->row.count = (uint32_t)col_number(col[5]);
	p->row.remaining_count = p->left = (uint32_t)col_number(col[6]);
	p->row.remaining_fen = p->left_fen = col_fen(col[7]);
	p->row.expires_at_ms = col_fen(col[8]);
	if (cols > PACKET_COLS)
		on_seed(&p->row, col + PACKET_COLS, len + PACKET_COLS);
}

static void on_claim(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	claim_seat *s = seat_of(ctx, col);

	(void)result, (void)cols, (void)len;
	s->holder = s;
	s->claim = (claim_row){.packet_id = s->packet->part->packet_id,
		.uid = s->item->uid,
		.index = (uint32_t)col_number(col[2]),
		.claim_no = col_number(col[3]),
		.amount_fen = col_fen(col[4]),
		.claimed_at_ms = col_fen(col[5])};
}

static bool want_any(const claim_packet *p)
{
	(void)p;
	return true;
}

static void batch_seat(claim_batch_t *w, const lane_batch *b)
{
	BUG_ON(b->parts > w->conf.claims_max);
	w->packets = b->parts;
	w->seats = w->fresh = 0;
	memset(w->table, 0, (w->mask + 1) * sizeof(*w->table));
	for (unsigned i = 0; i < b->parts; i++) {
		w->packet[i] = (claim_packet){.part = &b->part[i]};
		w->packet[i].row.packet_id = b->part[i].packet_id;
		b->part[i].elsewhere = b->part[i].known = false;
	}
	qsort(w->packet, w->packets, sizeof(*w->packet), by_packet_id);
	for (unsigned i = 0; i < w->packets; i++) {
		claim_packet *p = &w->packet[i];
		p->set = shares_peek(w->conf.shares, p->part->packet_id);
		for (unsigned k = 0; k < p->part->count; k++) {
			BUG_ON(w->seats == w->conf.claims_max);
			claim_seat *s = &w->seat[w->seats++];
			*s = (claim_seat){.item = &p->part->item[k], .packet = p};
			claim_seat **at = seat_slot(w, p, s->item->uid);
			if (!*at)
				*at = s;
			s->first = *at;
		}
	}
}

/* Begins the transaction and locks the packets; with what their shares are drawn from where it is
 * not in memory. */
static err_t batch_lock(claim_batch_t *w, db_t *db)
{
	bool draws = false;

	for (unsigned i = 0; i < w->packets; i++)
		draws = draws || !w->packet[i].set;
	w->len = 0;
	text_add(w, "SELECT packet_id,sender,kind,scope,state,count,remaining_count,remaining,"
		    "expires_at");
	text_packets(w,
		draws ? ",split,total,seed_id,seed,nonce"
			" FROM packet FORCE INDEX(PRIMARY) WHERE packet_id IN "
		      : " FROM packet FORCE INDEX(PRIMARY) WHERE packet_id IN ",
		want_any);
	text_add(w, " ORDER BY packet_id FOR UPDATE");
	text_add(w, w->conf.skip_locked ? " SKIP LOCKED" : "");
	return db_begin_script(db, w->text, w->len, on_packet, w);
}

static bool want_claim(const claim_seat *s)
{
	return s->packet->found && !s->packet->claims_known;
}

static err_t batch_read_claims(claim_batch_t *w, db_t *db)
{
	err_t err = ERR_OK;

	w->len = 0;
	if (text_users(w,
		    "SELECT packet_id,uid,idx,claim_no,amount,claimed_at"
		    " FROM claim FORCE INDEX(PRIMARY) WHERE (packet_id,uid) IN ",
		    want_claim))
		err = db_script(db, w->text, w->len, on_claim, w);
	for (unsigned i = 0; i < w->packets; i++)
		w->packet[i].claims_known = true;
	return err;
}

static bool want_missing(const claim_packet *p)
{
	return !p->found;
}

static bool want_invited(const claim_seat *s)
{
	const claim_packet *p = s->packet;

	return p->found && p->row.scope == PACKET_INVITED && p->row.state == STATES_PACKET_OPEN &&
	       !s->holder && s->item->uid != p->row.sender;
}

static void on_there(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	(void)result, (void)cols, (void)len;
	packet_of(ctx, col[0])->part->elsewhere = true;
}

static void on_invited(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	(void)result, (void)cols, (void)len;
	seat_of(ctx, col)->invited = true;
}

/* What only some batches need to know. */
static err_t batch_read_rare(claim_batch_t *w, db_t *db)
{
	err_t err = ERR_OK;

	w->len = 0;
	if (w->conf.skip_locked &&
		text_packets(w,
			"SELECT packet_id FROM packet FORCE INDEX(PRIMARY) WHERE packet_id IN ",
			want_missing))
		err = db_script(db, w->text, w->len, on_there, w);
	w->len = 0;
	if (err == ERR_OK && text_users(w,
				     "SELECT packet_id,uid FROM invited FORCE INDEX(PRIMARY)"
				     " WHERE (packet_id,uid) IN ",
				     want_invited))
		err = db_script(db, w->text, w->len, on_invited, w);
	for (unsigned i = 0; i < w->packets && err == ERR_OK; i++) {
		claim_packet *p = &w->packet[i];
		if (p->found)
			err = packet_was_open(db, &p->row, &p->was_open);
	}
	return err;
}

static void write_claims(claim_batch_t *w)
{
	bool any = false;

	text_add(w, "INSERT INTO claim (packet_id,uid,idx,claim_no,amount,claimed_at) VALUES ");
	for (unsigned i = 0; i < w->seats; i++) {
		const claim_row *c = &w->seat[i].claim;
		if (!w->seat[i].fresh)
			continue;
		text_between(w, &any);
		const uint64_t value[] = {c->packet_id, c->uid, c->index, c->claim_no,
			(uint64_t)c->amount_fen, (uint64_t)c->claimed_at_ms};
		for (unsigned k = 0; k < sizeof(value) / sizeof(*value); k++) {
			text_add(w, k == 0 ? "(" : ",");
			text_number(w, value[k]);
		}
		text_add(w, ")");
	}
}

static unsigned state_after(const claim_packet *p)
{
	return p->left == 0 ? STATES_PACKET_EXHAUSTED : STATES_PACKET_OPEN;
}

/* One changed packet needs no table to join with. */
static void write_packet(claim_batch_t *w, const claim_packet *p)
{
	text_add(w, ";UPDATE packet SET state=");
	text_number(w, state_after(p));
	text_add(w, ",remaining=");
	text_fen(w, p->left_fen);
	text_add(w, ",remaining_count=");
	text_number(w, p->left);
	text_add(w, " WHERE packet_id=");
	text_number(w, p->part->packet_id);
	text_add(w, " AND state=2 AND remaining_count=");
	text_number(w, p->row.remaining_count);
}

static void write_packets(claim_batch_t *w)
{
	bool any = false;

	text_add(w, ";UPDATE (SELECT 0 id,0 s,0 r,0 c,0 was UNION ALL VALUES ");
	for (unsigned i = 0; i < w->packets; i++) {
		const claim_packet *p = &w->packet[i];
		if (p->fresh == 0)
			continue;
		text_between(w, &any);
		const uint64_t value[] = {p->part->packet_id, state_after(p), (uint64_t)p->left_fen,
			p->left, p->row.remaining_count};
		for (unsigned k = 0; k < sizeof(value) / sizeof(*value); k++) {
			text_add(w, k == 0 ? "(" : ",");
			text_number(w, value[k]);
		}
		text_add(w, ")");
	}
	text_add(w,
		") v STRAIGHT_JOIN packet p ON p.packet_id=v.id SET p.state=v.s,p.remaining=v.r,"
		"p.remaining_count=v.c WHERE p.state=2 AND p.remaining_count=v.was");
}

/* The only text from outside in these statements: of hexadecimal digits and dashes. */
static void text_trace(claim_batch_t *w, const char *trace)
{
	if (!*trace)
		return;
	BUG_ON(!trace_ok(trace));
	text_add(w, ",\"tp\":\"");
	text_add(w, trace);
	text_add(w, "\"");
}

static void write_outbox(claim_batch_t *w)
{
	static const char *const name[] = {
		"{\"no\":", ",\"p\":", ",\"u\":", ",\"a\":", ",\"s\":", ",\"k\":", ",\"t\":"};
	const claim_seat *first = NULL;
	bool any = false;

	for (unsigned i = 0; i < w->seats && !first; i++)
		first = w->seat[i].fresh ? &w->seat[i] : NULL;
	BUG_ON(!first);
	text_add(w,
		";INSERT INTO outbox (kind,business_no,lease_until,created_at,payload) VALUES (");
	text_number(w, OUTBOX_CLAIMS);
	text_add(w, ",");
	text_number(w, first->claim.claim_no);
	text_add(w, ",0,");
	text_fen(w, first->claim.claimed_at_ms);
	text_add(w, ",'[");
	for (unsigned i = 0; i < w->seats; i++) {
		const claim_seat *s = &w->seat[i];
		if (!s->fresh)
			continue;
		text_between(w, &any);
		const uint64_t value[] = {s->claim.claim_no, s->claim.packet_id, s->claim.uid,
			(uint64_t)s->claim.amount_fen, s->packet->row.sender, s->packet->row.kind,
			(uint64_t)s->claim.claimed_at_ms};
		for (unsigned k = 0; k < sizeof(value) / sizeof(*value); k++) {
			text_add(w, name[k]);
			text_number(w, value[k]);
		}
		text_trace(w, s->item->trace);
		text_add(w, "}");
	}
	text_add(w, "]')");
}

static void on_changed(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	claim_batch_t *w = ctx;

	(void)result, (void)cols, (void)len;
	w->changed = col_fen(col[0]);
}

static err_t batch_write(claim_batch_t *w, db_t *db)
{
	const claim_packet *one = NULL;
	unsigned packets = 0, exhausted = 0;

	for (unsigned i = 0; i < w->packets; i++) {
		if (w->packet[i].fresh == 0)
			continue;
		one = &w->packet[i];
		packets++;
		exhausted += one->left == 0;
	}
	w->len = 0;
	w->changed = -1;
	write_claims(w);
	if (packets == 1)
		write_packet(w, one);
	else
		write_packets(w);
	text_add(w, ";SELECT ROW_COUNT()");
	write_outbox(w);
	const err_t err = db_script(db, w->text, w->len, on_changed, w);
	if (err == ERR_OK && w->changed != (int64_t)packets) {
		LOG(ERROR, "claim.packets_changed", {"wanted", LOG_U(packets)},
			{"changed", LOG_I(w->changed)});
		return ERR_INTERNAL;
	}
	if (err == ERR_OK)
		metrics_add(METRICS_STATE_CHANGES,
			states_place(STATES_PACKET, STATES_PACKET_EXHAUSTED), exhausted);
	return err;
}

static bool is_rerun(const claim_batch_t *w)
{
	for (unsigned i = 0; i < w->seats; i++)
		if (w->seat[i].item->claim_no != 0)
			return true;
	return false;
}

static bool decided(const claim_batch_t *w)
{
	for (unsigned i = 0; i < w->packets; i++)
		if (w->packet[i].refuses && !w->packet[i].claims_known)
			return false;
	return true;
}

static err_t decide_again(claim_batch_t *w, db_t *db)
{
	claim_undecide(w);
	const err_t err = batch_read_claims(w, db);
	return err == ERR_OK ? claim_decide(w) : err;
}

static err_t batch_give(claim_batch_t *w, db_t *db)
{
	const bool reads = w->wary > 0 || is_rerun(w);
	err_t err = reads ? batch_read_claims(w, db) : ERR_OK;

	if (w->wary > 0)
		w->wary--;
	if (err == ERR_OK)
		err = claim_decide(w);
	if (err == ERR_OK && !decided(w))
		err = decide_again(w, db);
	if (err == ERR_OK && w->fresh > 0)
		err = batch_write(w, db);
	if (err == ERR_DB_DUPLICATE && !reads) {
		w->wary = WARY_BATCHES;
		err = decide_again(w, db);
		if (err == ERR_OK && w->fresh > 0)
			err = batch_write(w, db);
	}
	return err;
}

err_t claim_batch_run(claim_batch_t *w, db_t *db, lane_batch *b)
{
	batch_seat(w, b);
	err_t err = batch_lock(w, db);
	if (err == ERR_OK)
		err = batch_read_rare(w, db);
	if (err == ERR_OK)
		err = batch_give(w, db);
	if (err == ERR_OK && w->fresh > 0) {
		err = db_commit(db); /* rolls back what it cannot commit */
		metrics_add(METRICS_CLAIM_BATCHES, 0, err == ERR_OK);
	} else {
		db_rollback(db);
	}
	for (unsigned i = 0; i < w->packets; i++)
		shares_release(w->conf.shares, &w->packet[i].set);
	return err;
}
