/* Subsidies against a real database: recorded once, spent once, expired or settled back, whatever
 * races and whatever is run again. */
#include "domain/states.h"
#include "tests/unit/subsidy_fixture.h"
#include "workers/sweep.h"
#include <string.h>

static void a_win_is_recorded_once_however_often_it_comes(void **state)
{
	(void)state;
	act a[THREADS];
	for (unsigned i = 0; i < THREADS; i++)
		a[i] = recording();
	run_all(a, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(a[i].err, ERR_OK);
		assert_true(a[i].row.subsidy_id == win_id);
		assert_int_equal(a[i].row.amount_fen, AMOUNT);
		assert_int_equal(a[i].row.state, STATES_SUBSIDY_USABLE);
	}
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM subsidy"), 1);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM tracking"), 1);
	assert_int_equal(booked(LEDGER_BY_RECORD), AMOUNT);
}

/* As a repeated draw may make it. */
static void a_later_expiry_or_another_lease_is_the_same_win(void **state)
{
	(void)state;
	act first = recording(), again = recording();
	cell_db_run(db, "INSERT INTO budget_lease VALUES (%d, %d, 500, 't', 1, 1, 5000, 8000, 0)",
		LEASE + 100000, CAMPAIGN);
	again.win.expires_at_ms++;
	again.win.lease_id = LEASE + 100000;
	assert_int_equal(run(&first), ERR_OK);
	assert_int_equal(run(&again), ERR_OK);
	assert_int_equal(again.row.expires_at_ms, EXPIRES);
	assert_int_equal(again.row.lease_id, LEASE);
	assert_int_equal(booked(LEDGER_BY_RECORD), AMOUNT);
}

static void a_number_is_refused_with_other_values(void **state)
{
	(void)state;
	act a = recording(), wrong[7];
	assert_int_equal(run(&a), ERR_OK);
	for (unsigned i = 0; i < UNIT_COUNT(wrong); i++)
		wrong[i] = recording();
	wrong[0].win.amount_fen++;
	wrong[1].win.uid = 6001; /* whom the number does not name */
	wrong[2].win.campaign++; /* which is not the lease's */
	wrong[3].win.lease_id++; /* which there is not */
	strcpy(wrong[4].win.out_order_no, "demo.1.0.6001");
	strcpy(wrong[5].win.out_order_no, "5001");
	wrong[6].win.subsidy_id = win_id + 1; /* of another slot */
	for (unsigned i = 0; i < UNIT_COUNT(wrong); i++)
		if (run(&wrong[i]) != ERR_ORDER_CONFLICT)
			fail_msg("wrong[%u] is %s", i, err_code(wrong[i].err));
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM subsidy"), 1);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM tracking"), 1);
}

static void a_win_whose_number_is_taken_gets_another(void **state)
{
	(void)state;
	act first = recording(), other = recording(), again;
	strcpy(other.win.out_order_no, "demo.1.1.5001");
	assert_int_equal(run(&first), ERR_OK);
	assert_int_equal(run(&other), ERR_OK);
	assert_true(other.row.subsidy_id != win_id);
	assert_int_equal(numbers_slot(other.row.subsidy_id), 1);
	again = other;
	assert_int_equal(run(&again), ERR_OK);
	assert_true(again.row.subsidy_id == other.row.subsidy_id);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM tracking t JOIN subsidy s USING "
					    "(issuer, out_order_no, subsidy_id)"),
		2);
	assert_int_equal(booked(LEDGER_BY_RECORD), 2 * AMOUNT);
}

enum { MANY = 300 };
static token_win many[MANY];

static act recording_many(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		many[i] = the_win();
		many[i].amount_fen = 1;
		many[i].subsidy_id += (i + 1) * 100000;
		snprintf(many[i].out_order_no, sizeof many[i].out_order_no, "demo.2.%u.5001", i);
	}
	return (act){.wins = many, .win_count = MANY, .now_ms = NOW};
}

