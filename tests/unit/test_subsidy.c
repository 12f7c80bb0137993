/* Subsidies against a real database: recorded once, spent once, expired or settled back, whatever
 * races and whatever is run again. */
#include "domain/ledger.h"
#include "domain/states.h"
#include "domain/subsidy.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/unit.h"
#include "workers/sweep.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { CAMPAIGN = 7, LEASE = 500101001, UID = 5001, AMOUNT = 188, NOW = 1000, EXPIRES = 9000 };
enum { THREADS = 8 };
static const uint64_t win_id = 7000000000000001001; /* a rain's number of slot 001 */

static db_pool_t *pool;
static db_t *db; /* for looking */
static numbers_t *numbers;

static int set_up(void **state)
{
	db_target t;
	(void)state;
	cell_db_make("hb_test_subsidy", &t);
	assert_int_equal(db_pool_new(&t, THREADS + 2, 2000, &pool), ERR_OK);
	assert_int_equal(numbers_new(pool, 1, 1000, &numbers), ERR_OK);
	assert_int_equal(db_open(&t, &db), ERR_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cell_db_run(db, "DROP DATABASE hb_test_subsidy");
	db_close(&db);
	numbers_free(&numbers);
	db_pool_free(&pool);
	return 0;
}

/* A campaign that has 1,000 fen left in this cell and a lease of 500 out. */
static int fresh(void **state)
{
	(void)state;
	cell_db_run(db, "DELETE FROM tracking; DELETE FROM subsidy; DELETE FROM ledger; "
			"DELETE FROM account; DELETE FROM campaign; DELETE FROM budget_lease");
	cell_db_run(db, "INSERT INTO campaign VALUES (%d, 'demo', 1, 1500, '{}', 1)", CAMPAIGN);
	cell_db_run(db, "INSERT INTO account VALUES (%d, %d, 1000)", LEDGER_CAMPAIGN, CAMPAIGN);
	cell_db_run(db, "INSERT INTO budget_lease VALUES (%d, %d, 500, 't', 1, 1, 5000, 8000, 0)",
		LEASE, CAMPAIGN);
	return 0;
}

static token_win the_win(void)
{
	return (token_win){.uid = UID,
		.subsidy_id = win_id,
		.out_order_no = "demo.1.0.5001",
		.lease_id = LEASE,
		.campaign = CAMPAIGN,
		.amount_fen = AMOUNT,
		.expires_at_ms = EXPIRES};
}

/* What one transaction of a test does. */
typedef struct {
	token_win win;
	const token_win *wins; /* of subsidy_record_all */
	size_t win_count;
	bool records, spends, expires, settles;
	uint64_t subsidy_id, packet_id;
	int64_t now_ms, returned_fen;
	subsidy_row row;
	bool did;
	err_t err;
} act;

static err_t act_tx(db_t *d, void *ctx)
{
	act *a = ctx;
	err_t e = ERR_OK;
	if (a->wins)
		e = subsidy_record_all(d, a->wins, a->win_count, a->now_ms);
	if (a->records)
		e = subsidy_record(d, numbers, &a->win, a->now_ms, &a->row);
	if (e == ERR_OK && a->spends)
		e = subsidy_spend(d, a->win.uid, a->records ? a->row.subsidy_id : a->subsidy_id,
			a->packet_id, a->now_ms, &a->row);
	if (e == ERR_OK && a->expires)
		e = subsidy_expire(d, a->subsidy_id, a->now_ms, &a->did);
	if (e == ERR_OK && a->settles)
		e = subsidy_settle(d, LEASE, a->now_ms, &a->did, &a->returned_fen);
	return e;
}

static err_t run(act *a)
{
	return a->err = db_transact(pool, 20, act_tx, a);
}

static void *run_thread(void *ctx)
{
	(void)!run(ctx);
	return NULL;
}

static void run_all(act *a, unsigned n)
{
	pthread_t id[THREADS];
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_create(&id[i], NULL, run_thread, &a[i]), 0);
	for (unsigned i = 0; i < n; i++)
		pthread_join(id[i], NULL);
}

