/* Alerts and pushes against a real database. */
#include "base/clk.h"
#include "domain/alert.h"
#include "domain/outbox.h"
#include "domain/states.h"
#include "tests/unit/orders_fixture.h"
#include <string.h>

static void an_order_that_gets_stuck_is_told_once(void **state)
{
	(void)state;
	make_transfer();
	fin.err = ERR_FINANCE_UNAVAILABLE;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(
			orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM alert WHERE kind = 1 AND subject = "
				   "'transfer 100301001 pending' AND sent_at IS NULL"),
		1);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM alert"), 1);
}

static err_t push_tx(db_t *d, void *ctx)
{
	return orders_push(d, FINANCE_TRANSFER, CLAIM, 77, ctx);
}

static void a_push_makes_an_order_due_and_tells_again_if_it_does_not_help(void **state)
{
	(void)state;
	bool pushed;
	an_order_that_gets_stuck_is_told_once(state);
	cell_db_run(db, "UPDATE alert SET sent_at = 5");
	assert_int_equal(transact(push_tx, &pushed), ERR_OK);
	assert_true(pushed);
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM transfer WHERE stuck = 0 AND tries "
				   "= 0 AND next_check_at = 77 AND state = 1"),
		1);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM alert"), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(
			orders_check(&desk, FINANCE_TRANSFER, CLAIM), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM alert WHERE sent_at IS NULL"), 1);
	cell_db_run(db, "UPDATE transfer SET state = 2");
	assert_int_equal(transact(push_tx, &pushed), ERR_OK);
	assert_false(pushed);
	cell_db_run(db, "DELETE FROM transfer");
	assert_int_equal(transact(push_tx, &pushed), ERR_NOT_FOUND);
}

static alert_row rows[8];
static size_t count;

static err_t add_3(db_t *d, void *ctx)
{
	err_t err = ERR_OK;
	(void)ctx;
	for (unsigned i = 1; i <= 3 && err == ERR_OK; i++)
		err = alert_parked(d, i, "A.callback", "ORDER_CONFLICT", 10 + i);
	return err;
}

static err_t take_2(db_t *d, void *ctx)
{
	return alert_take(d, *(int64_t *)ctx, 1000, 2, rows, &count);
}

static err_t mark(db_t *d, void *ctx)
{
	(void)ctx;
	return alert_sent(d, rows, count, 500);
}

static void alerts_are_taken_once_and_again_when_whoever_took_them_died(void **state)
{
	(void)state;
	int64_t now = 100, later = 1000, last;
	uint64_t waiting;
	assert_int_equal(transact(add_3, NULL), ERR_OK);
	assert_int_equal(transact(add_3, NULL), ERR_OK); /* of the same things */
	assert_int_equal(alert_waiting(db, now, &waiting, &last), ERR_OK);
	assert_int_equal(waiting, 3);
	assert_int_equal(last, 0);
	assert_int_equal(transact(take_2, &now), ERR_OK);
	assert_int_equal(count, 2);
	assert_string_equal(rows[0].text,
		"message 1 of A.callback is parked (ORDER_CONFLICT): hbctl orders parked");
	assert_int_equal(transact(take_2, &now), ERR_OK); /* another worker */
	assert_int_equal(count, 1);
	assert_int_equal(transact(mark, NULL), ERR_OK);
	assert_int_equal(alert_waiting(db, later, &waiting, &last), ERR_OK);
	assert_int_equal(waiting, 2);
	assert_int_equal(last, 500);
	assert_int_equal(transact(take_2, &later), ERR_OK); /* the lease has run out */
	assert_int_equal(count, 2);
	assert_int_equal(transact(mark, NULL), ERR_OK);
	assert_int_equal(transact(add_3, NULL), ERR_OK);
	assert_int_equal(alert_waiting(db, later, &waiting, &last), ERR_OK);
	assert_int_equal(waiting, 0);
}

static err_t park_row(db_t *d, void *ctx)
{
	return outbox_park(d, *(uint64_t *)ctx, "WHY", 9);
}

static void what_the_relay_parks_is_told_and_can_be_put_back(void **state)
{
	(void)state;
	cell_db_run(db,
		"INSERT INTO outbox (kind, business_no, created_at, payload) VALUES (2, 1, 1, "
		"'[{\"no\":1}]')");
	uint64_t id = (uint64_t)cell_db_number(db, "SELECT id FROM outbox");
	assert_int_equal(transact(park_row, &id), ERR_OK);
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM parked p JOIN alert a ON a.kind = 2 "
				   "AND a.subject = p.id WHERE p.kind = 2"),
		1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_order_that_gets_stuck_is_told_once),
		CASE(a_push_makes_an_order_due_and_tells_again_if_it_does_not_help),
		CASE(alerts_are_taken_once_and_again_when_whoever_took_them_died),
		CASE(what_the_relay_parks_is_told_and_can_be_put_back),
	};
	return cmocka_run_group_tests(tests, orders_set_up, orders_tear_down);
}
