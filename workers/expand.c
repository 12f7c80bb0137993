/* Transfers are one message each, because each is a call of finance; a user's list is filled by
 * messages of many claims, which halve the traffic and cost their consumer one commit. Events are
 * copied as they stand, so that fields which this version does not know survive. */
#include "workers/expand.h"

#include "base/arena.h"
#include "domain/numbers.h"
#include <stdlib.h>
#include <string.h>

enum {
	ARENA_BYTES = 1 << 30, /* never reached: the relay bounds what it takes */
	EVENT_MAX_BYTES = 4096,
};

typedef enum { BY_NUMBER, BY_USER } route_by;

static const struct {
	outbox_kind event;
	queue_id queue;
	route_by by;
	unsigned per_message;
	unsigned delay; /* only events of this delay; 0: all */
} routes[] = {
	{OUTBOX_CLAIMS, QUEUE_TRANSFER, BY_NUMBER, 1, 0},
	{OUTBOX_CLAIMS, QUEUE_INBOX, BY_USER, EXPAND_INBOX_EVENTS, 0},
	{OUTBOX_REFUND, QUEUE_REFUND, BY_NUMBER, 1, 0},
	{OUTBOX_CALLBACK, QUEUE_CALLBACK, BY_NUMBER, 1, 0},
	{OUTBOX_SUBSIDY, QUEUE_SUBSIDY, BY_USER, 1, 0},
	{OUTBOX_ISSUE, QUEUE_ISSUE, BY_USER, 1, 0},
	{OUTBOX_CREDIT, QUEUE_CREDIT, BY_USER, EXPAND_INBOX_EVENTS, 0},
	{OUTBOX_CREDITED, QUEUE_CREDITED, BY_NUMBER, EXPAND_INBOX_EVENTS, 0},
	{OUTBOX_WITHDRAWAL, QUEUE_WITHDRAW, BY_NUMBER, 1, 0},
	{OUTBOX_CHECK, QUEUE_WAIT1, BY_NUMBER, 1, 1},
	{OUTBOX_CHECK, QUEUE_WAIT2, BY_NUMBER, 1, 2},
	{OUTBOX_CHECK, QUEUE_WAIT3, BY_NUMBER, 1, 3},
	{OUTBOX_CHECK, QUEUE_WAIT4, BY_NUMBER, 1, 4},
};

struct expand {
	const topology_t *topo;
	char name[TOPOLOGY_CELLS_MAX][QUEUE_COUNT][QUEUE_NAME_BYTES];
	arena_t *arena;
	mq_out *out;
	unsigned *row;
	size_t count, room;
};

expand_t *expand_new(const topology_t *topo)
{
	expand_t *x = calloc(1, sizeof *x);
	BUG_ON(!x);
	x->topo = topo;
	x->arena = arena_new(ARENA_BYTES);
	for (unsigned c = 0; c < topo->cell_count; c++)
		for (queue_id q = 0; q < QUEUE_COUNT; q++)
			queue_name(q, topo->cell[c].name, x->name[c][q]);
	return x;
}

void expand_free(expand_t **x)
{
	if (!*x)
		return;
	arena_free(&(*x)->arena);
	free((*x)->out);
	free((*x)->row);
	free(*x);
	*x = NULL;
}

void expand_reset(expand_t *x)
{
	arena_reset(x->arena);
	x->count = 0;
}

mq_out *expand_messages(expand_t *x, const unsigned **row, size_t *count)
{
	*row = x->row;
	*count = x->count;
	return x->out;
}

static mq_out *add_message(expand_t *x, unsigned row)
{
	if (x->count == x->room) {
		x->room = x->room ? 2 * x->room : 1024;
		x->out = realloc(x->out, x->room * sizeof *x->out);
		x->row = realloc(x->row, x->room * sizeof *x->row);
		BUG_ON(!x->out || !x->row);
	}
	x->row[x->count] = row;
	x->out[x->count] = (mq_out){0};
	return &x->out[x->count++];
}

/* The texts of a row's events, made once for all of their messages. */
typedef struct {
	const char *text;
	size_t len;
	int8_t cell_of_number, cell_of_user;
	unsigned delay;
} piece;

static err_t cut(expand_t *x, const outbox_events *e, piece *out)
{
	for (size_t i = 0; i < e->count; i++) {
		char text[EVENT_MAX_BYTES];
		size_t n = json_dumpb(json_array_get(e->array, i), text, sizeof text, JSON_COMPACT);
		if (n == 0 || n > sizeof text)
			return ERR_INVALID_JSON;
		out[i] = (piece){arena_strndup(x->arena, text, n), n,
			x->topo->slot_cell[numbers_slot(e->event[i].no)],
			x->topo->slot_cell[numbers_slot(e->event[i].uid)], e->event[i].delay};
	}
	return ERR_OK;
}

/* Gathers the next events for `cell`, from *at on, into one message; false when there are none. */
static bool gather(expand_t *x, unsigned row, unsigned route, int cell, const piece *p,
	size_t count, size_t *at)
{
	const piece *taken[EXPAND_INBOX_EVENTS];
	unsigned n = 0;
	size_t len = 2;
	for (; *at < count && n < routes[route].per_message; ++*at) {
		const piece *one = &p[*at];
		int to = routes[route].by == BY_USER ? one->cell_of_user : one->cell_of_number;
		if (to != cell || (routes[route].delay && one->delay != routes[route].delay))
			continue;
		taken[n++] = one;
		len += one->len + 1;
	}
	if (n == 0)
		return false;
	char *body = arena_alloc(x->arena, len + 1), *to = body;
	for (unsigned i = 0; i < n; i++) {
		*to++ = i ? ',' : '[';
		memcpy(to, taken[i]->text, taken[i]->len);
		to += taken[i]->len;
	}
	*to++ = ']';
	mq_out *m = add_message(x, row);
	m->queue = x->name[cell][routes[route].queue];
	m->body = body;
	m->len = (size_t)(to - body);
	return true;
}

err_t expand_row(expand_t *x, unsigned row, outbox_kind kind, const char *payload, size_t n)
{
	outbox_events e;
	err_t err = outbox_parse(kind, payload, n, &e);
	if (err != ERR_OK)
		return err;
	piece *pieces = arena_alloc(x->arena, e.count * sizeof *pieces);
	err = cut(x, &e, pieces);
	for (unsigned r = 0; r < sizeof routes / sizeof *routes && err == ERR_OK; r++) {
		if (routes[r].event != kind)
			continue;
		for (unsigned c = 0; c < x->topo->cell_count; c++) {
			size_t at = 0;
			while (gather(x, row, r, (int)c, pieces, e.count, &at))
				;
		}
	}
	outbox_events_free(&e);
	return err;
}
