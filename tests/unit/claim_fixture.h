/* claim_fixture: the schema in the scratch database of HB_TEST_MYSQL, packets in it, and what a
 * claim needs: keys, shares, numbers, a pool. A proxy stands between claims and the server; the
 * fixture's own statements go around it. */
#ifndef HB_TESTS_CLAIM_FIXTURE_H
#define HB_TESTS_CLAIM_FIXTURE_H

#include "domain/claim.h"
#include "domain/packet.h"
#include "tests/unit/server_tests.h"

enum {
	FIXTURE_EPOCH = 3,
	FIXTURE_SENDER = 5000001,
	FIXTURE_NOW = 1790000000,
	FIXTURE_DAY = 86400000
};

typedef struct {
	proxy_t *proxy;
	db_target target; /* through the proxy */
	db_target direct; /* around it, like the rest */
	db_t *db;
	keys_ring_t *ring;
	shares_t *shares;
	db_pool_t *pool;
	numbers_t *numbers;
	uint64_t packets; /* made so far */
} claim_fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);

typedef struct {
	packet_scope scope; /* 0: public */
	unsigned state;     /* 0: open */
	uint32_t count;
	int64_t total_fen;
	int64_t expires_at_ms; /* 0: a day after FIXTURE_NOW */
} fixture_packet;
/* A new packet; its id. */
uint64_t fixture_packet_new(claim_fixture *f, const fixture_packet *p);
void fixture_run(claim_fixture *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The only value of a query; 0 for NULL. */
uint64_t fixture_value(claim_fixture *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A claim service as one process has it. */
typedef struct {
	program_t program;
	claim_service_t *service;
} fixture_process;
/* `c` without its program and shares; `target` is where lanes connect to. */
void fixture_process_start(fixture_process *p, claim_fixture *f, const db_target *target,
	const claim_service_conf *c, const char *options[][2]);
void fixture_process_end(fixture_process *p);

/* Claims, packets and outbox agree with each other everywhere: counts, sums, positions, shares,
 * states, and one event for each claim. */
void fixture_check_books(claim_fixture *f);

#endif