static void many_wins_are_recorded_at_once_and_again(void **state)
{
	(void)state;
	act half = recording_many(), all = recording_many();
	half.win_count = MANY / 2;
	assert_int_equal(run(&half), ERR_OK);
	many[MANY - 1] = many[0]; /* twice in one batch */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(run(&all), ERR_OK);
		assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM subsidy"), MANY - 1);
		assert_int_equal(
			cell_db_number(db, "SELECT COUNT(*) FROM tracking t JOIN subsidy s "
					   "USING (issuer, out_order_no, subsidy_id, uid, "
					   "amount, campaign, expires_at)"),
			MANY - 1);
		assert_int_equal(booked(LEDGER_BY_RECORD), MANY - 1);
		assert_int_equal(cell_db_number(db, "SELECT SUM(amount) FROM ledger"), 0);
	}
}

static void one_odd_win_leaves_a_batch_undone(void **state)
{
	(void)state;
	act first = recording();
	assert_int_equal(run(&first), ERR_OK);
	for (unsigned odd = 0; odd < 6; odd++) {
		act a = recording_many();
		switch (odd) {
		case 0:
			many[7].lease_id++;
			break;
		case 1:
			many[7].campaign++;
			break;
		case 2:
			many[7].uid++;
			break;
		case 3:
			many[7].subsidy_id = win_id;
			break;
		case 4:
			strcpy(many[7].out_order_no, "demo.1.0.5001");
			break; /* of another amount */
		default:
			strcpy(many[7].out_order_no, many[8].out_order_no);
			many[7].amount_fen = 2;
		}
		(void)!run(&a);
		if (a.err != ERR_ORDER_CONFLICT && a.err != ERR_DB_DUPLICATE)
			fail_msg("odd %u is %s", odd, err_code(a.err));
		assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM tracking"), 1);
	}
}

