/* lane_fake: a store in memory that can be slow, fail, and lose the answer of its commit; and claims
 * on threads of their own. */
#ifndef HB_TESTS_LANE_FAKE_H
#define HB_TESTS_LANE_FAKE_H

#include "domain/lane.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>

enum { PACKETS = 40, USERS = 400, EXECUTORS_MAX = 4 };

typedef struct {
	pthread_mutex_t lock;
	uint32_t left[PACKETS];
	uint64_t claim_no[PACKETS][USERS];
	uint32_t index[PACKETS][USERS];
	uint64_t numbers;
	/* what it is told to do */
	_Atomic bool hold;        /* every run waits */
	_Atomic int bad_packet;   /* fails every batch that it is in; -1: none */
	_Atomic int locked;       /* a packet locked elsewhere; -1: none */
	_Atomic int stuck;        /* so many runs after an unknown one find its packets locked */
	_Atomic int err_count;    /* so many runs return `err` without effect */
	_Atomic int unknown;      /* so many runs return UNKNOWN ... */
	_Atomic int unknown_from; /* ... of those whose first packet is this or a later one ... */
	_Atomic bool applied;     /* ... after having applied the batch, or not */
	_Atomic unsigned chaos;   /* percent of runs in which something goes wrong */
	_Atomic int delay_us;
	err_t err;
	/* what it saw */
	_Atomic int runs, running, most_items, most_parts, overlaps;
	_Atomic int inside[EXECUTORS_MAX];
	int first_parts; /* of the first run that was not held back */
	unsigned seed;
} fake;

/* One claim on a thread of its own. */
typedef struct {
	pthread_t thread;
	lanes_t *lanes;
	int packet;
	uint64_t uid;
	err_t err;
	claim_result result;
	_Atomic bool done;
} caller;

uint64_t fake_packet_id(int p);
fake *fake_new(uint32_t shares);
lanes_conf fake_conf(fake *f);
lanes_t *fake_lanes(const lanes_conf *c);

void caller_start(caller *c, lanes_t *l, int packet, uint64_t uid);
void caller_join(caller *c);
void caller_expect(caller *c, claim_outcome outcome);
unsigned caller_done(const caller *c, unsigned n); /* how many of them */
/* The executor of the packet is held in a run, with `c` in it. */
void caller_hold(fake *f, lanes_t *l, caller *c, int packet, uint64_t uid);

/* Waits for something that must come soon. */
#define UNTIL(cond)                                                                                \
	do {                                                                                       \
		for (int tries_ = 0; !(cond) && tries_ < 50000; tries_++)                          \
			usleep(200);                                                               \
		assert_true(cond);                                                                 \
	} while (0)

#endif
