/* Orders against a real database, with a finance that answers as each test says. */
#include "base/clk.h"
#include "base/metrics.h"
#include "domain/outbox.h"
#include "domain/received.h"
#include "domain/refund.h"
#include "domain/states.h"
#include "tests/unit/orders_fixture.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void a_transfer_is_made_once_and_only_from_its_claim(void **state)
{
	(void)state;
	transfer_claim wrong[4] = {the_claim(), the_claim(), the_claim(), the_claim()};
	wrong[0].amount_fen = 31;
	wrong[1].uid = 6003;
	wrong[2].claim_no++;
	wrong[3].kind = TRANSFER_CREDIT;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(transact(add_transfer, &wrong[i]), ERR_ORDER_CONFLICT);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM transfer"), 0);
	make_transfer();
	make_transfer();
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM transfer WHERE payee = 6002 AND "
					    "amount = 30 AND state = 1 AND next_check_at = 2000"),
		1);
	cell_db_run(db, "UPDATE transfer SET amount = 29");
	transfer_claim c = the_claim();
	assert_int_equal(transact(add_transfer, &c), ERR_ORDER_CONFLICT);
}

static void a_transfer_is_sent_until_finance_has_spoken(void **state)
{
	unsigned at;
	transfer_kind kind;
	(void)state;
	make_transfer();
	fin.err = ERR_FINANCE_UNAVAILABLE;
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(transfer_state(db, CLAIM, &kind, &at), ERR_OK);
	assert_int_equal(at, STATES_TRANSFER_PENDING);
	fin.err = ERR_OK;
	fin.submit = FINANCE_DONE;
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(transfer_state(db, CLAIM, &kind, &at), ERR_OK);
	assert_int_equal(at, STATES_TRANSFER_DONE);
	assert_int_equal(fin.last.uid, 6002);
	assert_int_equal(fin.last.amount_fen, 30);
	assert_string_equal(fin.notify_url, "http://127.0.0.1/v1/callbacks/finance/100301001");
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(fin.submits, 2); /* a final one is not sent again */
}

static void a_number_that_finance_does_not_know_is_sent_again(void **state)
{
	(void)state;
	make_transfer();
	fin.query = FINANCE_NOT_KNOWN;
	fin.submit = FINANCE_PENDING;
	assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(fin.submits, 1);
	assert_int_equal(fin.last.order_no, CLAIM);
	assert_int_equal(cell_db_number(db, "SELECT tries FROM transfer WHERE state = 1"), 1);
	assert_true(cell_db_number(db, "SELECT next_check_at FROM transfer") > clk_wall_ms());
	fin.query = FINANCE_DONE;
	fin.amount_fen = 30;
	assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(fin.submits, 1);
	assert_int_equal(cell_db_number(db, "SELECT state FROM transfer"), STATES_TRANSFER_DONE);
}

static void an_order_that_finance_leaves_hanging_is_stuck_once_and_tried_on(void **state)
{
	(void)state;
	int64_t before = metrics_get(METRICS_ORDERS_STUCK, 0);
	make_transfer();
	fin.err = ERR_FINANCE_UNAVAILABLE;
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(
			orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_FINANCE_UNAVAILABLE);
		assert_int_equal(cell_db_number(db, "SELECT tries FROM transfer"), i);
		assert_int_equal(cell_db_number(db, "SELECT stuck FROM transfer"), i >= 3);
	}
	assert_int_equal(metrics_get(METRICS_ORDERS_STUCK, 0), before + 1);
	fin.err = ERR_OK;
	fin.query = FINANCE_DONE;
	assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT stuck FROM transfer WHERE state = 2"), 0);
}

static int64_t checks(unsigned delay, unsigned nth)
{
	return cell_db_number(db,
		"SELECT COUNT(*) FROM outbox WHERE kind = 8 AND payload = "
		"'[{\"no\":%d,\"k\":2,\"d\":%u,\"n\":%u}]'",
		CLAIM, delay, nth);
}

