/* A connection that is cut at any message of the conversation of claims, with the request, the
 * answer or both still under way, once and again while the first loss is being found out: nobody
 * notices, or they are told to ask again; nobody has lost or gained a share. */
#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "tests/unit/claim_crowd.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK = 10, LEAST_MESSAGES = 5, MOST_MESSAGES = 400, CONNECTIONS = 4 };
enum { QUIET_RUNS = 2, AWAIT_MS = 20000 };

/* All that the service says to the server goes through the proxy: claims, and leases of numbers from
 * blocks so small that a lease falls into every run. */
typedef struct {
	fixture_process process;
	db_pool_t *pool;
	numbers_t *numbers;
} cut_service;

static void service_start(cut_service *s, claim_fixture *f, bool row_lock)
{
	const char *options[][2] = {{"claim.row_lock", row_lock ? "true" : "false"},
		{"claim.executors", "1"}, {NULL, NULL}};
	db_target target = f->target;

	target.lock_wait_s = 1;
	assert_int_equal(db_pool_new(&target, CONNECTIONS, 5000, &s->pool), ERR_OK);
	assert_int_equal(numbers_new(s->pool, 1, BLOCK, &s->numbers), ERR_OK);
	const claim_service_conf c = {.db = s->pool, .numbers = s->numbers};
	fixture_process_start(&s->process, f, &target, &c, options);
}

static void service_end(cut_service *s)
{
	fixture_process_end(&s->process);
	numbers_free(&s->numbers);
	db_pool_free(&s->pool);
}

/* A claim's connection and a lease's are there before the first message is counted: a cut while one
 * is being made is a plain refusal, which is not looked for here. */
static void connect_all(const cut_service *s)
{
	db_t *db[2];

	for (unsigned i = 0; i < UNIT_COUNT(db); i++) {
		while (db_pool_take(s->pool, &db[i]) != ERR_OK)
			usleep(5000); /* it is left alone for a moment after a failure */
	}
	for (unsigned i = 0; i < UNIT_COUNT(db); i++)
		db_pool_give(s->pool, &db[i]);
}

/* One crowd with the connection cut at the k-th message; false when there were fewer. The lanes serve all
 * the same after one loss; the locked transaction, only a baseline, may refuse whom it hit. */
static bool cut_once(claim_fixture *f, const cut_service *s, unsigned k, unsigned times,
	proxy_loss loss, bool all_served)
{
	crowd *c = crowd_new(f, s->process.service);

	connect_all(s);
	proxy_cut_at(f->proxy, k, times, loss);
	crowd_start(c);
	crowd_wait(c);
	const unsigned cuts = proxy_cuts(f->proxy);
	proxy_cut_at(f->proxy, 0, 0, loss);
	if (all_served)
		crowd_expect_all_served(c);
	crowd_check(c, s->process.service);
	crowd_free(&c);
	return cuts > 0;
}

/* How long the conversation is differs a little: batches fall out as they may. */
static void cut_everywhere(claim_fixture *f, bool row_lock, unsigned times)
{
	static const char *const name[] = {"request", "client", "answer"};
	const int64_t unknown = metrics_get(METRICS_DB_TX, 2);
	cut_service s;

	service_start(&s, f, row_lock);
	cut_once(f, &s, 0, 0, PROXY_LOSE_REQUEST, true); /* the connections are there now */
	for (proxy_loss loss = PROXY_LOSE_REQUEST; loss <= PROXY_LOSE_ANSWER; loss++) {
		unsigned last = 0, runs = 0;
		for (unsigned k = 1, quiet = 0; quiet < QUIET_RUNS; k++, runs++) {
			assert_true(k < MOST_MESSAGES);
			const bool cut = cut_once(f, &s, k, times, loss, times == 1 && !row_lock);
			quiet = cut ? 0 : quiet + 1;
			last = cut ? k : last;
		}
		print_message("# %s lost at messages 1 to %u, %u runs\n", name[loss], last, runs);
		assert_true(last >= LEAST_MESSAGES);
		fixture_check_books(f);
	}
	assert_true(metrics_get(METRICS_DB_TX, 2) > unknown); /* COMMIT was among them */
	service_end(&s);
}

