/* One batch at a time on a real server: who gets what, what is written, and what a lost connection
 * means at each place. */
#include "base/clk.h"
#include "domain/claim_batch.h"
#include "domain/session.h"
#include "domain/states.h"
#include "tests/unit/claim_fixture.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CLAIMS_MAX = 64 };

static claim_batch_t *work;
static db_t *conn;

static void connect_again(claim_fixture *f)
{
	db_close(&conn);
	assert_int_equal(db_open(&f->target, &conn), ERR_OK);
}

/* That has met no earlier claim yet, and so writes before it reads. */
static void work_again(claim_fixture *f)
{
	const claim_batch_conf c = {f->numbers, f->shares, CLAIMS_MAX, true};

	claim_batch_free(&work);
	work = claim_batch_new(&c);
}

static int setup(void **state)
{
	if (fixture_setup(state) != 0)
		return -1;
	claim_fixture *f = *state;
	work_again(f);
	connect_again(f);
	return 0;
}

static int teardown(void **state)
{
	db_close(&conn);
	claim_batch_free(&work);
	return fixture_teardown(state);
}

/* A batch under construction. */
typedef struct {
	lane_item item[CLAIMS_MAX];
	lane_part part[CLAIMS_MAX];
	unsigned items, parts;
} batch;

static lane_item *ask(batch *b, uint64_t packet_id, uint64_t uid)
{
	if (b->parts == 0 || b->part[b->parts - 1].packet_id != packet_id)
		b->part[b->parts++] =
			(lane_part){.packet_id = packet_id, .item = &b->item[b->items]};
	b->part[b->parts - 1].count++;
	lane_item *it = &b->item[b->items++];
	*it = (lane_item){.uid = uid, .asked_ms = FIXTURE_NOW + 1};
	return it;
}

static err_t run(batch *b)
{
	lane_batch l = {b->part, b->parts};

	return claim_batch_run(work, conn, &l);
}

static void done(batch *b)
{
	assert_int_equal(run(b), ERR_OK);
}

/* Again and again while the packet is locked elsewhere. */
static void done_once_free(batch *b)
{
	for (int tries = 0; tries < 500; tries++) {
		done(b);
		if (!b->part[0].elsewhere)
			return;
		usleep(10000);
	}
	fail();
}

/* One claim by itself. */
static claim_result claim_one(uint64_t packet_id, uint64_t uid)
{
	batch b = {0};
	lane_item *it = ask(&b, packet_id, uid);

	done(&b);
	assert_int_equal(it->err, ERR_OK);
	assert_false(b.part[0].elsewhere);
	return it->result;
}

static void shares_are_given_in_order_until_none_is_left(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 3, .total_fen = 1000});
	batch b = {0};
	int64_t sum = 0;

	for (uint64_t u = 1; u <= 5; u++)
		ask(&b, p, u);
	done(&b);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(b.item[i].result.outcome, CLAIM_CLAIMED);
		assert_int_equal(b.item[i].result.row.index, i);
		assert_int_equal(b.item[i].result.remaining_count, 2 - i);
		assert_int_equal(b.item[i].result.row.uid, i + 1);
		sum += b.item[i].result.row.amount_fen;
	}
	assert_int_equal(sum, 1000);
	assert_int_equal(b.item[3].result.outcome, CLAIM_EXHAUSTED);
	assert_int_equal(b.item[4].result.outcome, CLAIM_EXHAUSTED);
	assert_true(b.part[0].known);
	assert_int_equal(b.part[0].remaining, 0);
	assert_int_equal(fixture_value(f, "SELECT state FROM packet WHERE packet_id=%" PRIu64, p),
		STATES_PACKET_EXHAUSTED);
	assert_int_equal(claim_one(p, 9).outcome, CLAIM_EXHAUSTED);
	fixture_check_books(f);
}

static void many_packets_share_one_transaction_and_one_outbox_row(void **state)
{
	claim_fixture *f = *state;
	const uint64_t rows = fixture_value(f, "SELECT COUNT(*) FROM outbox");
	batch b = {0};

	for (unsigned i = 0; i < 20; i++) {
		const fixture_packet spec = {.count = 1 + i % 3, .total_fen = 500};
		const uint64_t p = fixture_packet_new(f, &spec);
		ask(&b, p, 1);
		ask(&b, p, 2);
	}
	done(&b);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(b.item[2 * i].result.outcome, CLAIM_CLAIMED);
		assert_int_equal(b.item[2 * i + 1].result.outcome,
			i % 3 == 0 ? CLAIM_EXHAUSTED : CLAIM_CLAIMED);
	}
	assert_int_equal(fixture_value(f, "SELECT COUNT(*) FROM outbox"), rows + 1);
	fixture_check_books(f);
}

