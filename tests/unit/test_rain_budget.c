/* The blocks that hb-rain leases of a campaign's budget, against a real database: where two of them meet
 * at its end. */
#include "base/clk.h"
#include "domain/ledger.h"
#include "fcgi/rain_budget.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/unit.h"
#include <pthread.h>
#include <stdlib.h>

enum { CAMPAIGN = 7, LEASE_FEN = 1000, LEFT_FEN = 1500, AWAIT_MS = 5000 };

static program_t program;
static topology_t topology; /* one cell, which has all slots */
static db_pool_t *pool;
static numbers_t *numbers;
static db_t *other, *look; /* the other hb-rain's connection, and one for looking */

static int set_up(void **state)
{
	char why[256];
	db_target t;
	(void)state;
	cell_db_make("hb_test_rain_budget", &t);
	assert_int_equal(db_pool_new(&t, 2, 2000, &pool), ERR_OK);
	assert_int_equal(numbers_new(pool, 1, 1000, &numbers), ERR_OK);
	assert_int_equal(db_open(&t, &other), ERR_OK);
	assert_int_equal(db_open(&t, &look), ERR_OK);
	assert_int_equal(conf_load(NULL, why, &program.conf), ERR_OK);
	topology.cell_count = 1;
	program.topo = &topology;
	program.cell = &topology.cell[0];
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cell_db_run(look, "DROP DATABASE hb_test_rain_budget");
	db_close(&look);
	db_close(&other);
	numbers_free(&numbers);
	db_pool_free(&pool);
	conf_free(&program.conf);
	return 0;
}

/* A campaign that always rains, with less than two blocks left. */
static int fresh(void **state)
{
	const campaign_t c = {.key_id = "k1",
		.every_ms = 3600000,
		.lasts_ms = 3600000,
		.limit = 1,
		.expiry_ms = 1000,
		.lease_fen = LEASE_FEN,
		.prize = {{.amount_fen = 100, .ppm = CAMPAIGN_PPM}},
		.prizes = 1};
	char config[1024];
	jw_t w;
	(void)state;
	jw_start_fixed(&w, config, sizeof config);
	campaign_write(&c, &w);
	assert_true(jw_end(&w) > 0);
	cell_db_run(look, "DELETE FROM ledger; DELETE FROM account; DELETE FROM campaign; "
			  "DELETE FROM budget_lease");
	cell_db_run(look, "INSERT INTO campaign VALUES (%d, 'demo', 1, %d, '%s', 1)", CAMPAIGN,
		LEFT_FEN, config);
	cell_db_run(look, "INSERT INTO account VALUES (%d, %d, %d)", LEDGER_CAMPAIGN, CAMPAIGN,
		LEFT_FEN);
	return 0;
}

/* The server renews this table only for those who have not asked for a tenth of a second. */
static void await_lock_wait(void)
{
	const int64_t until = clk_mono_ms() + unit_patience_ms(AWAIT_MS);
	do {
		assert_true(clk_mono_ms() < until);
		usleep(120000);
	} while (cell_db_number(look, "SELECT COUNT(*) FROM information_schema.INNODB_TRX "
				      "WHERE trx_state = 'LOCK WAIT'") == 0);
}

static void *begin(void *ctx)
{
	rain_budget_t **b = ctx;
	assert_int_equal(rain_budget_new(&program, pool, numbers, b), ERR_OK);
	return NULL;
}

static token_win win_of(int64_t fen)
{
	return (token_win){.uid = 1001, .campaign = CAMPAIGN, .amount_fen = fen};
}

static void what_another_leaves_of_the_last_block_is_leased(void **state)
{
	rain_budget_t *b = NULL;
	pthread_t id;
	uint64_t lease;
	const token_win rest = win_of(LEFT_FEN - LEASE_FEN);
	(void)state;
	/* Both have seen 1,500 and want 1,000; the other is first. */
	cell_db_run(
		other, "START TRANSACTION; UPDATE account SET balance = balance - %d", LEASE_FEN);
	assert_int_equal(pthread_create(&id, NULL, begin, &b), 0);
	await_lock_wait();
	cell_db_run(other, "COMMIT");
	pthread_join(id, NULL);
	assert_false(rain_budget_spent(b, CAMPAIGN));
	assert_int_equal(rain_budget_take(b, &rest, clk_wall_ms(), &lease), RAIN_BUDGET_TAKEN);
	rain_budget_free(&b);
	assert_int_equal(cell_db_number(look, "SELECT balance FROM account"), 0);
	assert_int_equal(
		cell_db_number(look, "SELECT SUM(amount) FROM budget_lease"), LEFT_FEN - LEASE_FEN);
}

static void a_budget_that_another_has_taken_whole_is_spent(void **state)
{
	rain_budget_t *b = NULL;
	pthread_t id;
	uint64_t lease;
	const token_win win = win_of(1);
	(void)state;
	cell_db_run(other, "START TRANSACTION; UPDATE account SET balance = 0");
	assert_int_equal(pthread_create(&id, NULL, begin, &b), 0);
	await_lock_wait();
	cell_db_run(other, "COMMIT");
	pthread_join(id, NULL);
	assert_true(rain_budget_spent(b, CAMPAIGN));
	assert_int_equal(rain_budget_take(b, &win, clk_wall_ms(), &lease), RAIN_BUDGET_SPENT);
	rain_budget_free(&b);
	assert_int_equal(cell_db_number(look, "SELECT COUNT(*) FROM budget_lease"), 0);
	assert_int_equal(cell_db_number(look, "SELECT COUNT(*) FROM ledger"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fresh)
	const struct CMUnitTest tests[] = {
		TEST(what_another_leaves_of_the_last_block_is_leased),
		TEST(a_budget_that_another_has_taken_whole_is_spent),
	};
	if (keys_init() != ERR_OK)
		return 99;
	return cmocka_run_group_tests_name("rain_budget", tests, set_up, tear_down);
}
