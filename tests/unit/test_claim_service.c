/* The whole service under a crowd, on a real server that keeps killing its connections: nobody who
 * was told "claimed" is missing, nobody has two shares, and nobody refused has left a trace. Two
 * services stand for two processes that serve the same packets. */
#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "tests/unit/claim_fixture.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 24, PACKETS = 12, USERS = 240, SERVICES_MAX = 2 };

static fixture_process processes[SERVICES_MAX];
static uint64_t packet[PACKETS];

static void process_start(fixture_process *p, claim_fixture *f, const char *options[][2])
{
	const claim_service_conf c = {.db = f->pool, .numbers = f->numbers};

	fixture_process_start(p, f, &f->direct, &c, options);
}

/* ---- a crowd ---- */

typedef struct {
	pthread_t thread;
	unsigned seed, services;
	int tries;
	uint64_t told[PACKETS][USERS + 1]; /* the claim's number */
	bool maybe[PACKETS][USERS + 1];
	unsigned wrong, claimed, exhausted, busy, unknown, failed;
} member;

static void member_learns(member *m, int p, uint64_t uid, err_t err, const claim_result *r)
{
	if (err == ERR_OUTCOME_UNKNOWN) {
		m->unknown++;
		m->maybe[p][uid] = true;
	} else if (err == ERR_PACKET_BUSY) {
		m->busy++;
	} else if (err != ERR_OK) {
		m->failed++;
	} else if (r->outcome == CLAIM_EXHAUSTED) {
		m->exhausted++;
		m->wrong += m->told[p][uid] != 0;
	} else {
		m->claimed += r->outcome == CLAIM_CLAIMED;
		m->wrong += r->outcome != CLAIM_CLAIMED && r->outcome != CLAIM_ALREADY;
		m->wrong += r->outcome == CLAIM_ALREADY && !m->told[p][uid] && !m->maybe[p][uid];
		m->wrong += r->row.uid != uid || r->row.packet_id != packet[p];
		m->wrong += m->told[p][uid] && m->told[p][uid] != r->row.claim_no;
		m->told[p][uid] = r->row.claim_no;
	}
}

/* Every member has users of its own, so that it knows all that they were told. */
static void *member_main(void *arg)
{
	member *m = arg;
	const uint64_t first = 1 + m->seed % THREADS * (USERS / THREADS);

	for (int i = 0; i < m->tries; i++) {
		const int p = rand_r(&m->seed) % PACKETS;
		const uint64_t uid = first + (uint64_t)rand_r(&m->seed) % (USERS / THREADS);
		fixture_process *s = &processes[(unsigned)rand_r(&m->seed) % m->services];
		int64_t retry_ms;
		claim_result r = {0};
		const err_t err =
			claim_open(s->service, packet[p], uid, 0, FIXTURE_NOW + 1, &retry_ms, &r);
		member_learns(m, p, uid, err, &r);
	}
	return NULL;
}

static _Atomic bool killing;

typedef struct {
	const char *database;
	uint64_t id[256];
	unsigned count;
} sessions;

static void on_session(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	sessions *s = ctx;

	(void)result, (void)cols, (void)len;
	if (col[3] && strcmp(col[3], s->database) == 0 && s->count < UNIT_COUNT(s->id))
		s->id[s->count++] = strtoull(col[0], NULL, 10);
}

/* Kills the claims' connections, wherever they are in their transactions. SHOW, because a query of
 * information_schema.processlist meanwhile crashed MariaDB 10.11.19 (ha_maria::drop_table). */
static void *killer_main(void *arg)
{
	static const char show[] = "SHOW PROCESSLIST";
	claim_fixture *f = arg;
	unsigned seed = 7;
	char sql[64];

	while (killing) {
		sessions s = {.database = f->direct.database};
		usleep((unsigned)rand_r(&seed) % 6000);
		if (db_script(f->db, show, sizeof(show) - 1, on_session, &s) != ERR_OK)
			break;
		if (s.count == 0)
			continue;
		const uint64_t id = s.id[(unsigned)rand_r(&seed) % s.count];
		if (id == db_thread_id(f->db))
			continue;
		const int n = snprintf(sql, sizeof(sql), "KILL %" PRIu64, id);
		if (db_script(f->db, sql, (size_t)n, NULL, NULL) != ERR_OK)
			continue; /* it has gone already */
	}
	return NULL;
}