static void a_user_has_one_share_however_often_they_ask(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 9, .total_fen = 900});
	batch b = {0};

	ask(&b, p, 1);
	ask(&b, p, 1);
	ask(&b, p, 2);
	ask(&b, p, 1);
	done(&b);
	assert_int_equal(b.item[0].result.outcome, CLAIM_CLAIMED);
	assert_int_equal(b.item[1].result.outcome, CLAIM_ALREADY);
	assert_int_equal(b.item[2].result.outcome, CLAIM_CLAIMED);
	assert_int_equal(b.item[3].result.outcome, CLAIM_ALREADY);
	assert_int_equal(b.item[3].result.row.claim_no, b.item[0].result.row.claim_no);
	const claim_result again = claim_one(p, 1);
	assert_int_equal(again.outcome, CLAIM_ALREADY);
	assert_int_equal(again.row.claim_no, b.item[0].result.row.claim_no);
	assert_int_equal(again.row.amount_fen, b.item[0].result.row.amount_fen);
	assert_int_equal(again.row.claimed_at_ms, FIXTURE_NOW + 1);
	assert_int_equal(again.remaining_count, 7);
	fixture_check_books(f);
}

static void a_second_request_may_bring_the_grant_that_the_first_lacks(void **state)
{
	claim_fixture *f = *state;
	const fixture_packet spec = {.scope = PACKET_FRIENDS, .count = 9, .total_fen = 900};
	const uint64_t p = fixture_packet_new(f, &spec);
	batch b = {0};

	ask(&b, p, 1);
	ask(&b, p, 1)->relations = 1u << SESSION_FRIEND;
	ask(&b, p, 1)->relations = 1u << SESSION_FRIEND;
	done(&b);
	assert_int_equal(b.item[0].result.outcome, CLAIM_NOT_ELIGIBLE);
	assert_int_equal(b.item[1].result.outcome, CLAIM_CLAIMED);
	assert_int_equal(b.item[2].result.outcome, CLAIM_ALREADY);
	assert_int_equal(b.item[2].result.row.claim_no, b.item[1].result.row.claim_no);
	fixture_check_books(f);
}

static void expect_claimed(const lane_item *it, uint32_t index)
{
	assert_int_equal(it->result.outcome, CLAIM_CLAIMED);
	assert_int_equal(it->result.row.index, index);
}

static void expect_already(const lane_item *it, uint64_t claim_no)
{
	assert_int_equal(it->result.outcome, CLAIM_ALREADY);
	assert_int_equal(it->result.row.claim_no, claim_no);
}

/* Once with a batch that has to be taken back and decided again, once with one that reads first. */
static void who_has_claimed_earlier_takes_nothing_from_the_others(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 6, .total_fen = 900});
	const uint64_t q = fixture_packet_new(f, &(fixture_packet){.count = 3, .total_fen = 900});
	const uint64_t first = claim_one(p, 1).row.claim_no, other = claim_one(q, 1).row.claim_no;

	work_again(f);
	for (unsigned round = 0; round < 2; round++) {
		batch b = {0};
		ask(&b, p, 10 + round);
		ask(&b, p, 1);
		ask(&b, p, 20 + round);
		ask(&b, q, 1);
		ask(&b, q, 10 + round);
		done(&b);
		expect_claimed(&b.item[0], 1 + 2 * round);
		expect_already(&b.item[1], first);
		expect_claimed(&b.item[2], 2 + 2 * round);
		expect_already(&b.item[3], other);
		expect_claimed(&b.item[4], 1 + round);
		assert_int_equal(b.part[0].remaining, 3 - 2 * round);
		assert_int_equal(b.part[1].remaining, 1 - round);
	}
	fixture_check_books(f);
}