static void an_order_left_pending_has_one_check_message_under_way(void **state)
{
	(void)state;
	make_transfer();
	fin.submit = FINANCE_PENDING;
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(checks(1, 1), 1);
	fin.err = ERR_FINANCE_UNAVAILABLE;
	assert_int_equal(
		orders_check_nth(&desk, FINANCE_TRANSFER, CLAIM, 1), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(checks(2, 2), 1);
	/* A copy of the first message comes late: its try has been made. */
	assert_int_equal(orders_check_nth(&desk, FINANCE_TRANSFER, CLAIM, 1), ERR_OK);
	assert_int_equal(fin.queries, 1);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM outbox WHERE kind = 8"), 2);
	/* The sweep is faster with the next try: the message under way is out of date. */
	assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(checks(3, 3), 1);
	assert_int_equal(orders_check_nth(&desk, FINANCE_TRANSFER, CLAIM, 2), ERR_OK);
	assert_int_equal(fin.queries, 2);
	for (unsigned nth = 3; nth <= 6; nth++)
		assert_int_equal(orders_check_nth(&desk, FINANCE_TRANSFER, CLAIM, nth),
			ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(checks(4, 4) + checks(4, 7), 2);
	fin.err = ERR_OK;
	fin.query = FINANCE_DONE;
	assert_int_equal(orders_check_nth(&desk, FINANCE_TRANSFER, CLAIM, 7), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT state FROM transfer"), STATES_TRANSFER_DONE);
	assert_int_equal(orders_check_nth(&desk, FINANCE_TRANSFER, CLAIM, 8), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM outbox WHERE kind = 8"), 7);
}

static void another_worker_checks(void)
{
	assert_int_equal(orders_check_nth(&desk, FINANCE_TRANSFER, CLAIM, 1), ERR_OK);
}

static void two_copies_of_a_check_message_at_once_leave_one_that_goes_on(void **state)
{
	(void)state;
	make_transfer();
	fin.query = FINANCE_PENDING;
	fin.meanwhile = another_worker_checks;
	assert_int_equal(orders_check_nth(&desk, FINANCE_TRANSFER, CLAIM, 1), ERR_OK);
	assert_int_equal(fin.queries, 2);
	assert_int_equal(cell_db_number(db, "SELECT tries FROM transfer"), 1);
	assert_int_equal(checks(2, 2), 1);
	assert_int_equal(orders_check_nth(&desk, FINANCE_TRANSFER, CLAIM, 2), ERR_OK);
	assert_int_equal(fin.queries, 3);
	assert_int_equal(checks(3, 3), 1);
}

static void an_order_that_is_done_at_once_needs_no_check_and_one_that_was_not_sent_does(
	void **state)
{
	(void)state;
	make_transfer();
	fin.err = ERR_FINANCE_UNAVAILABLE;
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(checks(1, 1), 1);
	fin.err = ERR_OK;
	fin.submit = FINANCE_DONE;
	fin.amount_fen = 31; /* contradicts the order */
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_ORDER_CONFLICT);
	assert_int_equal(checks(1, 1), 2);
	fin.amount_fen = 0;
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM outbox WHERE kind = 8"), 2);
	assert_int_equal(orders_check_nth(&desk, 9, CLAIM, 1), ERR_NOT_FOUND);
}

static void another_amount_is_never_applied_but_counts_as_a_try(void **state)
{
	(void)state;
	make_transfer();
	fin.query = FINANCE_DONE;
	fin.amount_fen = 31;
	assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_ORDER_CONFLICT);
	assert_int_equal(cell_db_number(db, "SELECT tries FROM transfer WHERE state = 1"), 1);
}

static void unpaid(int64_t expires_at)
{
	cell_db_run(db, "UPDATE packet SET state = 1, remaining = 100, remaining_count = 3; "
			"UPDATE payment SET state = 1");
	cell_db_run(db, "UPDATE payment SET expires_at = %lld", (long long)expires_at);
}

static void a_payment_past_its_time_is_closed_by_finances_word(void **state)
{
	(void)state;
	unpaid(clk_wall_ms() - 1);
	fin.close = FINANCE_PENDING;
	assert_int_equal(orders_check(&desk, FINANCE_PAYMENT, PAYMENT), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT state FROM payment"), STATES_PAYMENT_CLOSING);
	assert_int_equal(cell_db_number(db, "SELECT tries FROM payment"), 1);
	fin.close = FINANCE_CLOSED;
	assert_int_equal(orders_check(&desk, FINANCE_PAYMENT, PAYMENT), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT state FROM payment"), STATES_PAYMENT_CLOSED);
	assert_int_equal(cell_db_number(db, "SELECT state FROM packet"), STATES_PACKET_CLOSED);
	assert_int_equal(fin.closes, 2);
	assert_int_equal(fin.queries + fin.submits, 0);
}

static void a_payment_that_was_paid_when_it_should_close_opens_the_packet(void **state)
{
	(void)state;
	unpaid(clk_wall_ms() - 1);
	fin.close = FINANCE_DONE;
	fin.amount_fen = 100;
	assert_int_equal(orders_check(&desk, FINANCE_PAYMENT, PAYMENT), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT state FROM payment"), STATES_PAYMENT_PAID);
	assert_int_equal(cell_db_number(db, "SELECT state FROM packet"), STATES_PACKET_OPEN);
	assert_true(cell_db_number(db, "SELECT expires_at FROM packet") > clk_wall_ms());
}

static void a_payment_that_waits_for_its_payer_is_asked_about_but_never_stuck(void **state)
{
	(void)state;
	int64_t expires_at = clk_wall_ms() + 2000;
	unpaid(expires_at);
	fin.query = FINANCE_NOT_KNOWN;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(orders_check(&desk, FINANCE_PAYMENT, PAYMENT), ERR_OK);
	assert_int_equal(fin.submits, 0);
	assert_int_equal(
		cell_db_number(db, "SELECT stuck FROM payment WHERE state = 1 AND tries = 4"), 0);
	assert_int_equal(cell_db_number(db, "SELECT next_check_at FROM payment"), expires_at);
}

static err_t expire(db_t *d, void *ctx)
{
	refund_expiry x = {
		.packet_id = PACKET, .refund_no = REFUND, .now_ms = 5000, .next_check_at_ms = 6000};
	return refund_expire_packet(d, &x, ctx);
}

static void an_expired_packet_is_refunded_once(void **state)
{
	(void)state;
	bool expired;
	cell_db_run(db, "UPDATE packet SET expires_at = 5001");
	assert_int_equal(transact(expire, &expired), ERR_OK);
	assert_false(expired);
	cell_db_run(db, "UPDATE packet SET expires_at = 5000");
	assert_int_equal(transact(expire, &expired), ERR_OK);
	assert_true(expired);
	assert_int_equal(transact(expire, &expired), ERR_OK);
	assert_false(expired);
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM packet WHERE state = 4 AND remaining = "
				   "70 AND remaining_count = 2 AND expires_at = 5000"),
		1);
	assert_int_equal(
		cell_db_number(db,
			"SELECT COUNT(*) FROM refund WHERE order_no = %d AND amount = 70 AND "
			"reason = 1 AND payment_no = %d AND payee = 5001 AND state = 1",
			REFUND, PAYMENT),
		1);
	assert_int_equal(
		cell_db_number(db,
			"SELECT COUNT(*) FROM outbox WHERE kind = 2 AND payload = '[{\"no\":%d}]'",
			REFUND),
		1);
	fin.submit = FINANCE_DONE;
	assert_int_equal(orders_submit(&desk, FINANCE_REFUND, REFUND), ERR_OK);
	assert_int_equal(fin.last.payment_no, PAYMENT);
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM packet WHERE state = 5 AND remaining = 70 "
				   "AND expires_at = 5000"),
		1);
}

static void a_packet_that_somebody_has_locked_is_left_for_later(void **state)
{
	(void)state;
	bool expired;
	cell_db_run(db, "BEGIN; SELECT 1 FROM packet FOR UPDATE");
	int64_t from = clk_mono_ms();
	assert_int_equal(transact(expire, &expired), ERR_OK);
	assert_false(expired);
	assert_true(clk_mono_ms() - from < 1000);
	cell_db_run(db, "ROLLBACK");
	assert_int_equal(transact(expire, &expired), ERR_OK);
	assert_true(expired);
}

static void the_walk_over_expired_packets_passes_each_once(void **state)
{
	(void)state;
	uint64_t id[2];
	size_t count;
	refund_cursor at = {0};
	int64_t seen = 0;
	for (int i = 1; i <= 4; i++)
		cell_db_run(db,
			"INSERT INTO packet SELECT packet_id + %d, sender, kind, split, scope, "
			"state, count, remaining_count, total, remaining, created_at, 5000 + %d, "
			"seed_id, seed, nonce, commitment, greeting, video_id, campaign FROM "
			"packet WHERE "
			"packet_id = %d",
			i * 100000, i / 2, PACKET);
	do {
		assert_int_equal(refund_expired_packets(db, 5001, 2, &at, id, &count), ERR_OK);
		seen += (int64_t)count;
	} while (count == 2);
	assert_int_equal(seen, 4); /* the fifth expires at 5002 */
}

static finance_event the_event(void)
{
	return (finance_event){.order_no = CLAIM,
		.kind = FINANCE_TRANSFER,
		.outcome = FINANCE_DONE,
		.amount_fen = 30,
		.at_ms = 77};
}

static void a_callback_is_stored_once_and_takes_effect_once(void **state)
{
	(void)state;
	bool repeated;
	finance_event e = the_event();
	assert_int_equal(orders_event_store(&desk, "ev", &e, 1, &repeated), ERR_NOT_FOUND);
	make_transfer();
	assert_int_equal(orders_event_store(&desk, "ev", &e, 1, &repeated), ERR_OK);
	assert_false(repeated);
	assert_int_equal(orders_event_store(&desk, "ev", &e, 2, &repeated), ERR_OK);
	assert_true(repeated);
	finance_event other = e;
	other.outcome = FINANCE_REFUSED;
	assert_int_equal(orders_event_store(&desk, "ev", &other, 3, &repeated), ERR_ORDER_CONFLICT);
	other = e;
	other.kind = FINANCE_REFUND;
	assert_int_equal(orders_event_store(&desk, "e2", &other, 3, &repeated), ERR_NOT_FOUND);
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM outbox WHERE kind = 3 AND payload = "
				   "'[{\"no\":100301001,\"e\":\"ev\"}]'"),
		1);
	assert_int_equal(orders_event_handle(&desk, CLAIM, "none", 9), ERR_NOT_FOUND);
	assert_int_equal(orders_event_handle(&desk, CLAIM, "ev", 9), ERR_OK);
	assert_int_equal(orders_event_handle(&desk, CLAIM, "ev", 10), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT state FROM transfer"), STATES_TRANSFER_DONE);
	assert_int_equal(cell_db_number(db, "SELECT handled_at FROM finance_event"), 9);
}

