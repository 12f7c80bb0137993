/* lane_inner: what lane.c (who waits) and lane_run.c (who works) share; nobody else includes it.
 * Everything in an executor is under its lock, except the contents of the running batch (but for
 * the items' waiters), which are the executor thread's own. */
#ifndef HB_DOMAIN_LANE_INNER_H
#define HB_DOMAIN_LANE_INNER_H

#include "domain/lane.h"

#include <pthread.h>

typedef claim_ticket lane_waiter;

/* Which of its executor's lists a lane is in. */
typedef enum { LANE_NOWHERE, LANE_IDLE, LANE_READY, LANE_DELAYED, LANE_LISTS } lane_at;

typedef struct lane {
	uint64_t packet_id;
	struct lane *chain;
	TAILQ_ENTRY(lane) link;
	lane_at at;
	STAILQ_HEAD(, claim_ticket) queue;
	unsigned queued, flying; /* waiting here; taken into the running batch */
	unsigned delays;         /* times in a row that the packet was locked elsewhere */
	int64_t due_ms;          /* delayed: until; idle: since */
	bool known;
	uint32_t remaining;
} lane;

TAILQ_HEAD(lane_list, lane);

typedef struct {
	lanes_t *all;
	unsigned index;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	bool sleeps, stopping;
	int64_t stopped_ms;
	struct lane_list list[LANE_LISTS];
	lane **bucket;
	unsigned mask, lanes, lanes_max, ready, waiting;
	/* the running batch */
	lane_item *item;
	lane_part *part;
	unsigned items, parts;
	unsigned items_before; /* in the batch before it */
	int64_t taken_ms;
	_Atomic uint32_t **wake; /* words to wake once the lock is free */
	unsigned wakes;
	STAILQ_HEAD(, claim_ticket) told; /* whose `done` is to be called then */
} lane_executor;

struct lanes {
	lanes_conf conf;
	lane_executor *ex;
	pthread_t timer;
	pthread_mutex_t timer_lock;
	pthread_cond_t timer_stop;
	bool timer_ends;
};

/* With the lock held. */
void lane_answer(lane_executor *x, lane_waiter *w, err_t err, const claim_result *result);
void lane_unlock_and_wake(lane_executor *x); /* gives the lock up */
void lane_move(lane_executor *x, lane *n, lane_at to);
void lane_settle(lane_executor *x, lane *n, int64_t now); /* to where its counts say it belongs */
void lane_cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t ms);

void *lane_executor_main(void *executor);

#endif