/* Each would be refused, had they not claimed earlier. */
static void who_has_claimed_earlier_is_told_so_whatever_became_of_the_packet(void **state)
{
	claim_fixture *f = *state;
	const fixture_packet spec = {.scope = PACKET_FRIENDS, .count = 2, .total_fen = 900};
	const uint64_t friends = fixture_packet_new(f, &spec);
	const uint64_t empty =
		fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 900});
	const uint64_t over =
		fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 900});
	batch b = {0}, again = {0};

	work_again(f);
	ask(&b, friends, 1)->relations = 1u << SESSION_FRIEND;
	ask(&b, empty, 1);
	ask(&b, over, 1);
	done(&b);
	fixture_run(f, "UPDATE packet SET state=%u WHERE packet_id=%" PRIu64,
		STATES_PACKET_REFUNDING, over);
	ask(&again, friends, 1);
	ask(&again, friends, 2);
	ask(&again, empty, 2);
	ask(&again, empty, 3);
	ask(&again, empty, 1);
	ask(&again, over, 2);
	ask(&again, over, 1);
	done(&again);
	expect_already(&again.item[0], b.item[0].result.row.claim_no);
	assert_int_equal(again.item[1].result.outcome, CLAIM_NOT_ELIGIBLE);
	expect_claimed(&again.item[2], 1);
	assert_int_equal(again.item[3].result.outcome, CLAIM_EXHAUSTED);
	expect_already(&again.item[4], b.item[1].result.row.claim_no);
	assert_int_equal(again.item[5].result.outcome, CLAIM_EXPIRED);
	expect_already(&again.item[6], b.item[2].result.row.claim_no);
	fixture_run(
		f, "UPDATE packet SET state=%u WHERE packet_id=%" PRIu64, STATES_PACKET_OPEN, over);
	fixture_check_books(f);
}

static void the_packet_s_state_decides(void **state)
{
	claim_fixture *f = *state;
	static const struct {
		unsigned state, payment;
		int64_t expires;
		claim_outcome says;
	} rows[] = {
		{STATES_PACKET_UNPAID, STATES_PAYMENT_PENDING, 0, CLAIM_NOT_OPEN},
		{STATES_PACKET_CLOSED, STATES_PAYMENT_CLOSED, 0, CLAIM_NOT_OPEN},
		{STATES_PACKET_CLOSED, STATES_PAYMENT_PAID, 0, CLAIM_EXPIRED},
		{STATES_PACKET_REFUNDING, STATES_PAYMENT_PAID, 0, CLAIM_EXPIRED},
		{STATES_PACKET_OPEN, STATES_PAYMENT_PAID, FIXTURE_NOW + 1, CLAIM_EXPIRED},
		{STATES_PACKET_OPEN, STATES_PAYMENT_PAID, FIXTURE_NOW + 2, CLAIM_CLAIMED},
	};

	for (unsigned i = 0; i < UNIT_COUNT(rows); i++) {
		const fixture_packet spec = {.state = rows[i].state,
			.count = 2,
			.total_fen = 10,
			.expires_at_ms = rows[i].expires};
		const uint64_t p = fixture_packet_new(f, &spec);
		fixture_run(f, "UPDATE payment SET state=%u WHERE packet_id=%" PRIu64,
			rows[i].payment, p);
		assert_int_equal(claim_one(p, 1).outcome, rows[i].says);
	}
	fixture_check_books(f);
}

static void who_may_open_is_the_scope_s(void **state)
{
	claim_fixture *f = *state;
	const unsigned friend = 1u << SESSION_FRIEND, fan = 1u << SESSION_FAN;
	const struct {
		packet_scope scope;
		uint64_t uid;
		unsigned relations;
		bool may;
	} rows[] = {
		{PACKET_PUBLIC, 1, 0, true},
		{PACKET_INVITED, 1, 0, false},
		{PACKET_INVITED, 1, friend | fan, false},
		{PACKET_INVITED, 77, 0, true},
		{PACKET_INVITED, FIXTURE_SENDER, 0, true},
		{PACKET_FRIENDS, 1, 0, false},
		{PACKET_FRIENDS, 1, fan, false},
		{PACKET_FRIENDS, 1, friend, true},
		{PACKET_FRIENDS, FIXTURE_SENDER, 0, true},
		{PACKET_FANS, 1, 0, false},
		{PACKET_FANS, 1, fan, true},
		{PACKET_FANS, 1, friend, true},
	};
	batch b = {0};

	for (unsigned i = 0; i < UNIT_COUNT(rows); i++) {
		const fixture_packet spec = {.scope = rows[i].scope, .count = 2, .total_fen = 10};
		const uint64_t p = fixture_packet_new(f, &spec);
		fixture_run(f, "INSERT INTO invited VALUES (%" PRIu64 ", 77)", p);
		ask(&b, p, rows[i].uid)->relations = rows[i].relations;
	}
	done(&b);
	for (unsigned i = 0; i < UNIT_COUNT(rows); i++)
		assert_int_equal(
			b.item[i].result.outcome, rows[i].may ? CLAIM_CLAIMED : CLAIM_NOT_ELIGIBLE);
	fixture_check_books(f);
}

