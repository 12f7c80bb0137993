/* lane: claims of one packet wait in its lane, in order of arrival, and are committed many at once.
 * A lane belongs to one executor (a thread with a connection of its own in the store), so a process
 * never competes with itself for a packet. No HTTP and no SQL in here: a store does the work.
 *
 * Promises: a waiter is answered exactly once and within about wait_ms plus one run of the store;
 * nobody is told CLAIMED unless the store said so after its commit; what may have happened is run
 * again until it is known, before its executor takes new work. Threads: all safe. */
#ifndef HB_DOMAIN_LANE_H
#define HB_DOMAIN_LANE_H

#include "domain/admission.h"
#include "domain/claim.h"

struct lane;

/* One claim of a batch. */
typedef struct {
	uint64_t uid;
	unsigned relations;
	int64_t asked_ms;             /* wall clock of the request */
	char trace[TRACE_TEXT_BYTES]; /* a followed traceparent, or "" */
	uint64_t claim_no;    /* the store's: the number it gave to this claim, kept over reruns */
	err_t err;            /* out: ERR_OK, or what became of this claim alone */
	claim_result result;  /* out, with ERR_OK */
	claim_ticket *waiter; /* lane.c's own, under its lock; NULL once answered */
} lane_item;

/* The claims of one packet, in order of arrival; users may repeat. */
typedef struct {
	uint64_t packet_id;
	lane_item *item;
	unsigned count;
	bool elsewhere;     /* out: locked by somebody else; nothing was done for this packet */
	bool known;         /* out: `remaining` is what the packet has left now */
	uint32_t remaining; /* out */
	bool unknown;       /* lane.c's own: an earlier COMMIT may have happened */
	struct lane *lane;  /* lane.c's own */
} lane_part;

typedef struct {
	lane_part *part; /* distinct packets */
	unsigned parts;
} lane_batch;

/* What commits. `run` is called by one thread per executor (0 … executors-1) and does the whole
 * batch in one transaction on that executor's connection, opening one if there is none:
 *   ERR_OK               committed; every part is elsewhere, or each of its items has err and
 * result ERR_OUTCOME_UNKNOWN  COMMIT's answer was lost; the same batch will be run again. An item
 * that finds a claim with its own claim_no is CLAIMED, not ALREADY ERR_CELL_UNAVAILABLE nothing
 * done, and no use in trying other packets anything else        rolled back; lane tries packet by
 * packet */
typedef struct {
	err_t (*run)(void *ctx, unsigned executor, lane_batch *b);
	void *ctx;
} lane_store;

typedef struct {
	lane_store store;
	unsigned executors;
	unsigned batch_max; /* claims of one run */
	int64_t gather_us;  /* longest wait for more claims before a run; 0: none */
	unsigned lane_max;  /* claims in one lane */
	unsigned lanes_max; /* lanes of all executors */
	int64_t idle_ms;    /* an idle lane is dropped after this */
	int64_t wait_ms;    /* longest wait in the queue, and again in a run */
	admission_conf admission;
} lanes_conf;

typedef struct lanes lanes_t;

err_t lanes_new(const lanes_conf *c, lanes_t **out) MUST_CHECK;
/* Answers everyone who waits, then ends the executors. No claim may come in meanwhile. */
void lanes_free(lanes_t **l);

/* Waits until the claim is answered. ERR_PACKET_BUSY: not let in, or the packet stayed locked
 * elsewhere (nothing was done). ERR_CELL_UNAVAILABLE: the executor did not get to it in time
 * (nothing was done). ERR_OUTCOME_UNKNOWN: it, or an earlier claim on the packet, may have happened.
 * Otherwise the item's own err. */
err_t lanes_claim(lanes_t *l, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t asked_ms, claim_result *out) MUST_CHECK;
/* The same without waiting: after ERR_OK t->done is called once. */
err_t lanes_submit(lanes_t *l, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t asked_ms, claim_ticket *t) MUST_CHECK;
/* What the lane last heard of the packet; false when it has no lane or has heard nothing yet. */
bool lanes_remaining(lanes_t *l, uint64_t packet_id, uint32_t *remaining);
/* Claims that wait for their answer. */
unsigned lanes_waiting(lanes_t *l);

#endif