static void a_callback_of_another_amount_changes_nothing(void **state)
{
	(void)state;
	static const int64_t wrong[] = {31, 0};
	bool repeated;
	make_transfer();
	for (unsigned i = 0; i < UNIT_COUNT(wrong); i++) {
		char id[8];
		finance_event e = the_event();
		e.amount_fen = wrong[i];
		snprintf(id, sizeof id, "ev%u", i);
		assert_int_equal(orders_event_store(&desk, id, &e, 1, &repeated), ERR_OK);
		assert_int_equal(orders_event_handle(&desk, CLAIM, id, 9), ERR_ORDER_CONFLICT);
	}
	assert_int_equal(cell_db_number(db, "SELECT state FROM transfer"), STATES_TRANSFER_PENDING);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM finance_event WHERE handled_at "
					    "IS NULL"),
		2);
}

static void *store_event(void *ctx)
{
	finance_event e = the_event();
	bool repeated = true;
	err_t err = orders_event_store(&desk, "same", &e, 1, &repeated);
	__atomic_add_fetch((int *)ctx, err != ERR_OK ? 1000 : !repeated, __ATOMIC_RELAXED);
	return NULL;
}

static void the_same_callback_many_times_at_once_is_stored_once(void **state)
{
	(void)state;
	pthread_t id[8];
	int stored = 0;
	make_transfer();
	for (unsigned i = 0; i < UNIT_COUNT(id); i++)
		assert_int_equal(pthread_create(&id[i], NULL, store_event, &stored), 0);
	for (unsigned i = 0; i < UNIT_COUNT(id); i++)
		pthread_join(id[i], NULL);
	assert_int_equal(stored, 1);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM outbox"), 1);
}