static void batches_and_single_wins_race_and_each_is_recorded_once(void **state)
{
	(void)state;
	act a[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		a[i] = recording_many();
		if (i % 2) {
			a[i].wins = NULL;
			a[i].records = true;
			a[i].win = many[i * 37];
		}
	}
	run_all(a, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		assert_true(a[i].err == ERR_OK || (i % 2 == 0 && a[i].err == ERR_DB_DUPLICATE));
	act again = recording_many();
	assert_int_equal(run(&again), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM subsidy"), MANY);
	assert_int_equal(booked(LEDGER_BY_RECORD), MANY);
}

/* By two tokens, by token and row, from many devices. */
static void a_subsidy_is_spent_once_whatever_races(void **state)
{
	(void)state;
	act a[THREADS];
	unsigned spent = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		a[i] = spending(900101001 + i * 100000);
		a[i].records = i % 2 == 0;
	}
	act first = recording();
	assert_int_equal(run(&first), ERR_OK);
	run_all(a, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		spent += a[i].err == ERR_OK;
		assert_true(a[i].err == ERR_OK || a[i].err == ERR_SUBSIDY_SPENT);
	}
	assert_int_equal(spent, 1);
	assert_int_equal(booked(LEDGER_BY_SPEND), AMOUNT);
	assert_int_equal(booked(LEDGER_BY_RECORD), AMOUNT);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM subsidy WHERE state = 2"), 1);
}

static void a_token_is_spent_before_and_beside_its_message(void **state)
{
	(void)state;
	act a[THREADS];
	for (unsigned i = 0; i < THREADS; i++)
		a[i] = recording();
	a[0].spends = true;
	a[0].packet_id = 900101001;
	run_all(a, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(a[i].err, ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM subsidy WHERE state = 2 AND "
					    "packet_id = 900101001"),
		1);
	assert_int_equal(booked(LEDGER_BY_RECORD), AMOUNT);
	assert_int_equal(booked(LEDGER_BY_SPEND), AMOUNT);
}

/* What db_transact does after a COMMIT whose answer was lost. */
static void a_rerun_finds_what_it_did(void **state)
{
	(void)state;
	act a = spending(900101001), again, other;
	a.records = true;
	assert_int_equal(run(&a), ERR_OK);
	again = a;
	assert_int_equal(run(&again), ERR_OK);
	assert_true(again.row.packet_id == 900101001);
	assert_int_equal(booked(LEDGER_BY_SPEND), AMOUNT);
	other = spending(900201001);
	assert_int_equal(run(&other), ERR_SUBSIDY_SPENT);
}

static void only_its_owner_spends_a_subsidy(void **state)
{
	(void)state;
	act a = recording(), thief = spending(900101001), nothing = spending(900101001);
	assert_int_equal(run(&a), ERR_OK);
	thief.win.uid = 6001;
	assert_int_equal(run(&thief), ERR_NOT_FOUND);
	nothing.subsidy_id++;
	assert_int_equal(run(&nothing), ERR_NOT_FOUND);
	assert_int_equal(booked(LEDGER_BY_SPEND), 0);
}

static void an_expired_subsidy_is_not_spent_and_goes_back_once(void **state)
{
	(void)state;
	act a = recording(), late = spending(900101001);
	act sweep = {.expires = true, .subsidy_id = win_id, .now_ms = EXPIRES - 1};
	subsidy_cursor at = {0};
	uint64_t ids[4];
	size_t count;
	assert_int_equal(run(&a), ERR_OK);
	late.now_ms = EXPIRES;
	assert_int_equal(run(&late), ERR_SUBSIDY_EXPIRED);
	assert_int_equal(run(&sweep), ERR_OK);
	assert_false(sweep.did);
	sweep.now_ms = EXPIRES;
	assert_int_equal(subsidy_expired(db, EXPIRES - 1, 4, &at, ids, &count), ERR_OK);
	assert_int_equal(count, 0);
	assert_int_equal(subsidy_expired(db, EXPIRES, 4, &at, ids, &count), ERR_OK);
	assert_int_equal(count, 1);
	assert_true(ids[0] == win_id);
	assert_int_equal(subsidy_expired(db, EXPIRES, 4, &at, ids, &count), ERR_OK);
	assert_int_equal(count, 0); /* the walk has passed it */
	assert_int_equal(run(&sweep), ERR_OK);
	assert_true(sweep.did);
	sweep.did = false;
	assert_int_equal(run(&sweep), ERR_OK);
	assert_false(sweep.did);
	assert_int_equal(campaign_has(), 1000 + AMOUNT);
	late.now_ms = NOW; /* by a clock that is behind */
	assert_int_equal(run(&late), ERR_SUBSIDY_EXPIRED);
}

static void expiry_and_spending_race_and_one_of_them_wins(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		subsidy_fresh(NULL);
		act first = recording();
		assert_int_equal(run(&first), ERR_OK);
		act a[2] = {spending(900101001),
			{.expires = true, .subsidy_id = win_id, .now_ms = EXPIRES}};
		run_all(a, 2);
		assert_int_equal(a[1].err, ERR_OK);
		assert_true(a[0].err == (a[1].did ? ERR_SUBSIDY_EXPIRED : ERR_OK));
		assert_int_equal(booked(LEDGER_BY_SPEND), a[1].did ? 0 : AMOUNT);
		assert_int_equal(booked(LEDGER_BY_SUBSIDY_EXPIRED), a[1].did ? AMOUNT : 0);
	}
}

