/* Money that goes another way than it was meant to: only finance's final word, asked for once more,
 * moves it, and once. */
#include "base/clk.h"
#include "domain/payment.h"
#include "domain/refund.h"
#include "tests/unit/orders_fixture.h"
#include <stdio.h>
#include <string.h>

static int64_t state_of(const char *table)
{
	return cell_db_number(db, "SELECT state FROM %s", table);
}

static int64_t booked(const char *account, int64_t owner)
{
	return cell_db_number(db,
		"SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE account = %s AND owner = %lld",
		account, (long long)owner);
}

static void nothing_moved(void)
{
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM ledger"), 0);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM outbox WHERE kind IN (2, 5)"), 0);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM account"), 0);
}

/* Finance refuses what is submitted and says so again when it is asked. */
static void refused(void)
{
	fin.submit = fin.query = FINANCE_REFUSED;
	fin.reason = "ACCOUNT_CLOSED";
}

static int64_t credits(void)
{
	return cell_db_number(db,
		"SELECT COUNT(*) FROM outbox WHERE kind = 5 AND payload = "
		"'[{\"no\":%d,\"u\":6002,\"a\":30}]'",
		CLAIM);
}

static err_t credited_tx(db_t *d, void *ctx)
{
	return states_change(d, STATES_TRANSFER, CLAIM, STATES_TRANSFER_REFUSED,
		STATES_TRANSFER_WALLET, STATES_BY_CREDIT, 9, 9, ctx);
}

static void a_refused_transfer_goes_to_the_claimers_wallet_once(void **state)
{
	bool changed;
	(void)state;
	make_transfer();
	refused();
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(state_of("transfer"), STATES_TRANSFER_REFUSED);
	assert_int_equal(booked("10", 0), -30); /* finance keeps it; cell 2 (slot 2) is owed it */
	assert_int_equal(booked("7", 2), 30);
	assert_int_equal(credits(), 1);
	/* Until that cell has answered the event goes out again; the booking does not. */
	assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(credits(), 2);
	assert_int_equal(booked("7", 2), 30);
	assert_int_equal(transact(credited_tx, &changed), ERR_OK);
	assert_int_equal(state_of("transfer"), STATES_TRANSFER_WALLET);
	assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(credits(), 2);
	assert_int_equal(fin.submits, 1);
}

static void what_is_not_a_final_refusal_moves_nothing(void **state)
{
	static const struct {
		err_t err;
		finance_outcome says;
	} rows[] = {{ERR_FINANCE_UNAVAILABLE, 0}, {ERR_OK, FINANCE_NOT_KNOWN},
		{ERR_OK, FINANCE_PENDING}, {ERR_ORDER_CONFLICT, 0}};
	make_transfer();
	cell_db_run(db, "INSERT INTO refund VALUES (%d, %d, 1, 0, %d, 5001, 70, 1, 0, 0, 0, 1, 1)",
		REFUND, PACKET, PAYMENT);
	(void)state;
	for (unsigned round = 0; round < 2; round++) { /* pending, then refused but not confirmed */
		for (unsigned i = 0; i < UNIT_COUNT(rows); i++) {
			fin.err = rows[i].err;
			fin.submit = FINANCE_PENDING;
			fin.query = rows[i].says;
			assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), rows[i].err);
			assert_int_equal(orders_check(&desk, FINANCE_REFUND, REFUND), rows[i].err);
			nothing_moved();
		}
		assert_int_equal(fin.submits, 2); /* for "not known", while pending only */
		assert_int_equal(state_of("transfer"),
			round ? STATES_TRANSFER_REFUSED : STATES_TRANSFER_PENDING);
		assert_int_equal(
			state_of("refund"), round ? STATES_REFUND_REFUSED : STATES_REFUND_PENDING);
		cell_db_run(db, "UPDATE transfer SET state = 3; UPDATE refund SET state = 3");
	}
	assert_int_equal(cell_db_number(db, "SELECT stuck FROM transfer"), 1);
}

static void store_and_handle(const char *id, finance_kind kind, uint64_t no,
	finance_outcome outcome, int64_t fen, err_t want)
{
	bool repeated;
	finance_event e = {
		.order_no = no, .kind = kind, .outcome = outcome, .amount_fen = fen, .at_ms = 7};
	assert_int_equal(orders_event_store(&desk, id, &e, 1, &repeated), ERR_OK);
	assert_int_equal(orders_event_handle(&desk, no, id, clk_wall_ms()), want);
}