static void compare_with_rows(claim_fixture *f, const member *m)
{
	for (int p = 0; p < PACKETS; p++) {
		for (uint64_t uid = 1; uid <= USERS; uid++) {
			const member *who = &m[(uid - 1) / (USERS / THREADS)];
			const uint64_t row = fixture_value(f,
				"SELECT claim_no FROM (SELECT 1) x LEFT JOIN claim ON packet_id"
				" = %" PRIu64 " AND uid = %" PRIu64,
				packet[p], uid);
			if (who->told[p][uid])
				assert_int_equal(row, who->told[p][uid]);
			else if (!who->maybe[p][uid])
				assert_int_equal(row, 0);
		}
	}
}

static void crowd(claim_fixture *f, unsigned services, bool kill, uint32_t shares, int tries)
{
	member *m = calloc(THREADS, sizeof(*m));
	member sum = {0};
	pthread_t killer;
	const int64_t start = clk_mono_ms();

	assert_non_null(m);
	for (int p = 0; p < PACKETS; p++)
		packet[p] = fixture_packet_new(
			f, &(fixture_packet){.count = shares, .total_fen = shares * 10});
	killing = kill;
	if (kill)
		pthread_create(&killer, NULL, killer_main, f);
	for (unsigned i = 0; i < THREADS; i++) {
		m[i].seed = THREADS * 1000 + i;
		m[i].services = services;
		m[i].tries = tries;
		pthread_create(&m[i].thread, NULL, member_main, &m[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(m[i].thread, NULL);
		sum.claimed += m[i].claimed;
		sum.exhausted += m[i].exhausted;
		sum.busy += m[i].busy;
		sum.unknown += m[i].unknown;
		sum.failed += m[i].failed;
		sum.wrong += m[i].wrong;
	}
	killing = false;
	if (kill)
		pthread_join(killer, NULL);
	for (unsigned i = 0; i < services; i++)
		fixture_process_end(&processes[i]);
	print_message("# %lld ms, claimed %u exhausted %u busy %u unknown %u failed %u\n",
		(long long)(clk_mono_ms() - start), sum.claimed, sum.exhausted, sum.busy,
		sum.unknown, sum.failed);
	assert_int_equal(sum.wrong, 0);
	if (!kill) {
		assert_int_equal(sum.failed + sum.unknown, 0);
		assert_int_equal(sum.claimed, PACKETS * shares);
	}
	compare_with_rows(f, m);
	fixture_check_books(f);
	free(m);
}

/* ---- cases ---- */

static void a_crowd_shares_every_packet_exactly(void **state)
{
	process_start(&processes[0], *state, (const char *[][2]){{NULL, NULL}});
	crowd(*state, 1, false, 40, 400);
}

static void two_processes_that_serve_the_same_packets_are_exact_too(void **state)
{
	for (unsigned i = 0; i < 2; i++)
		process_start(&processes[i], *state,
			(const char *[][2]){
				{"claim.hash", "false"}, {"claim.batch_max", "16"}, {NULL, NULL}});
	crowd(*state, 2, false, 40, 400);
}

static void killed_connections_lose_and_double_nothing(void **state)
{
	for (unsigned i = 0; i < 2; i++)
		process_start(&processes[i], *state,
			(const char *[][2]){{"claim.executors", "3"}, {NULL, NULL}});
	crowd(*state, 2, true, 200, 600);
	assert_true(metrics_get(METRICS_CLAIM_BATCH_RERUNS, 0) > 0); /* commits that were killed */
	assert_true(metrics_get(METRICS_CLAIM_BATCH_RERUNS, 2) > 0);
}

static void one_locked_transaction_per_claim_is_exact_too(void **state)
{
	process_start(&processes[0], *state,
		(const char *[][2]){{"claim.row_lock", "true"}, {NULL, NULL}});
	crowd(*state, 1, false, 40, 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crowd_shares_every_packet_exactly),
		cmocka_unit_test(two_processes_that_serve_the_same_packets_are_exact_too),
		cmocka_unit_test(killed_connections_lose_and_double_nothing),
		cmocka_unit_test(one_locked_transaction_per_claim_is_exact_too),
	};

	logger_init("test", "A", 1, LOGGER_ERROR);
	return cmocka_run_group_tests_name("claim_service", tests, fixture_setup, fixture_teardown);
}
