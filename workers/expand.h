/* expand: outbox rows → messages. Routing is by the current owner of a slot. Belongs to one thread;
 * everything lives until expand_reset. */
#ifndef HB_WORKERS_EXPAND_H
#define HB_WORKERS_EXPAND_H

#include "domain/queue.h"
#include "domain/topology.h"
#include "store/mq.h"

enum { EXPAND_INBOX_EVENTS = 64 }; /* of one message to an inbox */

typedef struct expand expand_t;

expand_t *expand_new(const topology_t *topo);
void expand_free(expand_t **x);
void expand_reset(expand_t *x);
/* Adds a row's messages, tagged with `row`. ERR_INVALID_JSON, ERR_INVALID_FIELD: the row cannot be
 * read; nothing was added. */
err_t expand_row(
	expand_t *x, unsigned row, outbox_kind kind, const char *payload, size_t n) MUST_CHECK;
/* All messages so far, and of which row each is. Valid until the next call on `x`. */
mq_out *expand_messages(expand_t *x, const unsigned **row, size_t *count);

#endif
