/* Partners' subsidies against a real database: a number belongs to whoever was first, a grant is made
 * once; and what users are shown of all of theirs. */
#include "domain/states.h"
#include "tests/unit/subsidy_fixture.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

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

static void a_number_whose_time_is_over_is_tracked_no_more_but_still_answered(void **state)
{
	(void)state;
	issuing i = {.want = order(100001001)}, late = i;
	i.want.expires_at_ms = late.want.expires_at_ms = NOW;
	assert_int_equal(issue(&late), ERR_SUBSIDY_EXPIRED);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM tracking"), 0);
	i.want.expires_at_ms = NOW + 1;
	assert_int_equal(issue(&i), ERR_OK);
	late.want.subsidy_id += 100000;
	assert_int_equal(issue(&late), ERR_OK);
	assert_true(late.got.subsidy_id == i.want.subsidy_id);
	assert_int_equal(late.got.expires_at_ms, NOW + 1);
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
	subsidy_place at = {.usable = SUBSIDY_LIST_START};
	for (unsigned i = 0; i < 3; i++) { /* page by page */
		assert_int_equal(subsidy_list(db, UID, NOW, &at, 1, &rows[i], &count), ERR_OK);
		assert_int_equal(count, 1);
		const subsidy_place next = subsidy_place_of(&rows[i], NOW);
		assert_true(i == 0 || subsidy_place_before(&at, &next));
		assert_false(subsidy_place_before(&next, &at) && i > 0);
		at = next;
	}
	assert_int_equal(subsidy_list(db, UID, NOW, &at, 1, rows, &count), ERR_OK);
	assert_int_equal(count, 0);
	at.usable = SUBSIDY_LIST_START;
	assert_int_equal(subsidy_list(db, UID, NOW, &at, 3, rows, &count), ERR_OK);
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, subsidy_fresh)
	const struct CMUnitTest tests[] = {
		TEST(a_partner_s_number_belongs_to_whoever_was_first),
		TEST(a_number_whose_time_is_over_is_tracked_no_more_but_still_answered),
		TEST(a_grant_is_made_once_and_paid_by_the_campaign),
		TEST(a_grant_beyond_the_budget_leaves_nothing_and_may_be_repeated),
		TEST(names_of_partners_and_slots_of_numbers),
		TEST(usable_ones_come_first_and_then_the_newest),
	};
	return cmocka_run_group_tests(tests, subsidy_set_up, subsidy_tear_down);
}
