/* Rows and gaps that others hold, on a real server: waits that end in 1205, deadlocks (1213), one
 * packet that stays locked, and a packet that changes although it is locked. The others' part is
 * played on a connection around the service's. */
#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "tests/unit/claim_crowd.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	LOCK_WAIT_S = 1,
	LONG_WAIT_S = 20,
	PACE_WAIT_S = 6,
	AWAIT_MS = 10000,
	PACE_CLAIMS = 150,
	HEAVY_ROWS = 500
};
enum { RERUN_RETRY = 1, TX_RETRIED = 3 }; /* labels of CLAIM_BATCH_RERUNS and DB_TX */

/* With numbers of its own, of which none is leased yet. */
typedef struct {
	fixture_process process;
	db_pool_t *pool;
	numbers_t *numbers;
} lock_service;

static void service_start_waiting(
	lock_service *s, claim_fixture *f, int64_t lock_wait_s, const char *options[][2])
{
	db_target target = f->direct;

	target.lock_wait_s = lock_wait_s;
	assert_int_equal(db_pool_new(&target, 4, 5000, &s->pool), ERR_OK);
	assert_int_equal(numbers_new(s->pool, 1, 1000, &s->numbers), ERR_OK);
	const claim_service_conf c = {.db = s->pool, .numbers = s->numbers};
	fixture_process_start(&s->process, f, &target, &c, options);
}

static void service_start(lock_service *s, claim_fixture *f, const char *options[][2])
{
	service_start_waiting(s, f, LOCK_WAIT_S, options);
}

static void service_end(lock_service *s)
{
	fixture_process_end(&s->process);
	numbers_free(&s->numbers);
	db_pool_free(&s->pool);
}

static const char *one_executor[][2] = {{"claim.executors", "1"}, {NULL, NULL}};

static void await_more(metrics_id id, unsigned label, int64_t than)
{
	const int64_t until = clk_mono_ms() + unit_patience_ms(AWAIT_MS);

	while (metrics_get(id, label) <= than && clk_mono_ms() < until)
		usleep(1000);
	assert_true(metrics_get(id, label) > than);
}

/* The server renews this table only for those who have not asked for a tenth of a second. */
static void await_lock_waits(claim_fixture *f, uint64_t count)
{
	const int64_t until = clk_mono_ms() + unit_patience_ms(AWAIT_MS);
	uint64_t waiting;

	do {
		assert_true(clk_mono_ms() < until);
		usleep(120000);
		waiting = fixture_value(f, "SELECT COUNT(*) FROM information_schema.INNODB_TRX"
					   " WHERE trx_state = 'LOCK WAIT'");
	} while (waiting < count);
}

static uint64_t deadlocks(claim_fixture *f)
{
	return fixture_value(f, "SELECT variable_value FROM information_schema.GLOBAL_STATUS"
				" WHERE variable_name = 'Innodb_deadlocks'");
}

/* Nobody can append to the outbox until ROLLBACK. */
static void hold_outbox(claim_fixture *f)
{
	fixture_run(f, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION;"
		       "SELECT id FROM outbox ORDER BY id DESC LIMIT 1 FOR UPDATE");
}

static void a_wait_for_a_lock_that_ends_in_vain_is_run_again(void **state)
{
	claim_fixture *f = *state;
	const int64_t retries = metrics_get(METRICS_CLAIM_BATCH_RERUNS, RERUN_RETRY);
	lock_service s;

	service_start(&s, f, one_executor);
	crowd *c = crowd_new(f, s.process.service);
	hold_outbox(f);
	crowd_start(c);
	await_more(METRICS_CLAIM_BATCH_RERUNS, RERUN_RETRY, retries); /* 1205 */
	fixture_run(f, "ROLLBACK");
	crowd_wait(c);
	crowd_expect_all_served(c);
	crowd_check(c, s.process.service);
	crowd_free(&c);
	service_end(&s);
	fixture_check_books(f);
}

