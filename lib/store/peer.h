/* peer: our own programs in other cells, over HTTP through nginx's internal listener, signed
 * (base/signature.h, as "internal"). One peer_t per thread (a curl handle that is kept). What is
 * asked for must be idempotent: an answer may be lost. */
#ifndef HB_STORE_PEER_H
#define HB_STORE_PEER_H

#include "base/err.h"
#include "base/keys.h"
#include <stdint.h>

#define PEER_WHO "internal"
enum { PEER_ANSWER_BYTES = 4096, PEER_CELLS_MAX = 26 };

typedef struct {
	char urls[1024]; /* "http://127.0.0.1:18004,…": of every nginx; tried in turn */
	int64_t connect_ms, total_ms;
	const keys_ring_t *keys;
	const int8_t *cell_of_slot; /* of 1000 slots, 0 to PEER_CELLS_MAX - 1 */
	unsigned
		most; /* calls of one cell that a process has under way: a cell that hangs holds no more */
} peer_target;

typedef struct peer peer_t;

/* The target is copied; keys and slots are not. */
err_t peer_new(const peer_target *t, peer_t **out) MUST_CHECK;
void peer_free(peer_t **p);

typedef struct {
	long status; /* 200 or 201 */
	size_t len;
	char body[PEER_ANSWER_BYTES]; /* zero-terminated */
} peer_answer;

/* Posts a JSON body; `slot`: of the path's number. ERR_CELL_UNAVAILABLE: it was not sent, because
 * nobody could be reached or that cell has its most calls under way; ERR_OUTCOME_UNKNOWN: no answer, or none
 * that is understood; a problem's own code otherwise. `traceparent` may be NULL. */
err_t peer_post(peer_t *p, const char *path, unsigned slot, const char *body, size_t n,
	const char *traceparent, peer_answer *out) MUST_CHECK;

#endif