static act recording(void)
{
	return (act){.win = the_win(), .records = true, .now_ms = NOW};
}

static act spending(uint64_t packet_id)
{
	return (act){.win = the_win(),
		.spends = true,
		.subsidy_id = win_id,
		.packet_id = packet_id,
		.now_ms = NOW};
}

static int64_t booked(ledger_booking kind)
{
	return cell_db_number(db,
		"SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE kind = %d AND leg = 1", kind);
}

static int64_t campaign_has(void)
{
	return cell_db_number(db, "SELECT balance FROM account WHERE kind = %d", LEDGER_CAMPAIGN);
}

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
		fresh(NULL);
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
		fresh(NULL);
		act a[2] = {recording(), {.settles = true, .now_ms = 8000}};
		run_all(a, 2);
		assert_int_equal(a[1].err, ERR_OK);
		const bool recorded = a[0].err == ERR_OK;
		assert_true(recorded || a[0].err == ERR_SUBSIDY_EXPIRED);
		assert_int_equal(campaign_has(), recorded ? 1500 - AMOUNT : 1500);
	}
}

/* ---- partners ---- */

static subsidy_row order(uint64_t subsidy_id)
{
	return (subsidy_row){.subsidy_id = subsidy_id,
		.uid = UID,
		.campaign = CAMPAIGN,
		.issuer = "acme",
		.out_order_no = "A-1",
		.amount_fen = AMOUNT,
		.expires_at_ms = EXPIRES};
}

typedef struct {
	subsidy_row want, got;
	bool grants, made;
	err_t err;
} issuing;

static err_t issue_tx(db_t *d, void *ctx)
{
	issuing *i = ctx;
	return i->grants ? subsidy_grant(d, &i->want, NOW, &i->got, &i->made)
			 : subsidy_track(d, &i->want, NOW, &i->got);
}

static err_t issue(issuing *i)
{
	return i->err = db_transact(pool, 20, issue_tx, i);
}

static void *issue_thread(void *ctx)
{
	(void)!issue(ctx);
	return NULL;
}

static void a_partner_s_number_belongs_to_whoever_was_first(void **state)
{
	(void)state;
	issuing i[THREADS];
	pthread_t id[THREADS];
	uint64_t first = 0;
	unsigned conflicts = 0;
	for (unsigned k = 0; k < THREADS; k++) {
		i[k] = (issuing){.want = order(100001001 + k * 100000)};
		i[k].want.uid += k % 2 * 1000;
		assert_int_equal(pthread_create(&id[k], NULL, issue_thread, &i[k]), 0);
	}
	for (unsigned k = 0; k < THREADS; k++) {
		pthread_join(id[k], NULL);
		conflicts += i[k].err == ERR_ORDER_CONFLICT;
		if (i[k].err != ERR_OK)
			continue;
		first = first ? first : i[k].got.subsidy_id;
		assert_true(i[k].got.subsidy_id == first);
	}
	assert_int_equal(conflicts, THREADS / 2);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM tracking"), 1);
}

static void a_grant_is_made_once_and_paid_by_the_campaign(void **state)
{
	(void)state;
	issuing i = {.want = order(100001001), .grants = true}, other = i;
	assert_int_equal(issue(&i), ERR_OK);
	assert_true(i.made);
	assert_int_equal(issue(&i), ERR_OK);
	assert_false(i.made);
	assert_int_equal(campaign_has(), 1000 - AMOUNT);
	other.want.subsidy_id += 100000;
	assert_int_equal(issue(&other), ERR_ORDER_CONFLICT);
	act spend = spending(900101001);
	spend.subsidy_id = i.want.subsidy_id;
	assert_int_equal(run(&spend), ERR_OK);
	assert_int_equal(issue(&i), ERR_OK);
	assert_int_equal(i.got.state, STATES_SUBSIDY_SPENT);
}

