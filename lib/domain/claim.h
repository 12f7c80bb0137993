/* claim: one user's opening of one packet. The service owns the lanes and their executors (lane.h),
 * or, with claim.row_lock, claims in one locked transaction each (the baseline of the benchmark).
 * Threads: all safe. */
#ifndef HB_DOMAIN_CLAIM_H
#define HB_DOMAIN_CLAIM_H

#include "base/trace.h"
#include "domain/numbers.h"
#include "domain/program.h"
#include "domain/shares.h"
#include "domain/transfer.h"
#include "store/cache.h"
#include "store/db.h"

#include <stdatomic.h>
#include <sys/queue.h>

typedef enum {
	CLAIM_CLAIMED = 1,
	CLAIM_ALREADY,
	CLAIM_EXHAUSTED,
	CLAIM_EXPIRED,
	CLAIM_NOT_OPEN,
	CLAIM_NOT_ELIGIBLE,
} claim_outcome;

typedef struct {
	uint64_t packet_id, uid, claim_no;
	uint32_t index;
	int64_t amount_fen, claimed_at_ms;
} claim_row;

typedef struct {
	claim_outcome outcome;
	claim_row row; /* with CLAIMED and ALREADY */
	uint32_t remaining_count;
	transfer_end transfer; /* with ALREADY: known without asking; pending says nothing */
} claim_result;

/* A claim that waits for its answer. Its memory is the caller's until `done` is called. */
typedef struct claim_ticket {
	void (*done)(struct claim_ticket *t); /* once, from another thread; must not block */
	void *ctx;
	/* lane.c's own: */
	STAILQ_ENTRY(claim_ticket) link;
	uint64_t uid;
	unsigned relations;
	int64_t asked_ms, since_ms;   /* wall; monotonic */
	char trace[TRACE_TEXT_BYTES]; /* the asking thread's, if it is followed; else "" */
	err_t err;
	claim_result result;
	_Atomic uint32_t word; /* the futex of a thread that waits, where done is NULL */
} claim_ticket;

typedef struct claim_service claim_service_t;
typedef struct {
	program_t *program;
	db_pool_t *db;
	cache_t *cache;
	numbers_t *numbers;
	shares_t *shares;
} claim_service_conf;

err_t claim_service_new(const claim_service_conf *c, claim_service_t **out) MUST_CHECK;
/* Finishes what was accepted, then ends the executors. */
void claim_service_free(claim_service_t **s);

/* `relations`: bit SESSION_FRIEND / SESSION_FAN set when a verified grant says so (1 << relation);
 * `invited` packets are looked up. ERR_NOT_FOUND; ERR_PACKET_BUSY with *retry_ms;
 * ERR_OUTCOME_UNKNOWN; ERR_CELL_UNAVAILABLE. */
err_t claim_open(claim_service_t *s, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t now_ms, int64_t *retry_ms, claim_result *out) MUST_CHECK;

/* The answer of a packet whose claims can no more change (settled.h), from memory; false when it is not
 * there. Counted as a claim. Nothing with the row lock. */
bool claim_known(claim_service_t *s, uint64_t packet_id, uint64_t uid, claim_result *out);
/* To be told of each result that was not claim_known: learns packets that are settled now (one query
 * by the first who comes too late). Failures cost only speed. */
void claim_learn(claim_service_t *s, uint64_t packet_id, const claim_result *r);
/* The transfer of a claim_known claim has been seen at its end. */
void claim_transfer_end(claim_service_t *s, uint64_t packet_id, uint64_t uid, transfer_end end);

/* The same in two halves, so that no thread waits in between: after ERR_OK the ticket's `done` is
 * called, and then claim_collect says what became of it. Any other error is the answer. Only where
 * claim_defers; with the row lock a claim holds its thread. */
bool claim_defers(const claim_service_t *s);
err_t claim_submit(claim_service_t *s, uint64_t packet_id, uint64_t uid, unsigned relations,
	int64_t now_ms, int64_t *retry_ms, claim_ticket *t) MUST_CHECK;
err_t claim_collect(const claim_ticket *t, int64_t *retry_ms, claim_result *out) MUST_CHECK;

/* ERR_NOT_FOUND when the user has not claimed. */
err_t claim_find(db_t *db, uint64_t packet_id, uint64_t uid, claim_row *out) MUST_CHECK;
/* Up to `limit` claims of a packet with index ≥ from, in index order; *count rows are written to
 * `rows`. */
err_t claim_list(db_t *db, uint64_t packet_id, uint32_t from, unsigned limit, claim_row *rows,
	unsigned *count) MUST_CHECK;

#endif