static void a_refusal_called_back_that_finance_does_not_stand_by_moves_nothing(void **state)
{
	(void)state;
	make_transfer();
	fin.query = FINANCE_DONE;
	fin.amount_fen = 30;
	store_and_handle("no", FINANCE_TRANSFER, CLAIM, FINANCE_REFUSED, 30, ERR_OK);
	assert_int_equal(state_of("transfer"), STATES_TRANSFER_REFUSED);
	nothing_moved();
	store_and_handle("yes", FINANCE_TRANSFER, CLAIM, FINANCE_DONE, 30, ERR_ORDER_CONFLICT);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_ORDER_CONFLICT);
	nothing_moved();
	assert_int_equal(cell_db_number(db, "SELECT stuck FROM transfer"), 1);
}

static void make_withdrawal(void)
{
	cell_db_run(db,
		"INSERT INTO withdrawal VALUES (%d, 5001, 50, 1, 0, 0, 0, 1, 1); "
		"INSERT INTO ledger VALUES (10, 1, 0, 8, 2, -80, 1), (10, 1, 1, 1, 5001, 80, 1), "
		"(11, %d, 0, 1, 5001, -50, 1), (11, %d, 1, 9, 0, 50, 1); "
		"INSERT INTO account VALUES (1, 5001, 30)",
		WITHDRAWAL, WITHDRAWAL, WITHDRAWAL);
}

static int64_t wallet(void)
{
	return cell_db_number(db, "SELECT balance FROM account WHERE kind = 1 AND owner = 5001");
}

static void a_refused_withdrawal_goes_back_once_and_only_when_finance_stands_by_it(void **state)
{
	static const finance_outcome others[] = {FINANCE_NOT_KNOWN, FINANCE_PENDING, FINANCE_DONE};
	(void)state;
	make_withdrawal();
	for (unsigned i = 0; i < UNIT_COUNT(others); i++) {
		char id[8];
		snprintf(id, sizeof id, "no%u", i);
		fin.query = others[i];
		fin.amount_fen = others[i] == FINANCE_DONE ? 50 : 0;
		store_and_handle(id, FINANCE_WITHDRAWAL, WITHDRAWAL, FINANCE_REFUSED, 50, ERR_OK);
		assert_int_equal(state_of("withdrawal"), STATES_WITHDRAWAL_REFUSING);
		assert_int_equal(wallet(), 30);
	}
	fin.err = ERR_FINANCE_UNAVAILABLE;
	assert_int_equal(
		orders_check(&desk, FINANCE_WITHDRAWAL, WITHDRAWAL), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(wallet(), 30);
	assert_int_equal(cell_db_number(db, "SELECT stuck FROM withdrawal"), 1);
	fin.err = ERR_OK;
	fin.amount_fen = 0;
	refused();
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(orders_check(&desk, FINANCE_WITHDRAWAL, WITHDRAWAL), ERR_OK);
		assert_int_equal(state_of("withdrawal"), STATES_WITHDRAWAL_REFUSED);
		assert_int_equal(wallet(), 80);
		assert_int_equal(booked("9", 0), 0);
	}
	assert_int_equal(fin.submits, 0);
}

static void a_withdrawal_refused_in_the_answer_is_back_at_once(void **state)
{
	(void)state;
	make_withdrawal();
	refused();
	assert_int_equal(orders_submit(&desk, FINANCE_WITHDRAWAL, WITHDRAWAL), ERR_OK);
	assert_int_equal(state_of("withdrawal"), STATES_WITHDRAWAL_REFUSED);
	assert_int_equal(wallet(), 80);
	assert_int_equal(fin.queries, 1);
}

static void a_refund_called_back_as_refused_that_finance_made_moves_nothing(void **state)
{
	(void)state;
	cell_db_run(db, "INSERT INTO refund VALUES (%d, %d, 1, 0, %d, 5001, 70, 1, 0, 0, 0, 1, 1)",
		REFUND, PACKET, PAYMENT);
	fin.query = FINANCE_DONE;
	fin.amount_fen = 70;
	store_and_handle("no", FINANCE_REFUND, REFUND, FINANCE_REFUSED, 70, ERR_OK);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(orders_check(&desk, FINANCE_REFUND, REFUND), ERR_ORDER_CONFLICT);
	nothing_moved();
	assert_int_equal(cell_db_number(db, "SELECT stuck FROM refund WHERE state = 3"), 1);
}

static void the_sweep_finds_what_a_crash_left_refused(void **state)
{
	uint64_t no;
	size_t count;
	(void)state;
	make_transfer();
	cell_db_run(db, "UPDATE transfer SET state = 3, next_check_at = 0");
	refused();
	assert_int_equal(orders_take_due(&desk, FINANCE_TRANSFER, STATES_TRANSFER_REFUSED, 1,
				 clk_wall_ms() + 9000, &no, &count),
		ERR_OK);
	assert_int_equal(count, 1);
	assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, no), ERR_OK);
	assert_int_equal(credits(), 1);
	assert_int_equal(fin.submits, 0);
}