static void a_lock_that_outlasts_all_patience_costs_nobody_a_share(void **state)
{
	claim_fixture *f = *state;
	const char *options[][2] = {
		{"claim.executors", "1"}, {"claim.unknown_ms", "1500"}, {NULL, NULL}};
	lock_service s;

	service_start(&s, f, options);
	crowd *c = crowd_new(f, s.process.service);
	hold_outbox(f);
	crowd_start(c);
	crowd_wait(c);
	assert_int_equal(crowd_count(c, ERR_OK), 0);
	fixture_run(f, "ROLLBACK");
	crowd_check(c, s.process.service);
	crowd_free(&c);
	service_end(&s);
	fixture_check_books(f);
}

static void a_lease_of_numbers_that_waits_for_a_lock_is_run_again(void **state)
{
	claim_fixture *f = *state;
	const int64_t retries = metrics_get(METRICS_DB_TX, TX_RETRIED);
	lock_service s;

	service_start(&s, f, one_executor);
	crowd *c = crowd_new(f, s.process.service);
	fixture_run(f, "START TRANSACTION; SELECT next_seq FROM id_block FOR UPDATE");
	crowd_start(c);
	await_more(METRICS_DB_TX, TX_RETRIED, retries); /* 1205 */
	fixture_run(f, "ROLLBACK");
	crowd_wait(c);
	crowd_expect_all_served(c);
	crowd_check(c, s.process.service);
	crowd_free(&c);
	service_end(&s);
	fixture_check_books(f);
}

/* The other has written so much that the server gives up the claims' transaction, not its. */
static void a_deadlock_is_run_again(void **state)
{
	claim_fixture *f = *state;
	const int64_t retries = metrics_get(METRICS_CLAIM_BATCH_RERUNS, RERUN_RETRY);
	const uint64_t before = deadlocks(f);
	const char *patient[][2] = {
		{"claim.executors", "1"}, {"claim.unknown_ms", "30000"}, {NULL, NULL}};
	lock_service s;

	service_start_waiting(&s, f, LONG_WAIT_S, patient);
	crowd *c = crowd_new(f, s.process.service);
	hold_outbox(f);
	for (unsigned i = 0; i < HEAVY_ROWS; i++)
		fixture_run(f, "INSERT INTO parked (queue, reason, parked_at, body) VALUES ('q', "
			       "'heavy', 0, '')");
	crowd_start(c);
	await_lock_waits(f, 1);
	fixture_run(f, "SELECT 1 FROM packet WHERE packet_id = %" PRIu64 " FOR UPDATE",
		c->ask[0].packet_id);
	assert_int_equal(deadlocks(f), before + 1);
	await_more(METRICS_CLAIM_BATCH_RERUNS, RERUN_RETRY, retries); /* 1213 */
	fixture_run(f, "ROLLBACK");
	crowd_wait(c);
	crowd_expect_all_served(c);
	crowd_check(c, s.process.service);
	crowd_free(&c);
	service_end(&s);
	fixture_check_books(f);
}

/* ---- one packet locked ---- */

typedef struct {
	pthread_t thread;
	claim_service_t *service;
	uint64_t packet_id, uid;
	err_t err;
	claim_result result;
	_Atomic bool done;
} lone_claim;

static err_t claim_until_let_in(claim_service_t *s, uint64_t packet, uint64_t uid, claim_result *r)
{
	int64_t retry_ms;
	err_t err;

	do
		err = claim_open(s, packet, uid, 0, FIXTURE_NOW + 1, &retry_ms, r);
	while (err == ERR_PACKET_BUSY);
	return err;
}

static void *lone_main(void *arg)
{
	lone_claim *l = arg;

	l->err = claim_until_let_in(l->service, l->packet_id, l->uid, &l->result);
	l->done = true;
	return NULL;
}

