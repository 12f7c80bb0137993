/* rounds: which of several kinds of things is looked for next, by all threads of a process together. A
 * round looks at each kind once, a batch at most; of whatever there was a whole batch there may be more,
 * and then every kind is looked at once again, that one last. So a pile of one kind, however high, keeps
 * the others waiting for no longer than a batch of it takes. Threads: all safe. */
#ifndef HB_WORKERS_ROUNDS_H
#define HB_WORKERS_ROUNDS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
	pthread_mutex_t lock;
	unsigned kinds;
	unsigned next;    /* the kind whose turn it is; goes on from round to round */
	unsigned left;    /* looks until this round is over */
	int64_t begin_ms; /* of the next round, monotonic */
} rounds_t;

#define ROUNDS_OF(kinds_)                                                                          \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER, .kinds = (kinds_)                               \
	}

/* Whether something is to be looked at now, and what. pause_ms: between two rounds. */
bool rounds_take(rounds_t *r, int64_t now_ms, int64_t pause_ms, unsigned *kind);
/* There was a whole batch of what was taken last. */
void rounds_more(rounds_t *r);

#endif
