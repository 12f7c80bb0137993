/* claim_crowd: a few users on a few packets, asked for at once through a claim service, one user of
 * each packet twice and one more than it has shares; and what must hold of the answers whatever went
 * wrong on the way. */
#ifndef HB_TESTS_CLAIM_CROWD_H
#define HB_TESTS_CLAIM_CROWD_H

#include "tests/unit/claim_fixture.h"

#include <pthread.h>

enum { CROWD_PACKETS = 3, CROWD_ASKS = 15 };

typedef struct crowd crowd;

typedef struct {
	claim_ticket ticket;
	crowd *crowd;
	uint64_t packet_id, uid;
	err_t err;
	claim_result result;
} crowd_ask;

struct crowd {
	claim_fixture *f;
	claim_service_t *service;
	uint64_t packet[CROWD_PACKETS]; /* of 1, 3 and 5 shares */
	crowd_ask ask[CROWD_ASKS];
	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned waiting;
};

/* New packets and their users; nothing is asked yet. */
crowd *crowd_new(claim_fixture *f, claim_service_t *s);
void crowd_free(crowd **c);
/* With lanes all are under way when crowd_start returns; with the row lock it asks one after the
 * other and crowd_wait has nothing to wait for. */
void crowd_start(crowd *c);
void crowd_wait(crowd *c);
/* Nobody was refused or left in doubt: every share is given, each to one user, and the rest know. */
void crowd_expect_all_served(const crowd *c);
/* Whoever was told of a claim has it so in the rows; whoever was refused has none; nobody was told
 * twice that they claimed. A repeat without faults (through `again`, perhaps another service) gives
 * everyone their first result, and those without one a share or the packet's end. */
void crowd_check(const crowd *c, claim_service_t *again);
/* How many asks ended so. */
unsigned crowd_count(const crowd *c, err_t err);

#endif
