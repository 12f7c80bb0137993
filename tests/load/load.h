/* load: drives an HTTP server over keep-alive connections from a few threads, closed (each
 * connection asks again when it is answered) or open (requests have a schedule, and a late one
 * counts from when it was due, so that a slow server cannot hide what it makes others wait). */
#ifndef HB_LOAD_LOAD_H
#define HB_LOAD_LOAD_H

#include "tests/load/hist.h"
#include "tests/load/reply.h"

#include <netinet/in.h>

enum { LOAD_STATUSES = 600, LOAD_REQUEST_BYTES = 1024 };

/* Request k: `before`, the packet k % packets, `after`, the token k % users, the end. With a body the
 * packet stands in it: between body_before and body_after. */
typedef struct {
	struct sockaddr_in to;
	const char *before, *after; /* text around the packet's number; after ends the head but for
				       the token's line */
	const uint64_t *packet;     /* NULL: none */
	size_t packets;
	const char *token; /* users × token_bytes; NULL: none */
	size_t users, token_bytes;
	const char *key; /* of the header Idempotency-Key, followed by k; NULL: none */
	const char *body_before, *body_after; /* NULL: no body */
	bool reuse;       /* users may come again; else the run ends when all have come */
	uint64_t tickets; /* requests at most; 0: as many as fit */
	unsigned connections, threads;
	double rate; /* requests a second; 0: closed loop */
	int64_t warm_ms, run_ms, drain_ms;
} load_conf;

typedef struct {
	uint64_t sent, answered, in_window; /* answered: with any status, over the whole run */
	uint64_t status[LOAD_STATUSES], outcome[REPLY_OUTCOMES];
	uint64_t window_outcome[REPLY_OUTCOMES];
	uint64_t broken;  /* connections that ended with a request in flight */
	uint64_t missing; /* requests without an answer at the end */
	bool ran_out;     /* of users or tickets before its time */
	double window_s;
	hist_t latency;         /* of answers in the window, µs */
	hist_t served, refused; /* of these, with 200 and with 429 */
} load_result;

/* 0, or an errno when no connection could be made. */
int load_run(const load_conf *c, load_result *out);

#endif