static int by_time(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* Claims one after the other, each of a packet of its own; the median and the longest. */
static void pace(claim_fixture *f, claim_service_t *s, int64_t *median_us, int64_t *longest_us)
{
	int64_t took[PACE_CLAIMS];

	for (unsigned i = 0; i < PACE_CLAIMS; i++) {
		const fixture_packet spec = {.count = 1, .total_fen = 5};
		const uint64_t packet = fixture_packet_new(f, &spec);
		const int64_t from = clk_mono_us();
		claim_result r;
		assert_int_equal(claim_until_let_in(s, packet, 7, &r), ERR_OK);
		assert_int_equal(r.outcome, CLAIM_CLAIMED);
		took[i] = clk_mono_us() - from;
	}
	qsort(took, PACE_CLAIMS, sizeof(*took), by_time);
	*median_us = took[PACE_CLAIMS / 2];
	*longest_us = took[PACE_CLAIMS - 1];
}

static void others_go_on(claim_fixture *f, const char *options[][2])
{
	const fixture_packet spec = {.count = 1, .total_fen = 88};
	lone_claim l = {.packet_id = fixture_packet_new(f, &spec), .uid = 7};
	int64_t free_us, free_longest_us, held_us, held_longest_us;
	db_t *holder;
	char hold[120];
	lock_service s;

	service_start_waiting(&s, f, PACE_WAIT_S, options);
	l.service = s.process.service;
	pace(f, l.service, &free_us, &free_longest_us);
	assert_int_equal(db_open(&f->direct, &holder), ERR_OK);
	const int n = snprintf(hold, sizeof(hold),
		"START TRANSACTION; SELECT 1 FROM packet WHERE packet_id = %" PRIu64 " FOR UPDATE",
		l.packet_id);
	assert_int_equal(db_script(holder, hold, (size_t)n, NULL, NULL), ERR_OK);
	pthread_create(&l.thread, NULL, lone_main, &l);
	pace(f, l.service, &held_us, &held_longest_us);
	assert_false(l.done);
	db_close(&holder);
	pthread_join(l.thread, NULL);
	assert_int_equal(l.err, ERR_OK);
	assert_int_equal(l.result.outcome, CLAIM_CLAIMED);
	print_message("# %lld us (at most %lld) while one packet is locked, %lld us (%lld) else\n",
		(long long)held_us, (long long)held_longest_us, (long long)free_us,
		(long long)free_longest_us);
	assert_true(held_longest_us < PACE_WAIT_S * 1000000 / 2);
	service_end(&s);
	fixture_check_books(f);
}

static void a_locked_packet_does_not_hold_up_the_others(void **state)
{
	others_go_on(*state, one_executor);
}

static void nor_with_one_locked_transaction_per_claim(void **state)
{
	others_go_on(*state, (const char *[][2]){{"claim.row_lock", "true"}, {NULL, NULL}});
}

/* The first has the packet's lock and has written its claim; the second, of another process, has begun
 * before the first commits. */
static void claim_at_once(claim_fixture *f, lone_claim *first, lone_claim *second)
{
	const char *first_has[][2] = {{"claim.unknown_ms", "30000"}, {NULL, NULL}},
		   *second_has[][2] = {{"claim.row_lock", "true"}, {NULL, NULL}};
	const fixture_packet spec = {.count = 3, .total_fen = 88};
	lock_service s[2];

	first->packet_id = second->packet_id = fixture_packet_new(f, &spec);
	service_start_waiting(&s[0], f, LONG_WAIT_S, first_has);
	service_start_waiting(&s[1], f, LONG_WAIT_S, second_has);
	first->service = s[0].process.service;
	second->service = s[1].process.service;
	hold_outbox(f);
	pthread_create(&first->thread, NULL, lone_main, first);
	await_lock_waits(f, 1);
	pthread_create(&second->thread, NULL, lone_main, second);
	await_lock_waits(f, 2);
	fixture_run(f, "ROLLBACK");
	pthread_join(first->thread, NULL);
	pthread_join(second->thread, NULL);
	service_end(&s[0]);
	service_end(&s[1]);
	assert_int_equal(first->err, ERR_OK);
	assert_int_equal(first->result.outcome, CLAIM_CLAIMED);
	assert_int_equal(second->err, ERR_OK);
	fixture_check_books(f);
}

static void a_claim_that_another_process_is_making_is_seen(void **state)
{
	lone_claim first = {.uid = 7}, second = {.uid = 7};

	claim_at_once(*state, &first, &second);
	assert_int_equal(second.result.outcome, CLAIM_ALREADY);
	assert_int_equal(second.result.row.claim_no, first.result.row.claim_no);
}

static void the_share_that_another_process_is_giving_is_not_given_again(void **state)
{
	lone_claim first = {.uid = 7}, second = {.uid = 8};

	claim_at_once(*state, &first, &second);
	assert_int_equal(second.result.outcome, CLAIM_CLAIMED);
	assert_int_equal(first.result.row.index, 0);
	assert_int_equal(second.result.row.index, 1);
}

/* ---- what no lock should allow ---- */

static void a_packet_that_changes_under_its_lock_is_not_written_over(void **state)
{
	claim_fixture *f = *state;
	lock_service s;

	service_start(&s, f, one_executor);
	crowd *c = crowd_new(f, s.process.service);
	fixture_run(f, "CREATE TRIGGER meddle BEFORE INSERT ON claim FOR EACH ROW UPDATE packet"
		       " SET remaining_count = remaining_count - 1"
		       " WHERE packet_id = NEW.packet_id AND remaining_count > 0");
	crowd_start(c);
	crowd_wait(c);
	fixture_run(f, "DROP TRIGGER meddle");
	assert_int_equal(crowd_count(c, ERR_INTERNAL), CROWD_ASKS);
	crowd_check(c, s.process.service);
	crowd_free(&c);
	service_end(&s);
	fixture_check_books(f);
}

/* Whoever comes with an expired clock learns nothing that later claims could contradict. */
static void a_packet_that_is_still_open_is_not_kept_as_settled(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 20});
	claim_result r;
	lock_service s;

	service_start(&s, f, one_executor);
	claim_service_t *service = s.process.service;
	assert_int_equal(claim_until_let_in(service, p, 7, &r), ERR_OK);
	claim_learn(service, p, &(claim_result){.outcome = CLAIM_EXPIRED});
	assert_false(claim_known(service, p, 8, &r));
	assert_int_equal(claim_until_let_in(service, p, 8, &r), ERR_OK);
	assert_int_equal(r.outcome, CLAIM_CLAIMED);
	claim_learn(service, p, &(claim_result){.outcome = CLAIM_EXHAUSTED});
	assert_true(claim_known(service, p, 7, &r));
	assert_int_equal(r.outcome, CLAIM_ALREADY);
	assert_true(claim_known(service, p, 9, &r));
	assert_int_equal(r.outcome, CLAIM_EXHAUSTED);
	service_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_for_a_lock_that_ends_in_vain_is_run_again),
		cmocka_unit_test(a_lock_that_outlasts_all_patience_costs_nobody_a_share),
		cmocka_unit_test(a_lease_of_numbers_that_waits_for_a_lock_is_run_again),
		cmocka_unit_test(a_deadlock_is_run_again),
		cmocka_unit_test(a_locked_packet_does_not_hold_up_the_others),
		cmocka_unit_test(nor_with_one_locked_transaction_per_claim),
		cmocka_unit_test(a_claim_that_another_process_is_making_is_seen),
		cmocka_unit_test(the_share_that_another_process_is_giving_is_not_given_again),
		cmocka_unit_test(a_packet_that_changes_under_its_lock_is_not_written_over),
		cmocka_unit_test(a_packet_that_is_still_open_is_not_kept_as_settled),
	};

	logger_init("test", "A", 1, LOGGER_ERROR);
	return cmocka_run_group_tests_name("claim_locks", tests, fixture_setup, fixture_teardown);
}