static void due_orders_are_leased_to_one_sweep(void **state)
{
	(void)state;
	uint64_t no[5];
	size_t count;
	int64_t now = clk_wall_ms();
	cell_db_run(db,
		"INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, "
		"next_check_at, created_at, changed_at) SELECT seq, 1, 1, 1, 1, IF(seq = 8, 2, 1), "
		"IF(seq = 7, %lld, seq), 1, 1 FROM seq_1_to_8",
		(long long)now + 60000);
	assert_int_equal(orders_take_due(&desk, FINANCE_TRANSFER, STATES_TRANSFER_PENDING, 4,
				 now + 9000, no, &count),
		ERR_OK);
	assert_int_equal(count, 4);
	cell_db_run(db, "BEGIN; SELECT 1 FROM transfer WHERE order_no = 5 FOR UPDATE");
	assert_int_equal(orders_take_due(&desk, FINANCE_TRANSFER, STATES_TRANSFER_PENDING, 5,
				 now + 9000, no, &count),
		ERR_OK);
	assert_int_equal(count, 1);
	assert_int_equal(no[0], 6); /* not the leased, the locked, the later and the final ones */
	cell_db_run(db, "ROLLBACK");
	assert_int_equal(cell_db_number(db,
				 "SELECT COUNT(*) FROM transfer WHERE next_check_at = "
				 "%lld",
				 (long long)now + 9000),
		5);
}