static void a_lease_returns_what_was_not_recorded_of_it(void **state)
{
	(void)state;
	act a = recording(), settle = {.settles = true, .now_ms = 7999}, late = recording();
	uint64_t ids[4];
	size_t count;
	assert_int_equal(run(&a), ERR_OK);
	assert_int_equal(run(&settle), ERR_OK);
	assert_false(settle.did);
	assert_int_equal(subsidy_leases_due(db, 8000, 4, ids, &count), ERR_OK);
	assert_int_equal(count, 1);
	settle.now_ms = 8000;
	assert_int_equal(run(&settle), ERR_OK);
	assert_true(settle.did);
	assert_int_equal(settle.returned_fen, 500 - AMOUNT);
	settle.did = false;
	assert_int_equal(run(&settle), ERR_OK);
	assert_false(settle.did);
	assert_int_equal(campaign_has(), 1500 - AMOUNT);
	assert_int_equal(cell_db_number(db, "SELECT returned FROM budget_lease"), 500 - AMOUNT);
	/* A message that is late all the same makes no money; one of what is recorded is as ever. */
	strcpy(late.win.out_order_no, "demo.1.1.5001");
	assert_int_equal(run(&late), ERR_SUBSIDY_EXPIRED);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM tracking"), 1);
	assert_int_equal(run(&a), ERR_OK);
}

static void recording_and_settling_race_and_no_fen_is_made(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		subsidy_fresh(NULL);
		act a[2] = {recording(), {.settles = true, .now_ms = 8000}};
		run_all(a, 2);
		assert_int_equal(a[1].err, ERR_OK);
		const bool recorded = a[0].err == ERR_OK;
		assert_true(recorded || a[0].err == ERR_SUBSIDY_EXPIRED);
		assert_int_equal(campaign_has(), recorded ? 1500 - AMOUNT : 1500);
	}
}

static void a_subsidy_that_cannot_expire_stalls_no_other(void **state)
{
	(void)state;
	enum { BATCH = 2, SUBSIDIES = 5 };
	uint64_t ids[BATCH];
	subsidy_cursor at = {0};
	bool more;
	char why[256];
	conf_t *conf;
	assert_int_equal(conf_load(NULL, why, &conf), ERR_OK);
	const program_t program = {.conf = conf};
	worker_t worker = {.p = &program, .db = pool};
	for (unsigned i = 1; i <= SUBSIDIES; i++)
		cell_db_run(db,
			"INSERT INTO subsidy VALUES (%u01001, %d, 'p', 'n%u', %d, 0, 100, 1, %u, "
			"NULL, 1, 1)",
			i, UID, i, CAMPAIGN, i);
	cell_db_run(db, "INSERT INTO ledger VALUES (%d, 101001, 0, %d, %d, -99, 1)",
		LEDGER_BY_SUBSIDY_EXPIRED, LEDGER_SUBSIDY, CAMPAIGN);
	do {
		assert_int_equal(sweep_subsidies(&worker, &at, ids, BATCH, &more), ERR_OK);
	} while (more);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM subsidy WHERE state = %d",
				 STATES_SUBSIDY_EXPIRED),
		SUBSIDIES - 1);
	assert_int_equal(cell_db_number(db, "SELECT state FROM subsidy WHERE subsidy_id = 101001"),
		STATES_SUBSIDY_USABLE);
	conf_free(&conf);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, subsidy_fresh)
	const struct CMUnitTest tests[] = {
		TEST(a_win_is_recorded_once_however_often_it_comes),
		TEST(a_later_expiry_or_another_lease_is_the_same_win),
		TEST(a_number_is_refused_with_other_values),
		TEST(a_win_whose_number_is_taken_gets_another),
		TEST(many_wins_are_recorded_at_once_and_again),
		TEST(one_odd_win_leaves_a_batch_undone),
		TEST(batches_and_single_wins_race_and_each_is_recorded_once),
		TEST(a_subsidy_is_spent_once_whatever_races),
		TEST(a_token_is_spent_before_and_beside_its_message),
		TEST(a_rerun_finds_what_it_did),
		TEST(only_its_owner_spends_a_subsidy),
		TEST(an_expired_subsidy_is_not_spent_and_goes_back_once),
		TEST(expiry_and_spending_race_and_one_of_them_wins),
		TEST(a_subsidy_that_cannot_expire_stalls_no_other),
		TEST(a_lease_returns_what_was_not_recorded_of_it),
		TEST(recording_and_settling_race_and_no_fen_is_made),
	};
	return cmocka_run_group_tests(tests, subsidy_set_up, subsidy_tear_down);
}
