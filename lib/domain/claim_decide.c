/* Why: who gets what is decided from rows that are locked, in order of arrival, with no statement in
 * between. A repeated batch tells its own earlier claims from others by the numbers
 * that it gave them. A user who waits twice holds one claim, and both are told of it. */
#include "domain/claim_inner.h"

#include "base/logger.h"
#include "domain/session.h"
#include "domain/states.h"

static bool eligible(const claim_seat *s)
{
	const packet_row *r = &s->packet->row;
	const unsigned friend = 1u << SESSION_FRIEND, fan = 1u << SESSION_FAN;

	if (s->item->uid == r->sender)
		return true;
	switch (r->scope) {
	case PACKET_PUBLIC:
		return true;
	case PACKET_INVITED:
		return s->first->invited;
	case PACKET_FRIENDS:
		return (s->item->relations & friend) != 0;
	case PACKET_FANS:
		return (s->item->relations & (friend | fan)) != 0;
	}
	return false;
}

/* What the packet alone says to somebody who has no claim on it. */
static claim_outcome packet_says(const claim_packet *p, int64_t now)
{
	if (!p->was_open)
		return CLAIM_NOT_OPEN;
	if (p->row.state == STATES_PACKET_EXHAUSTED)
		return CLAIM_EXHAUSTED;
	if (p->row.state != STATES_PACKET_OPEN || now >= p->row.expires_at_ms)
		return CLAIM_EXPIRED;
	return CLAIM_CLAIMED;
}

static err_t shares_ready(claim_batch_t *w, claim_packet *p)
{
	err_t err = ERR_OK;

	if (!p->set) {
		const shares_source src = packet_shares_source(&p->row);
		err = shares_acquire(w->conf.shares, &src, &p->set);
	}
	if (err == ERR_OK && p->set->count != p->row.count)
		err = ERR_INTERNAL;
	if (err != ERR_OK)
		LOG(ERROR, "claim.shares", {"packet_id", LOG_U(p->part->packet_id)},
			{"error", LOG_E(err)});
	return err;
}

/* Gives the next share. The last one must leave nothing. */
static err_t seat_give(claim_batch_t *w, claim_seat *s)
{
	claim_packet *p = s->packet;
	err_t err = shares_ready(w, p);

	if (err != ERR_OK)
		return err;
	const uint32_t index = p->row.count - p->left;
	const int64_t fen = p->set->fen[index];
	s->claim = (claim_row){.packet_id = p->part->packet_id,
		.uid = s->item->uid,
		.index = index,
		.amount_fen = fen,
		.claimed_at_ms = s->item->asked_ms};
	s->fresh = true;
	s->first->holder = s;
	p->left--;
	p->left_fen -= fen;
	p->fresh++;
	w->fresh++;
	if (fen >= 1 && p->left_fen >= 0 && (p->left_fen == 0) == (p->left == 0))
		return ERR_OK;
	LOG(ERROR, "claim.shares_mismatch", {"packet_id", LOG_U(p->part->packet_id)},
		{"left", LOG_U(p->left)});
	return ERR_INTERNAL;
}

static err_t seat_decide(claim_batch_t *w, claim_seat *s)
{
	claim_packet *p = s->packet;
	claim_result *r = &s->item->result;
	err_t err = ERR_OK;

	s->item->err = p->found || p->part->elsewhere ? ERR_OK : ERR_NOT_FOUND;
	if (!p->found)
		return ERR_OK;
	const claim_seat *holder = s->first->holder;
	if (holder) {
		const bool ours = !holder->fresh && s->item->claim_no == holder->claim.claim_no;
		r->outcome = ours ? CLAIM_CLAIMED : CLAIM_ALREADY;
	} else {
		r->outcome = packet_says(p, s->item->asked_ms);
		if (r->outcome == CLAIM_CLAIMED && p->left == 0)
			r->outcome = CLAIM_EXHAUSTED;
		if (r->outcome == CLAIM_CLAIMED && !eligible(s))
			r->outcome = CLAIM_NOT_ELIGIBLE;
		if (r->outcome == CLAIM_CLAIMED)
			err = seat_give(w, s);
		else
			p->refuses = true;
	}
	r->remaining_count = p->left;
	p->part->known = p->was_open;
	p->part->remaining = packet_says(p, s->item->asked_ms) == CLAIM_CLAIMED ? p->left : 0;
	return err;
}

/* Numbers for the fresh claims of one packet that have none from an earlier run. */
static err_t packet_number(claim_batch_t *w, const claim_packet *p, claim_seat *from)
{
	unsigned want = 0, used = 0;

	for (unsigned i = 0; i < p->part->count; i++)
		want += from[i].fresh && from[i].item->claim_no == 0;
	if (want > 0) {
		const unsigned slot = numbers_slot(p->part->packet_id);
		const err_t err = numbers_take(w->conf.numbers, slot, want, w->number);
		if (err != ERR_OK)
			return err;
	}
	for (unsigned i = 0; i < p->part->count; i++) {
		claim_seat *s = &from[i];
		if (s->fresh && s->item->claim_no == 0)
			s->item->claim_no = w->number[used++];
		if (s->fresh)
			s->claim.claim_no = s->item->claim_no;
	}
	for (unsigned i = 0; i < p->part->count; i++) {
		const claim_seat *holder = from[i].first->holder;
		if (holder)
			from[i].item->result.row = holder->claim;
	}
	return ERR_OK;
}

void claim_undecide(claim_batch_t *w)
{
	for (unsigned i = 0; i < w->packets; i++) {
		claim_packet *p = &w->packet[i];
		p->left = p->row.remaining_count;
		p->left_fen = p->row.remaining_fen;
		p->fresh = 0;
		p->refuses = false;
	}
	for (unsigned i = 0; i < w->seats; i++) {
		claim_seat *s = &w->seat[i];
		if (s->first->holder && s->first->holder->fresh)
			s->first->holder = NULL;
	}
	for (unsigned i = 0; i < w->seats; i++)
		w->seat[i].fresh = false;
	w->fresh = 0;
}

err_t claim_decide(claim_batch_t *w)
{
	err_t err = ERR_OK;
	unsigned at = 0;

	for (unsigned i = 0; i < w->seats && err == ERR_OK; i++)
		err = seat_decide(w, &w->seat[i]);
	for (unsigned i = 0; i < w->packets && err == ERR_OK; i++) {
		err = packet_number(w, &w->packet[i], &w->seat[at]);
		at += w->packet[i].part->count;
	}
	return err;
}
