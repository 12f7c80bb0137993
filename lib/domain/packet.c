/* Looking at packets: one reader of the row's columns, whatever statement selects them. How they are
 * sent is packet_send.c. */
#include "domain/packet_inner.h"

#include "domain/age.h"
#include <string.h>

const char *packet_kind_name(packet_kind k)
{
	static const char *const name[] = {"?", "c2c", "b2c"};
	return name[k <= PACKET_B2C ? k : 0];
}

const char *packet_scope_name(packet_scope s)
{
	static const char *const name[] = {"?", "public", "invited", "friends", "fans"};
	return name[s <= PACKET_FANS ? s : 0];
}

const char *packet_split_name(split_kind s)
{
	static const char *const name[] = {"?", "lucky", "equal"};
	return name[s <= SPLIT_EQUAL ? s : 0];
}

const char *packet_shown_state(const packet_row *p, int64_t now_ms)
{
	if (p->state == STATES_PACKET_OPEN && now_ms >= p->expires_at_ms)
		return "expired";
	return states_shown(STATES_PACKET, p->state);
}

shares_source packet_shares_source(const packet_row *p)
{
	return (shares_source){.packet_id = p->packet_id,
		.seed_id = p->seed_id,
		.total_fen = p->total_fen,
		.count = p->count,
		.kind = p->split,
		.sealed = p->seed,
		.sealed_len = p->seed_len,
		.nonce = p->nonce,
		.nonce_len = p->nonce_len};
}

size_t packet_bytes_of(const db_rows_t *r, unsigned col, void *out, size_t room)
{
	size_t n;
	const char *from = db_rows_s(r, col, &n);
	BUG_ON(n > room);
	memcpy(out, from, n);
	return n;
}

static void row_read(const db_rows_t *r, packet_row *p)
{
	*p = (packet_row){.packet_id = db_rows_u(r, 0),
		.sender = db_rows_u(r, 1),
		.kind = (packet_kind)db_rows_u(r, 2),
		.split = (split_kind)db_rows_u(r, 3),
		.scope = (packet_scope)db_rows_u(r, 4),
		.state = (unsigned)db_rows_u(r, 5),
		.count = (uint32_t)db_rows_u(r, 6),
		.remaining_count = (uint32_t)db_rows_u(r, 7),
		.total_fen = db_rows_i(r, 8),
		.remaining_fen = db_rows_i(r, 9),
		.created_at_ms = db_rows_i(r, 10),
		.expires_at_ms = db_rows_i(r, 11),
		.seed_id = db_rows_u(r, 12)};
	p->seed_len = packet_bytes_of(r, 13, p->seed, sizeof p->seed);
	p->nonce_len = packet_bytes_of(r, 14, p->nonce, sizeof p->nonce);
	packet_bytes_of(r, 15, p->commitment, sizeof p->commitment);
	packet_bytes_of(r, 16, p->greeting, sizeof p->greeting - 1);
	packet_bytes_of(r, 17, p->video_id, sizeof p->video_id - 1);
	p->campaign = db_rows_u(r, 18);
}

err_t packet_load(db_t *db, uint64_t packet_id, packet_row *out)
{
	db_rows_t *r;
	err_t e = db_select(db, SQL_PACKET_LOAD, DB_ARGS(db_u(packet_id)), &r);
	if (e != ERR_OK)
		return e;
	if (db_rows_next(r))
		row_read(r, out);
	else
		e = ERR_NOT_FOUND;
	db_rows_free(&r);
	return e;
}

err_t packet_list_sent(db_t *db, uint64_t uid, int64_t before_ms, uint64_t below, unsigned limit,
	packet_row *rows, unsigned *count)
{
	BUG_ON(limit > PACKET_LIST_MAX);
	db_rows_t *r;
	const err_t e = db_select(db, SQL_PACKET_SENT_PAGE,
		DB_ARGS(db_u(uid), db_i(before_ms), db_i(before_ms), db_u(below), db_u(limit)), &r);
	if (e != ERR_OK)
		return e;
	*count = 0;
	while (db_rows_next(r))
		row_read(r, &rows[(*count)++]);
	db_rows_free(&r);
	return ERR_OK;
}

err_t packet_was_open(db_t *db, const packet_row *p, bool *was)
{
	if (p->state != STATES_PACKET_CLOSED || p->kind != PACKET_C2C) {
		*was = p->state != STATES_PACKET_UNPAID;
		return ERR_OK;
	}
	payment_row payment;
	const err_t e = payment_of_packet(db, p->packet_id, &payment);
	if (e == ERR_OK)
		*was = payment.state == STATES_PAYMENT_PAID;
	return e;
}

err_t packet_bind_video(
	db_t *db, uint64_t packet_id, uint64_t uid, const char *video_id, packet_row *out)
{
	packet_row p;
	err_t e = packet_load(db, packet_id, &p);
	if (e != ERR_OK)
		return e;
	if (p.sender != uid)
		return ERR_FORBIDDEN;
	if (!*p.video_id) {
		uint64_t closed_below;
		e = age_closed_below(db, &closed_below);
		if (e == ERR_OK && packet_id < closed_below)
			e = ERR_PACKET_AGED;
		if (e != ERR_OK)
			return e;
		e = db_exec(
			db, SQL_PACKET_BIND_VIDEO, DB_ARGS(db_s(video_id), db_u(packet_id)), NULL);
		if (e != ERR_OK)
			return e;
		e = packet_load(db, packet_id, &p); /* another may have been first */
		if (e != ERR_OK)
			return e;
	}
	if (strcmp(p.video_id, video_id) != 0)
		return ERR_VIDEO_ALREADY_BOUND;
	*out = p;
	return ERR_OK;
}