static void a_packet_that_is_not_there_is_not_found(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 10});
	batch b = {0};

	ask(&b, p, 1);
	ask(&b, 99999901007, 1);
	done(&b);
	assert_int_equal(b.item[0].err, ERR_OK);
	assert_int_equal(b.item[1].err, ERR_NOT_FOUND);
	assert_false(b.part[1].elsewhere);
}

static void a_packet_locked_elsewhere_is_left_alone_and_the_others_go_on(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 10});
	const uint64_t q = fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 10});
	batch b = {0}, again = {0};
	const int64_t start = clk_mono_ms();

	assert_int_equal(db_begin(f->db), ERR_OK);
	fixture_run(f, "SELECT 1 FROM packet WHERE packet_id=%" PRIu64 " FOR UPDATE", p);
	ask(&b, p, 1);
	ask(&b, q, 1);
	done(&b);
	assert_true(clk_mono_ms() - start < 1000);
	assert_true(b.part[0].elsewhere);
	assert_false(b.part[1].elsewhere);
	assert_int_equal(b.item[1].result.outcome, CLAIM_CLAIMED);
	db_rollback(f->db);
	ask(&again, p, 1);
	done(&again);
	assert_int_equal(again.item[0].result.outcome, CLAIM_CLAIMED);
	fixture_check_books(f);
}

static void another_epoch_is_refused_and_changes_nothing(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 10});
	batch b = {0};

	fixture_run(f, "UPDATE cell_epoch SET epoch = epoch + 1");
	ask(&b, p, 1);
	assert_int_equal(run(&b), ERR_CELL_UNAVAILABLE);
	fixture_run(f, "UPDATE cell_epoch SET epoch = epoch - 1");
	assert_int_equal(
		fixture_value(f, "SELECT COUNT(*) FROM claim WHERE packet_id=%" PRIu64, p), 0);
	connect_again(f);
}

static void a_packet_whose_shares_do_not_fit_is_refused_with_no_trace(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 3, .total_fen = 100});
	const uint64_t q = fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 10});
	batch b = {0}, c = {0};

	assert_int_equal(claim_one(p, 1).outcome, CLAIM_CLAIMED);
	fixture_run(f, "UPDATE packet SET remaining = remaining - 1 WHERE packet_id=%" PRIu64, p);
	ask(&b, p, 2);
	ask(&b, p, 3);
	assert_int_equal(run(&b), ERR_INTERNAL);
	fixture_run(f, "UPDATE packet SET remaining = remaining + 1 WHERE packet_id=%" PRIu64, p);
	fixture_run(f, "UPDATE packet SET seed = REVERSE(seed) WHERE packet_id=%" PRIu64, q);
	ask(&c, q, 1);
	assert_int_equal(run(&c), ERR_TOKEN_INVALID);
	assert_int_equal(fixture_value(f,
				 "SELECT COUNT(*) FROM claim WHERE packet_id IN"
				 " (%" PRIu64 ",%" PRIu64 ")",
				 p, q),
		1);
	fixture_check_books(f);
}

/* The answer of COMMIT never comes; the server has done it. */
static void a_commit_whose_answer_is_lost_is_recognized_by_the_rerun(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 10});
	batch b = {0};

	ask(&b, p, 1);
	ask(&b, p, 1);
	ask(&b, p, 2);
	ask(&b, p, 3);
	proxy_mute_after(f->proxy, "COMMIT");
	assert_int_equal(run(&b), ERR_OUTCOME_UNKNOWN);
	proxy_set(f->proxy, PROXY_PASS);
	assert_false(db_alive(conn));
	connect_again(f);
	done(&b);
	assert_int_equal(b.item[0].result.outcome, CLAIM_CLAIMED);
	assert_int_equal(b.item[1].result.outcome, CLAIM_ALREADY);
	assert_int_equal(b.item[2].result.outcome, CLAIM_CLAIMED);
	assert_int_equal(b.item[3].result.outcome, CLAIM_EXHAUSTED);
	assert_int_equal(
		b.item[0].result.row.claim_no, fixture_value(f,
						       "SELECT claim_no FROM claim WHERE uid=1 AND"
						       " packet_id=%" PRIu64,
						       p));
	fixture_check_books(f);
}