static void to_sender(const char *where)
{
	char why[256];
	assert_int_equal(conf_set(conf, "order.refused_transfer", where, why), ERR_OK);
}

static uint64_t only_refund(unsigned reason, unsigned fen)
{
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM refund"), 1);
	assert_int_equal(
		cell_db_number(db,
			"SELECT COUNT(*) FROM refund WHERE packet_id = %d AND payment_no = %d AND "
			"payee = 5001 AND state = 1 AND reason = %u AND amount = %u",
			PACKET, PAYMENT, reason, fen),
		1);
	return (uint64_t)cell_db_number(db, "SELECT order_no FROM refund");
}

static void configured_so_a_refused_transfer_goes_back_to_the_sender(void **state)
{
	(void)state;
	make_transfer();
	refused();
	to_sender("sender");
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	uint64_t refund_no = only_refund(REFUND_REFUSED_TRANSFER, 30);
	assert_int_equal(numbers_slot(refund_no), numbers_slot(PACKET));
	assert_int_equal(cell_db_number(db, "SELECT claim_no FROM refund"), CLAIM);
	/* Once, and what was begun stays, whatever is configured since. */
	to_sender("wallet");
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(only_refund(REFUND_REFUSED_TRANSFER, 30), refund_no);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM ledger"), 0);
	assert_int_equal(cell_db_number(db, "SELECT stuck FROM transfer"), 0);
	fin.submit = FINANCE_DONE;
	assert_int_equal(orders_submit(&desk, FINANCE_REFUND, refund_no), ERR_OK);
	assert_int_equal(fin.last.amount_fen, 30);
	assert_int_equal(state_of("transfer"), STATES_TRANSFER_RETURNED);
	assert_int_equal(state_of("packet"), STATES_PACKET_OPEN); /* the rest is not touched */
}

