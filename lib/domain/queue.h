/* queue: the queues of a cell, one row each, and which events go to which of them. Everybody who
 * declares a queue goes by these rows, because RabbitMQ refuses a second declaration that differs.
 */
#ifndef HB_DOMAIN_QUEUE_H
#define HB_DOMAIN_QUEUE_H

#include "base/conf.h"
#include "domain/outbox.h"
#include "domain/topology.h"
#include "store/mq.h"

/* QUEUE(id, suffix, event kind, crosses). Relays of other cells publish to those that cross. To
 * `parked` RabbitMQ moves what has used up its deliveries. */
#define QUEUE_ROWS                                                                                 \
	QUEUE(TRANSFER, "transfer", OUTBOX_CLAIMS, false)                                          \
	QUEUE(INBOX, "inbox", OUTBOX_CLAIMS, true)                                                 \
	QUEUE(REFUND, "refund", OUTBOX_REFUND, false)                                              \
	QUEUE(CALLBACK, "callback", OUTBOX_CALLBACK, false)                                        \
	QUEUE(SUBSIDY, "subsidy", OUTBOX_SUBSIDY, false)                                           \
	QUEUE(ISSUE, "issue", OUTBOX_ISSUE, true)                                                  \
	QUEUE(CREDIT, "credit", OUTBOX_CREDIT, true)                                               \
	QUEUE(CREDITED, "credited", OUTBOX_CREDITED, true)                                         \
	QUEUE(WITHDRAW, "withdraw", OUTBOX_WITHDRAWAL, false)                                      \
	QUEUE(CHECK, "check", OUTBOX_CHECK, false)                                                 \
	QUEUE(PARKED, "parked", 0, false)

/* WAIT(id, suffix, seconds): a message waits so long and then goes on to `check`. Nobody consumes
 * them. One queue for each delay, because time only runs out at the head of a queue. */
#define QUEUE_WAITS                                                                                \
	WAIT(WAIT1, "wait1", 2)                                                                    \
	WAIT(WAIT2, "wait2", 10)                                                                   \
	WAIT(WAIT3, "wait3", 60)                                                                   \
	WAIT(WAIT4, "wait4", 300)

typedef enum {
#define QUEUE(id, suffix, event, crosses) QUEUE_##id,
#define WAIT(id, suffix, seconds) QUEUE_##id,
	QUEUE_ROWS QUEUE_WAITS
#undef QUEUE
#undef WAIT
		QUEUE_COUNT
} queue_id;

enum { QUEUE_NAME_BYTES = 24, QUEUE_DELIVERIES = 100 };

outbox_kind queue_event(queue_id q);
/* The events of the queue "A.transfer"; 0 for a queue that is none of a cell's. */
outbox_kind queue_event_named(const char *name);
bool queue_delays(queue_id q); /* nobody consumes it */
/* "A.transfer". */
void queue_name(queue_id q, const char *cell, char out[QUEUE_NAME_BYTES]);
/* With the cell's `parked`, where its messages may end. ERR_MQ_UNAVAILABLE also when the program is
 * told to stop. */
err_t queue_declare(mq_t *mq, const conf_t *conf, queue_id q, const char *cell) MUST_CHECK;
/* Everything that the relay of `own` publishes to: its own queues, and those of the other cells
 * that cross. */
err_t queue_declare_all(
	mq_t *mq, const conf_t *conf, const topology_t *topo, const topology_cell *own) MUST_CHECK;

#endif
