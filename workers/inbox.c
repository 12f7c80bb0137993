/* A message holds many claims (see expand.c), so that filling the lists costs one commit for all of
 * them. In the order of the key, because two consumers may hold copies of one message. */
#include "domain/received.h"
#include "workers/role.h"
#include <stdlib.h>
#include <string.h>

static int by_user(const void *a, const void *b)
{
	const outbox_event *x = a, *y = b;
	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return (x->no > y->no) - (x->no < y->no);
}

static err_t add_tx(db_t *db, void *ctx)
{
	const outbox_events *events = ctx;
	err_t err = ERR_OK;
	for (size_t i = 0; i < events->count && err == ERR_OK; i++) {
		const outbox_event *e = &events->event[i];
		received_row row = {.uid = e->uid,
			.claim_no = e->no,
			.packet_id = e->packet_id,
			.sender = e->sender,
			.packet_kind = e->packet_kind,
			.amount_fen = e->amount_fen,
			.claimed_at_ms = e->claimed_at_ms};
		err = received_add(db, &row);
	}
	return err;
}

err_t inbox_handle(worker_t *w, const outbox_events *events)
{
	for (size_t i = 0; i < events->count; i++)
		if (!program_owns_slot(w->p, numbers_slot(events->event[i].uid)))
			return ERR_WRONG_CELL;
	outbox_events sorted = {.count = events->count};
	sorted.event = malloc((sorted.count + 1) * sizeof *sorted.event);
	BUG_ON(!sorted.event);
	memcpy(sorted.event, events->event, sorted.count * sizeof *sorted.event);
	qsort(sorted.event, sorted.count, sizeof *sorted.event, by_user);
	err_t err = role_transact(w, add_tx, &sorted);
	free(sorted.event);
	return err;
}