/* The session may outlive its client for a while, and keeps its locks until it notices. */
static void a_server_that_hangs_before_commit_has_done_nothing(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 2, .total_fen = 10});
	batch b = {0};

	ask(&b, p, 1);
	fixture_run(f, "LOCK TABLES outbox READ");
	assert_int_equal(run(&b), ERR_DB_LOST);
	fixture_run(f, "UNLOCK TABLES");
	connect_again(f);
	done_once_free(&b);
	assert_int_equal(b.item[0].result.outcome, CLAIM_CLAIMED);
	fixture_check_books(f);
}

static void a_connection_lost_before_commit_has_done_nothing(void **state)
{
	claim_fixture *f = *state;
	static const char *const at[] = {
		"START TRANSACTION", "FOR UPDATE SKIP", "INSERT INTO claim"};

	for (unsigned i = 0; i < UNIT_COUNT(at); i++) {
		const fixture_packet spec = {.count = 2, .total_fen = 10};
		const uint64_t p = fixture_packet_new(f, &spec);
		batch b = {0};
		ask(&b, p, 1);
		proxy_mute_after(f->proxy, at[i]);
		assert_int_equal(run(&b), ERR_DB_LOST);
		proxy_cut(f->proxy);
		proxy_set(f->proxy, PROXY_PASS);
		connect_again(f);
		done_once_free(&b);
		assert_int_equal(b.item[0].result.outcome, CLAIM_CLAIMED);
		fixture_check_books(f);
	}
}

static void claims_are_found_and_listed(void **state)
{
	claim_fixture *f = *state;
	const uint64_t p = fixture_packet_new(f, &(fixture_packet){.count = 9, .total_fen = 900});
	claim_row row, rows[4];
	unsigned count = 99;
	batch b = {0};

	for (uint64_t u = 30; u > 24; u--)
		ask(&b, p, u);
	done(&b);
	assert_int_equal(claim_find(f->db, p, 27, &row), ERR_OK);
	assert_int_equal(row.claim_no, b.item[3].result.row.claim_no);
	assert_int_equal(row.amount_fen, b.item[3].result.row.amount_fen);
	assert_int_equal(row.index, 3);
	assert_int_equal(row.claimed_at_ms, FIXTURE_NOW + 1);
	assert_int_equal(claim_find(f->db, p, 31, &row), ERR_NOT_FOUND);
	assert_int_equal(claim_list(f->db, p, 3, 4, rows, &count), ERR_OK);
	assert_int_equal(count, 3);
	assert_int_equal(rows[0].uid, 27);
	assert_int_equal(rows[2].index, 5);
	assert_int_equal(claim_list(f->db, p, 0, 4, rows, &count), ERR_OK);
	assert_int_equal(count, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_given_in_order_until_none_is_left),
		cmocka_unit_test(many_packets_share_one_transaction_and_one_outbox_row),
		cmocka_unit_test(a_user_has_one_share_however_often_they_ask),
		cmocka_unit_test(who_has_claimed_earlier_takes_nothing_from_the_others),
		cmocka_unit_test(who_has_claimed_earlier_is_told_so_whatever_became_of_the_packet),
		cmocka_unit_test(a_second_request_may_bring_the_grant_that_the_first_lacks),
		cmocka_unit_test(the_packet_s_state_decides),
		cmocka_unit_test(who_may_open_is_the_scope_s),
		cmocka_unit_test(a_packet_that_is_not_there_is_not_found),
		cmocka_unit_test(a_packet_locked_elsewhere_is_left_alone_and_the_others_go_on),
		cmocka_unit_test(another_epoch_is_refused_and_changes_nothing),
		cmocka_unit_test(a_packet_whose_shares_do_not_fit_is_refused_with_no_trace),
		cmocka_unit_test(a_commit_whose_answer_is_lost_is_recognized_by_the_rerun),
		cmocka_unit_test(a_server_that_hangs_before_commit_has_done_nothing),
		cmocka_unit_test(a_connection_lost_before_commit_has_done_nothing),
		cmocka_unit_test(claims_are_found_and_listed),
	};

	return cmocka_run_group_tests_name("claim_batch", tests, setup, teardown);
}