static err_t outbox_steps(db_t *d, void *ctx)
{
	uint64_t id[4], *first = ctx;
	db_rows_t *rows;
	bool waiting;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			outbox_add(d, OUTBOX_REFUND, i + 1, 5, "[{\"no\":1}]", 10), ERR_OK);
	assert_int_equal(outbox_lock_free(d, 0, 100, 10, &rows), ERR_OK);
	assert_int_equal(db_rows_count(rows), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(db_rows_next(rows));
		id[i] = db_rows_u(rows, 0);
	}
	db_rows_free(&rows);
	assert_int_equal(outbox_lease(d, id, 2, 200), ERR_OK);
	assert_int_equal(outbox_delete(d, id + 3, 1), ERR_OK);
	assert_int_equal(outbox_lock_free(d, 0, 199, 10, &rows), ERR_OK);
	assert_int_equal(db_rows_count(rows), 1);
	db_rows_free(&rows);
	assert_int_equal(outbox_lock_free(d, id[1], 200, 10, &rows), ERR_OK);
	assert_int_equal(db_rows_count(rows), 2);
	db_rows_free(&rows);
	assert_int_equal(outbox_waiting(d, id[3], 200, &waiting), ERR_OK);
	assert_false(waiting);
	assert_int_equal(outbox_park(d, id[0], "WHY", 9), ERR_OK);
	*first = id[0];
	return ERR_OK;
}

static void outbox_rows_are_leased_deleted_and_parked(void **state)
{
	(void)state;
	uint64_t parked = 0;
	assert_int_equal(transact(outbox_steps, &parked), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM outbox"), 2);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM parked WHERE queue = "
					    "'outbox kind 2' AND reason = 'WHY' AND "
					    "body = '[{\"no\":1}]'"),
		1);
}

static err_t add_received(db_t *d, void *ctx)
{
	return received_add(d, ctx);
}

static void a_received_claim_is_there_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		received_row row = {.uid = 6002,
			.claim_no = 10 + i % 3,
			.packet_id = 1,
			.sender = 2,
			.packet_kind = 1,
			.amount_fen = 30 + i,
			.claimed_at_ms = 4};
		assert_int_equal(transact(add_received, &row), ERR_OK);
	}
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) * 1000 + SUM(amount) FROM received"), 3093);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_transfer_is_made_once_and_only_from_its_claim),
		CASE(a_transfer_is_sent_until_finance_has_spoken),
		CASE(a_number_that_finance_does_not_know_is_sent_again),
		CASE(an_order_that_finance_leaves_hanging_is_stuck_once_and_tried_on),
		CASE(an_order_left_pending_has_one_check_message_under_way),
		CASE(two_copies_of_a_check_message_at_once_leave_one_that_goes_on),
		CASE(an_order_that_is_done_at_once_needs_no_check_and_one_that_was_not_sent_does),
		CASE(another_amount_is_never_applied_but_counts_as_a_try),
		CASE(a_payment_past_its_time_is_closed_by_finances_word),
		CASE(a_payment_that_was_paid_when_it_should_close_opens_the_packet),
		CASE(a_payment_that_waits_for_its_payer_is_asked_about_but_never_stuck),
		CASE(an_expired_packet_is_refunded_once),
		CASE(a_packet_that_somebody_has_locked_is_left_for_later),
		CASE(the_walk_over_expired_packets_passes_each_once),
		CASE(a_callback_is_stored_once_and_takes_effect_once),
		CASE(a_callback_of_another_amount_changes_nothing),
		CASE(the_same_callback_many_times_at_once_is_stored_once),
		CASE(due_orders_are_leased_to_one_sweep),
		CASE(outbox_rows_are_leased_deleted_and_parked),
		CASE(a_received_claim_is_there_once),
	};
	return cmocka_run_group_tests(tests, orders_set_up, orders_tear_down);
}