static void a_grant_beyond_the_budget_leaves_nothing_and_may_be_repeated(void **state)
{
	(void)state;
	issuing i = {.want = order(100001001), .grants = true};
	i.want.amount_fen = 1001;
	assert_int_equal(issue(&i), ERR_BUDGET_SPENT);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM subsidy"), 0);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM ledger"), 0);
	cell_db_run(db, "UPDATE account SET balance = 1001");
	assert_int_equal(issue(&i), ERR_OK);
	assert_int_equal(campaign_has(), 0);
}

static void names_of_partners_and_slots_of_numbers(void **state)
{
	(void)state;
	assert_true(subsidy_partner_ok("acme-2"));
	assert_false(subsidy_partner_ok("rain"));
	assert_false(subsidy_partner_ok(""));
	assert_false(subsidy_partner_ok("Acme"));
	assert_false(subsidy_partner_ok("12345678901234567"));
	/* printf 'acme\nA-1' | sha256sum begins with ca060e2b */
	assert_int_equal(subsidy_slot("acme", "A-1"), 475);
}

/* ---- lists ---- */

static void usable_ones_come_first_and_then_the_newest(void **state)
{
	(void)state;
	subsidy_row rows[SUBSIDY_LIST_MAX];
	unsigned count;
	token_win wins[2] = {the_win(), the_win()};
	strcpy(wins[1].out_order_no, "demo.1.9.5001");
	for (unsigned i = 0; i < 3; i++) {
		act a = recording();
		a.win.subsidy_id += i * 100000;
		a.now_ms += i;
		snprintf(a.win.out_order_no, sizeof a.win.out_order_no, "demo.1.%u.5001", i);
		assert_int_equal(run(&a), ERR_OK);
	}
	act spend = spending(900101001);
	spend.subsidy_id += 200000;
	assert_int_equal(run(&spend), ERR_OK);
	assert_int_equal(subsidy_list(db, UID, NOW, 3, rows, &count), ERR_OK);
	assert_int_equal(count, 3);
	assert_string_equal(rows[0].out_order_no, "demo.1.1.5001");
	assert_string_equal(rows[1].out_order_no, "demo.1.0.5001");
	assert_string_equal(rows[2].out_order_no, "demo.1.2.5001");
	assert_string_equal(subsidy_shown_state(&rows[0], EXPIRES), "expired");
	assert_string_equal(subsidy_shown_state(&rows[0], NOW), "usable");
	assert_string_equal(subsidy_shown_state(&rows[2], EXPIRES), "spent");
	assert_int_equal(subsidy_recorded(db, wins, 2, rows, &count), ERR_OK);
	assert_int_equal(count, 1);
	assert_true(rows[0].subsidy_id == win_id);
}

static void a_subsidy_that_cannot_expire_stalls_no_other(void **state)
{
	(void)state;
	enum { BATCH = 2, SUBSIDIES = 5 };
	uint64_t ids[BATCH];
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
	assert_int_equal(sweep_subsidies(&worker, ids, BATCH), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM subsidy WHERE state = %d",
				 STATES_SUBSIDY_EXPIRED),
		SUBSIDIES - 1);
	assert_int_equal(cell_db_number(db, "SELECT state FROM subsidy WHERE subsidy_id = 101001"),
		STATES_SUBSIDY_USABLE);
	conf_free(&conf);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
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
		TEST(a_partner_s_number_belongs_to_whoever_was_first),
		TEST(a_grant_is_made_once_and_paid_by_the_campaign),
		TEST(a_grant_beyond_the_budget_leaves_nothing_and_may_be_repeated),
		TEST(names_of_partners_and_slots_of_numbers),
		TEST(usable_ones_come_first_and_then_the_newest),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