static void a_wallet_that_was_chosen_stays_chosen(void **state)
{
	(void)state;
	make_transfer();
	refused();
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	to_sender("sender");
	assert_int_equal(orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM refund"), 0);
	assert_int_equal(credits(), 2);
}

static void make_refund(void)
{
	cell_db_run(db, "INSERT INTO refund VALUES (%d, %d, 1, 0, %d, 5001, 70, 1, 0, 0, 0, 1, 1)",
		REFUND, PACKET, PAYMENT);
	cell_db_run(db, "UPDATE packet SET state = 4");
}

static void a_refused_refund_goes_to_the_payers_wallet_and_the_packet_closes(void **state)
{
	(void)state;
	make_refund();
	refused();
	assert_int_equal(orders_submit(&desk, FINANCE_REFUND, REFUND), ERR_OK);
	assert_int_equal(state_of("refund"), STATES_REFUND_WALLET);
	assert_int_equal(state_of("packet"), STATES_PACKET_CLOSED);
	assert_int_equal(
		cell_db_number(db, "SELECT balance FROM account WHERE kind = 1 AND owner = 5001"),
		70);
	assert_int_equal(booked("10", 0), -70);
	assert_int_equal(orders_check(&desk, FINANCE_REFUND, REFUND), ERR_OK);
	store_and_handle("late", FINANCE_REFUND, REFUND, FINANCE_REFUSED, 70, ERR_OK);
	assert_int_equal(cell_db_number(db, "SELECT balance FROM account WHERE owner = 5001"), 70);
	store_and_handle("but", FINANCE_REFUND, REFUND, FINANCE_DONE, 70, ERR_ORDER_CONFLICT);
}

static void a_refund_of_a_payment_that_finance_denies_moves_nothing(void **state)
{
	static const char *const reasons[] = {
		"PAYMENT_NOT_PAID", "ABOVE_PAYMENT", "PAYEE_NOT_PAYER"};
	(void)state;
	make_refund();
	refused();
	for (unsigned i = 0; i < UNIT_COUNT(reasons); i++) {
		fin.reason = reasons[i];
		assert_int_equal(orders_submit(&desk, FINANCE_REFUND, REFUND),
			i ? ERR_OK : ERR_ORDER_CONFLICT);
		assert_int_equal(orders_check(&desk, FINANCE_REFUND, REFUND), ERR_ORDER_CONFLICT);
		nothing_moved();
	}
	assert_int_equal(state_of("refund"), STATES_REFUND_REFUSED);
	assert_int_equal(state_of("packet"), STATES_PACKET_REFUNDING);
	assert_int_equal(cell_db_number(db, "SELECT stuck FROM refund"), 1);
}

static void a_returned_transfer_whose_refund_is_refused_ends_in_the_senders_wallet(void **state)
{
	(void)state;
	make_transfer();
	refused();
	to_sender("sender");
	assert_int_equal(orders_submit(&desk, FINANCE_TRANSFER, CLAIM), ERR_OK);
	uint64_t refund_no = only_refund(REFUND_REFUSED_TRANSFER, 30);
	assert_int_equal(orders_submit(&desk, FINANCE_REFUND, refund_no), ERR_OK);
	assert_int_equal(state_of("transfer"), STATES_TRANSFER_RETURNED);
	assert_int_equal(
		cell_db_number(db, "SELECT balance FROM account WHERE kind = 1 AND owner = 5001"),
		30);
}

static void closed(void)
{
	cell_db_run(db,
		"UPDATE payment SET state = 4; UPDATE packet SET state = 5, remaining = 100, "
		"remaining_count = 3; DELETE FROM claim");
}

static void a_payment_that_came_in_although_closed_is_refunded_once(void **state)
{
	(void)state;
	closed();
	fin.query = FINANCE_DONE;
	fin.amount_fen = 100;
	store_and_handle("late", FINANCE_PAYMENT, PAYMENT, FINANCE_DONE, 100, ERR_OK);
	assert_int_equal(state_of("payment"), STATES_PAYMENT_REFUNDING);
	assert_int_equal(state_of("packet"), STATES_PACKET_CLOSED);
	uint64_t refund_no = only_refund(REFUND_LATE_PAYMENT, 100);
	assert_int_equal(numbers_slot(refund_no), numbers_slot(PACKET));
	/* Every word again, in any order: closed and paid were both true. */
	store_and_handle("l2", FINANCE_PAYMENT, PAYMENT, FINANCE_DONE, 100, ERR_OK);
	store_and_handle("cl", FINANCE_PAYMENT, PAYMENT, FINANCE_CLOSED, 100, ERR_OK);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(orders_check(&desk, FINANCE_PAYMENT, PAYMENT), ERR_OK);
	assert_int_equal(only_refund(REFUND_LATE_PAYMENT, 100), refund_no);
	assert_int_equal(cell_db_number(db, "SELECT stuck FROM payment"), 0);
	fin.submit = FINANCE_DONE;
	assert_int_equal(orders_submit(&desk, FINANCE_REFUND, refund_no), ERR_OK);
	assert_int_equal(state_of("payment"), STATES_PAYMENT_REFUNDED);
	store_and_handle("l3", FINANCE_PAYMENT, PAYMENT, FINANCE_DONE, 100, ERR_OK);
	assert_int_equal(state_of("packet"), STATES_PACKET_CLOSED);
}

static void a_late_payment_of_another_amount_or_that_finance_denies_moves_nothing(void **state)
{
	(void)state;
	closed();
	store_and_handle("more", FINANCE_PAYMENT, PAYMENT, FINANCE_DONE, 101, ERR_ORDER_CONFLICT);
	assert_int_equal(state_of("payment"), STATES_PAYMENT_CLOSED);
	fin.query = FINANCE_CLOSED;
	store_and_handle("late", FINANCE_PAYMENT, PAYMENT, FINANCE_DONE, 100, ERR_OK);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(orders_check(&desk, FINANCE_PAYMENT, PAYMENT), ERR_OK);
	nothing_moved();
	assert_int_equal(cell_db_number(db, "SELECT stuck FROM payment WHERE state = 5"), 1);
	assert_int_equal(fin.closes, 0);
}

static int64_t checks(unsigned delay, unsigned nth)
{
	return cell_db_number(db,
		"SELECT COUNT(*) FROM outbox WHERE kind = 8 AND payload = "
		"'[{\"no\":%d,\"k\":1,\"d\":%u,\"n\":%u}]'",
		PAYMENT, delay, nth);
}

static err_t push_tx(db_t *d, void *ctx)
{
	return orders_push(d, FINANCE_PAYMENT, PAYMENT, clk_wall_ms(), ctx);
}

static void a_closed_payment_is_asked_about_some_times_and_when_it_is_pushed(void **state)
{
	bool pushed = false;
	(void)state;
	closed();
	cell_db_run(db, "UPDATE payment SET state = 1; UPDATE packet SET state = 1");
	fin.close = FINANCE_CLOSED;
	assert_int_equal(orders_check(&desk, FINANCE_PAYMENT, PAYMENT), ERR_OK);
	assert_int_equal(state_of("payment"), STATES_PAYMENT_CLOSED);
	assert_int_equal(checks(2, 1), 1);
	fin.query = FINANCE_CLOSED;
	for (unsigned nth = 1; nth <= 3; nth++)
		for (unsigned copy = 0; copy < 2; copy++) {
			assert_int_equal(
				orders_check_nth(&desk, FINANCE_PAYMENT, PAYMENT, nth), ERR_OK);
			assert_int_equal(fin.queries, nth);
			assert_int_equal(checks(nth + 2, nth + 1), nth < 3);
		}
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM outbox WHERE kind = 8"), 3);
	assert_int_equal(
		cell_db_number(db, "SELECT stuck FROM payment WHERE state = 4 AND tries = 3"), 0);
	assert_int_equal(fin.closes, 1);
	nothing_moved();
	/* Now it has come in, and nobody called back. */
	fin.query = FINANCE_DONE;
	fin.amount_fen = 100;
	assert_int_equal(transact(push_tx, &pushed), ERR_OK);
	assert_true(pushed);
	assert_int_equal(checks(1, 1), 1);
	assert_int_equal(orders_check_nth(&desk, FINANCE_PAYMENT, PAYMENT, 1), ERR_OK);
	assert_int_equal(state_of("payment"), STATES_PAYMENT_REFUNDING);
	assert_int_equal(state_of("packet"), STATES_PACKET_CLOSED);
	only_refund(REFUND_LATE_PAYMENT, 100);
}

static void a_closed_payment_of_which_finance_says_nothing_is_not_stuck(void **state)
{
	(void)state;
	closed();
	fin.err = ERR_FINANCE_UNAVAILABLE;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			orders_check(&desk, FINANCE_PAYMENT, PAYMENT), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(
		cell_db_number(db, "SELECT stuck FROM payment WHERE state = 4 AND tries = 4"), 0);
	assert_int_equal(fin.closes, 0);
	nothing_moved();
}

static err_t make_30(db_t *d, void *ctx)
{
	refund_order r = {.reason = REFUND_REFUSED_TRANSFER,
		.refund_no = REFUND + 100000,
		.packet_id = PACKET,
		.claim_no = *(uint64_t *)ctx,
		.payment_no = PAYMENT,
		.payee = 5001,
		.amount_fen = 30,
		.now_ms = 1,
		.next_check_at_ms = 2};
	return refund_make(d, &r);
}

static void refunds_of_a_packet_never_exceed_its_payment(void **state)
{
	uint64_t claim = CLAIM, other = CLAIM + 100000;
	(void)state;
	make_refund();
	cell_db_run(db, "UPDATE refund SET amount = 71");
	assert_int_equal(transact(make_30, &claim), ERR_ORDER_CONFLICT);
	cell_db_run(db, "UPDATE refund SET amount = 70");
	assert_int_equal(transact(make_30, &claim), ERR_OK);
	assert_int_equal(transact(make_30, &claim), ERR_OK); /* there already */
	assert_int_equal(transact(make_30, &other), ERR_ORDER_CONFLICT);
	assert_int_equal(cell_db_number(db, "SELECT SUM(amount) FROM refund"), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_refused_transfer_goes_to_the_claimers_wallet_once),
		CASE(what_is_not_a_final_refusal_moves_nothing),
		CASE(a_refusal_called_back_that_finance_does_not_stand_by_moves_nothing),
		CASE(a_refused_withdrawal_goes_back_once_and_only_when_finance_stands_by_it),
		CASE(a_withdrawal_refused_in_the_answer_is_back_at_once),
		CASE(a_refund_called_back_as_refused_that_finance_made_moves_nothing),
		CASE(the_sweep_finds_what_a_crash_left_refused),
		CASE(configured_so_a_refused_transfer_goes_back_to_the_sender),
		CASE(a_wallet_that_was_chosen_stays_chosen),
		CASE(a_refused_refund_goes_to_the_payers_wallet_and_the_packet_closes),
		CASE(a_refund_of_a_payment_that_finance_denies_moves_nothing),
		CASE(a_returned_transfer_whose_refund_is_refused_ends_in_the_senders_wallet),
		CASE(a_payment_that_came_in_although_closed_is_refunded_once),
		CASE(a_late_payment_of_another_amount_or_that_finance_denies_moves_nothing),
		CASE(a_closed_payment_is_asked_about_some_times_and_when_it_is_pushed),
		CASE(a_closed_payment_of_which_finance_says_nothing_is_not_stuck),
		CASE(refunds_of_a_packet_never_exceed_its_payment),
	};
	return cmocka_run_group_tests(tests, orders_set_up, orders_tear_down);
}
