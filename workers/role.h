/* role: what a hb-worker can be, one row of a table each (domain/roles.def). A role is the consumer of
 * one of the cell's queues, or a loop of its own. A process runs one role in one or more threads,
 * which share nothing but the pool. */
#ifndef HB_WORKERS_ROLE_H
#define HB_WORKERS_ROLE_H

#include "domain/numbers.h"
#include "domain/orders.h"
#include "domain/program.h"
#include "domain/queue.h"

typedef struct worker worker_t;

/* Handles one message; done when its effects are committed. Each may come again, also after it was
 * done. What the errors mean to the consumer is in consume.h. */
typedef err_t (*role_handler)(worker_t *w, const outbox_events *events);
/* Runs until life_stopping(). */
typedef void (*role_loop)(worker_t *w);

typedef struct {
	const char *name;
	role_loop loop;
	role_handler
		handler; /* of a consumer, whose loop is consume_run; NULL: what it gets is parked */
	queue_id queue;  /* of a consumer */
	bool waits;      /* for finance: worker.threads threads, else one */
	/* Of a consumer, or 0: messages that are handled in one call at most, and a second. A batch
	 * that fails is handled again, message by message. */
	conf_id batch, rate;
	/* Of a consumer, or NULL: all that was confirmed to its publisher before at_ms is handled,
	 * and this is the queue's only consumer. Some times a second while nothing comes. */
	void (*idle)(worker_t *w, int64_t at_ms);
	/* Of a consumer, or NULL: while true, the messages stay in their queue. */
	bool (*held)(const worker_t *w);
	/* Or NULL: what a standby of the role does until life_stopping(); the others only wait. */
	void (*standby)(const program_t *p);
	const char *help, *db_user;
} role_row;

/* One thread's share of the process. */
struct worker {
	const role_row *role;
	const program_t *p;
	db_pool_t *db;
	numbers_t *numbers;
	orders_desk desk; /* with this thread's client of finance */
	cache_t *cache;   /* of this site: a role with `idle` only, else NULL */
	peer_t *peer;     /* this thread's client of other cells */
};

void consume_run(worker_t *w);
void relay_run(worker_t *w);
void sweep_run(worker_t *w);
void heartbeat_run(worker_t *w);
void reconcile_run(worker_t *w);
void alert_run(worker_t *w);
void watch_run(worker_t *w);
void watch_standby(const program_t *p);
bool transfer_held(const worker_t *w);
bool callback_held(const worker_t *w);
void age_run(worker_t *w);
err_t transfer_handle(worker_t *w, const outbox_events *events) MUST_CHECK;
err_t refund_handle(worker_t *w, const outbox_events *events) MUST_CHECK;
err_t withdraw_handle(worker_t *w, const outbox_events *events) MUST_CHECK;
err_t callback_handle(worker_t *w, const outbox_events *events) MUST_CHECK;
err_t check_handle(worker_t *w, const outbox_events *events) MUST_CHECK;
err_t credit_handle(worker_t *w, const outbox_events *events) MUST_CHECK;
err_t credited_handle(worker_t *w, const outbox_events *events) MUST_CHECK;
err_t inbox_handle(worker_t *w, const outbox_events *events) MUST_CHECK;
err_t subsidy_handle(worker_t *w, const outbox_events *events) MUST_CHECK;
void subsidy_idle(worker_t *w, int64_t at_ms);
err_t issue_handle(worker_t *w, const outbox_events *events) MUST_CHECK;

/* Until the next call this thread works for the trace of that event; NULL: for none. The consumer says it
 * of a message with one event; a handler that takes those of several apart, of each. */
void role_follow(const outbox_event *e);
/* A transaction with the configured number of tries. */
err_t role_transact(worker_t *w, db_tx_fn fn, void *ctx) MUST_CHECK;
/* orders_submit, after whose failure at finance the order is left to callback, check and sweep. */
err_t role_submit(worker_t *w, finance_kind kind, uint64_t order_no) MUST_CHECK;
/* ERR_OK for what finance caused: the order's row is there, and its next check has been arranged. */
err_t role_left_to_others(err_t err) MUST_CHECK;
/* It for each event of a message. */
err_t role_submit_all(worker_t *w, finance_kind kind, const outbox_events *events) MUST_CHECK;
/* A message of a queue into the table `parked`, for a person, who is told. */
err_t role_park(
	worker_t *w, const char *queue, const char *why, const char *body, size_t n) MUST_CHECK;

#endif