static void a_lost_message_is_noticed_by_nobody(void **state)
{
	const int64_t unknown = metrics_get(METRICS_CLAIM_BATCH_RERUNS, 0),
		      lost = metrics_get(METRICS_CLAIM_BATCH_RERUNS, 2);

	cut_everywhere(*state, false, 1);
	assert_true(metrics_get(METRICS_CLAIM_BATCH_RERUNS, 0) > unknown);
	assert_true(metrics_get(METRICS_CLAIM_BATCH_RERUNS, 2) > lost);
}

static void a_second_loss_while_the_first_is_found_out_costs_no_share(void **state)
{
	cut_everywhere(*state, false, 2);
}

static void a_lost_message_of_a_locked_transaction_costs_no_share(void **state)
{
	cut_everywhere(*state, true, 1);
}

/* The server may still wait for its replicas. */
static void await_claim(claim_fixture *f, uint64_t packet_id, uint64_t uid, claim_row *row)
{
	const int64_t until = clk_mono_ms() + unit_patience_ms(AWAIT_MS);

	while (claim_find(f->db, packet_id, uid, row) != ERR_OK) {
		assert_true(clk_mono_ms() < until);
		usleep(2000);
	}
}

/* The process that made the claim never learns of it and ends; another one is asked. */
static void the_last_answer_lost_is_known_to_the_process_after(void **state)
{
	claim_fixture *f = *state;
	const fixture_packet spec = {.count = 1, .total_fen = 88};
	const uint64_t before = fixture_packet_new(f, &spec), p = fixture_packet_new(f, &spec);
	const claim_service_conf c = {.db = f->pool, .numbers = f->numbers};
	const char *options[][2] = {
		{"claim.executors", "1"}, {"claim.unknown_ms", "300"}, {NULL, NULL}};
	fixture_process first, second;
	claim_result r;
	claim_row row;
	int64_t retry_ms;

	fixture_process_start(&first, f, &f->target, &c, options);
	assert_int_equal(/* is connected now */
		claim_open(first.service, before, 7, 0, FIXTURE_NOW + 1, &retry_ms, &r), ERR_OK);
	proxy_mute_after(f->proxy, "COMMIT");
	assert_int_equal(claim_open(first.service, p, 7, 0, FIXTURE_NOW + 1, &retry_ms, &r),
		ERR_OUTCOME_UNKNOWN);
	fixture_process_end(&first);
	proxy_set(f->proxy, PROXY_PASS);
	await_claim(f, p, 7, &row);
	fixture_process_start(&second, f, &f->target, &c, options);
	assert_int_equal(
		claim_open(second.service, p, 7, 0, FIXTURE_NOW + 9, &retry_ms, &r), ERR_OK);
	assert_int_equal(r.outcome, CLAIM_ALREADY);
	assert_int_equal(r.row.claim_no, row.claim_no);
	assert_int_equal(r.row.amount_fen, 88);
	assert_int_equal(r.row.claimed_at_ms, FIXTURE_NOW + 1);
	assert_int_equal(
		claim_open(second.service, p, 8, 0, FIXTURE_NOW + 9, &retry_ms, &r), ERR_OK);
	assert_int_equal(r.outcome, CLAIM_EXHAUSTED);
	fixture_process_end(&second);
	fixture_check_books(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_message_is_noticed_by_nobody),
		cmocka_unit_test(a_second_loss_while_the_first_is_found_out_costs_no_share),
		cmocka_unit_test(a_lost_message_of_a_locked_transaction_costs_no_share),
		cmocka_unit_test(the_last_answer_lost_is_known_to_the_process_after),
	};

	logger_init("test", "A", 1, LOGGER_ERROR);
	return cmocka_run_group_tests_name("claim_cuts", tests, fixture_setup, fixture_teardown);
}
