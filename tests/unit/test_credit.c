/* Credits and what else b2c moves in the books, against a real database. Both ends of a credit run in
 * one database here: each looks only at its own tables. */
#include "domain/credit.h"
#include "domain/ledger.h"
#include "domain/orders.h"
#include "domain/refund.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/unit.h"

enum { PACKET = 100101001, CLAIM = 100301001, CLAIMER = 6502, CAMPAIGN = 7 };
enum { CELL_A = 1, CELL_B = 2, NOW_MS = 1000, DUE_MS = 2000 };

static conf_t *conf;
static db_pool_t *pool;
static db_t *db; /* for looking */

static int set_up(void **state)
{
	char why[256];
	db_target t;
	(void)state;
	cell_db_make("hb_test_credit", &t);
	assert_int_equal(conf_load(NULL, why, &conf), ERR_OK);
	assert_int_equal(conf_set(conf, "order.stuck_tries", "3", why), ERR_OK);
	assert_int_equal(db_pool_new(&t, 4, 2000, &pool), ERR_OK);
	assert_int_equal(db_open(&t, &db), ERR_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cell_db_run(db, "DROP DATABASE hb_test_credit");
	db_close(&db);
	db_pool_free(&pool);
	conf_free(&conf);
	return 0;
}

/* An open b2c packet of 100 fen, 70 left, expired at 5000, with one claim of 30. */
static int fresh(void **state)
{
	(void)state;
	cell_db_run(db, "DELETE FROM packet; DELETE FROM claim; DELETE FROM transfer; "
			"DELETE FROM refund; DELETE FROM outbox; DELETE FROM ledger; "
			"DELETE FROM account; DELETE FROM alert");
	cell_db_run(db,
		"INSERT INTO packet (packet_id, sender, kind, split, scope, state, count, "
		"remaining_count, total, remaining, created_at, expires_at, seed_id, seed, nonce, "
		"commitment, greeting, campaign) VALUES (%d, 5001, 2, 1, 1, 2, 3, 2, 100, 70, 1, "
		"5000, 1, '', '', REPEAT('x', 32), '', %d)",
		PACKET, CAMPAIGN);
	cell_db_run(db, "INSERT INTO claim VALUES (%d, %d, 0, %d, 30, 7)", PACKET, CLAIMER, CLAIM);
	return 0;
}

static int64_t legs(ledger_account account, uint64_t owner)
{
	return cell_db_number(db,
		"SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE account = %u AND owner = %llu",
		(unsigned)account, (unsigned long long)owner);
}

static int64_t count(const char *table)
{
	return cell_db_number(db, "SELECT COUNT(*) FROM %s", table);
}

static unsigned state_now(void)
{
	transfer_kind kind;
	unsigned at;
	assert_int_equal(transfer_state(db, CLAIM, &kind, &at), ERR_OK);
	return at;
}

static err_t begin_tx(db_t *d, void *ctx)
{
	return credit_begin(d, ctx, CELL_B, NOW_MS, DUE_MS);
}

static transfer_claim the_claim(void)
{
	return (transfer_claim){.claim_no = CLAIM,
		.packet_id = PACKET,
		.uid = CLAIMER,
		.amount_fen = 30,
		.kind = TRANSFER_CREDIT};
}

static void begin(void)
{
	transfer_claim c = the_claim();
	assert_int_equal(db_transact(pool, 6, begin_tx, &c), ERR_OK);
}

typedef struct {
	uint64_t uid;
	int64_t fen;
	bool credited;
} taking;

static err_t take_tx(db_t *d, void *ctx)
{
	taking *t = ctx;
	return credit_take(d, CLAIM, t->uid, t->fen, CELL_A, NOW_MS, &t->credited);
}

static err_t done_tx(db_t *d, void *ctx)
{
	(void)ctx;
	return credit_done(d, CLAIM, NOW_MS);
}

typedef struct {
	int64_t now_ms;
	unsigned limit, count;
} again;

static err_t again_tx(db_t *d, void *ctx)
{
	again *a = ctx;
	return credit_again(d, conf, a->limit, a->now_ms, &a->count);
}

static unsigned ask_again(int64_t now_ms)
{
	again a = {.now_ms = now_ms, .limit = 10};
	assert_int_equal(db_transact(pool, 6, again_tx, &a), ERR_OK);
	return a.count;
}

static void a_claim_becomes_one_credit_with_its_booking_and_its_event(void **state)
{
	(void)state;
	begin();
	begin(); /* the message came twice */
	assert_int_equal(cell_db_number(db,
				 "SELECT COUNT(*) FROM transfer WHERE kind = 2 AND state = 1 AND "
				 "amount = 30 AND payee = %d AND next_check_at = %d",
				 CLAIMER, DUE_MS),
		1);
	assert_int_equal(legs(LEDGER_PACKET, CAMPAIGN), -30);
	assert_int_equal(legs(LEDGER_DUE_TO, CELL_B), 30);
	assert_int_equal(count("outbox"), 1);
	assert_int_equal(cell_db_number(db,
				 "SELECT COUNT(*) FROM outbox WHERE kind = 5 AND payload = "
				 "'[{\"no\":%d,\"u\":%d,\"a\":30}]'",
				 CLAIM, CLAIMER),
		1);
}

static void no_credit_without_its_claim_in_a_b2c_packet(void **state)
{
	transfer_claim c[3] = {the_claim(), the_claim(), the_claim()};
	(void)state;
	c[0].amount_fen = 31;
	c[1].uid = 6503;
	for (unsigned i = 0; i < 3; i++) {
		if (i == 2)
			cell_db_run(db, "UPDATE packet SET kind = 1");
		assert_int_equal(db_transact(pool, 6, begin_tx, &c[i]), ERR_ORDER_CONFLICT);
	}
	assert_int_equal(count("transfer") + count("ledger") + count("outbox"), 0);
}

static void a_credit_is_taken_once_and_answered_every_time(void **state)
{
	taking t = {.uid = CLAIMER, .fen = 30}, other = {.uid = CLAIMER, .fen = 31};
	int64_t fen;
	(void)state;
	assert_int_equal(db_transact(pool, 6, take_tx, &t), ERR_OK);
	assert_true(t.credited);
	assert_int_equal(db_transact(pool, 6, take_tx, &t), ERR_OK);
	assert_false(t.credited);
	assert_int_equal(db_transact(pool, 6, take_tx, &other), ERR_ORDER_CONFLICT);
	assert_int_equal(ledger_balance(db, LEDGER_WALLET, CLAIMER, &fen), ERR_OK);
	assert_int_equal(fen, 30);
	assert_int_equal(legs(LEDGER_DUE_FROM, CELL_A), -30);
	assert_int_equal(cell_db_number(db,
				 "SELECT COUNT(*) FROM outbox WHERE kind = 6 AND payload = "
				 "'[{\"no\":%d}]'",
				 CLAIM),
		2);
}

static void the_answer_ends_a_credit_and_again_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(db_transact(pool, 6, done_tx, NULL), ERR_NOT_FOUND);
	begin();
	assert_int_equal(db_transact(pool, 6, done_tx, NULL), ERR_OK);
	assert_int_equal(state_now(), STATES_TRANSFER_DONE);
	assert_int_equal(db_transact(pool, 6, done_tx, NULL), ERR_OK);
	assert_int_equal(state_now(), STATES_TRANSFER_DONE);
	assert_int_equal(transfer_end_of(TRANSFER_CREDIT, state_now()), TRANSFER_END_WALLET);
}

static void the_answer_ends_a_refused_transfer_and_no_other(void **state)
{
	(void)state;
	cell_db_run(db,
		"INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, "
		"next_check_at, created_at, changed_at) VALUES (%d, %d, %d, 30, 1, 1, 0, 1, 1)",
		CLAIM, PACKET, CLAIMER);
	assert_int_equal(db_transact(pool, 6, done_tx, NULL), ERR_ORDER_CONFLICT);
	assert_int_equal(state_now(), STATES_TRANSFER_PENDING);
	cell_db_run(db, "UPDATE transfer SET state = 3");
	assert_int_equal(db_transact(pool, 6, done_tx, NULL), ERR_OK);
	assert_int_equal(state_now(), STATES_TRANSFER_WALLET);
	assert_int_equal(db_transact(pool, 6, done_tx, NULL), ERR_OK);
	assert_int_equal(transfer_end_of(TRANSFER_FINANCE, state_now()), TRANSFER_END_WALLET);
	cell_db_run(db, "UPDATE transfer SET state = 2"); /* paid by finance */
	assert_int_equal(db_transact(pool, 6, done_tx, NULL), ERR_ORDER_CONFLICT);
}

static void a_credit_without_answer_is_asked_for_again_until_it_is_stuck_and_after(void **state)
{
	int64_t now_ms = DUE_MS;
	(void)state;
	begin();
	assert_int_equal(ask_again(DUE_MS - 1), 0);
	for (unsigned tries = 1; tries <= 4; tries++, now_ms += 10000000) {
		assert_int_equal(ask_again(now_ms), 1);
		assert_int_equal(ask_again(now_ms), 0); /* not before its next time */
		assert_int_equal(cell_db_number(db, "SELECT tries * 10 + stuck FROM transfer"),
			tries * 10 + (tries >= 3));
		assert_int_equal(count("outbox"), 1 + tries);
	}
	assert_int_equal(cell_db_number(db, "SELECT COUNT(DISTINCT payload) FROM outbox"), 1);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM ledger"), 2);
	assert_int_equal(db_transact(pool, 6, done_tx, NULL), ERR_OK);
	assert_int_equal(ask_again(now_ms), 0);
}

static err_t push_tx(db_t *d, void *ctx)
{
	return orders_push(d, FINANCE_TRANSFER, CLAIM, NOW_MS, ctx);
}

static void a_stuck_credit_can_be_pushed_and_one_that_is_done_not(void **state)
{
	(void)state;
	bool pushed;
	begin();
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(ask_again(DUE_MS + i * 10000000), 1);
	assert_int_equal(count("alert"), 1);
	assert_int_equal(ask_again(NOW_MS), 0);
	assert_int_equal(db_transact(pool, 6, push_tx, &pushed), ERR_OK);
	assert_true(pushed);
	assert_int_equal(count("alert"), 0);
	assert_int_equal(cell_db_number(db, "SELECT tries * 10 + stuck FROM transfer"), 0);
	assert_int_equal(ask_again(NOW_MS), 1);
	assert_int_equal(db_transact(pool, 6, done_tx, NULL), ERR_OK);
	assert_int_equal(db_transact(pool, 6, push_tx, &pushed), ERR_OK);
	assert_false(pushed);
	cell_db_run(db, "DELETE FROM transfer");
	assert_int_equal(db_transact(pool, 6, push_tx, &pushed), ERR_NOT_FOUND);
}

static void many_credits_go_again_in_one_row(void **state)
{
	(void)state;
	for (int i = 0; i < 25; i++)
		cell_db_run(db,
			"INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, "
			"next_check_at, created_at, changed_at) VALUES (9223372036854%03d001, %d, "
			"999999999999999%03d, 9223372036854775807, %d, 1, %d, 1, 1)",
			i, PACKET, i, i < 20 ? 2 : 1, i);
	assert_int_equal(ask_again(DUE_MS), 10);
	assert_int_equal(count("outbox"), 1);
	assert_int_equal(
		cell_db_number(db, "SELECT JSON_LENGTH(payload) FROM outbox WHERE kind = 5"), 10);
	assert_int_equal(ask_again(DUE_MS), 10);
	assert_int_equal(ask_again(DUE_MS), 0); /* what finance transfers is not asked for here */
}

static void finance_has_no_word_in_a_credit(void **state)
{
	orders_desk desk = {.db = pool, .conf = conf};
	orders_row row;
	uint64_t no[10];
	size_t due;
	finance_answer a = {.outcome = FINANCE_DONE, .amount_fen = 30};
	(void)state;
	begin();
	assert_int_equal(orders_load(db, FINANCE_TRANSFER, CLAIM, &row), ERR_NOT_FOUND);
	assert_int_equal(transfer_apply(db, CLAIM, &a, NOW_MS), ERR_NOT_FOUND);
	assert_int_equal(orders_take_due(&desk, FINANCE_TRANSFER, STATES_TRANSFER_PENDING, 10,
				 INT64_MAX, no, &due),
		ERR_OK);
	assert_int_equal(due, 0);
}

static err_t expire_tx(db_t *d, void *ctx)
{
	const refund_expiry x = {.packet_id = PACKET,
		.refund_no = 100401001,
		.now_ms = 5000,
		.next_check_at_ms = 6000};
	return refund_expire_packet(d, &x, ctx);
}

static void an_expired_b2c_packet_returns_its_rest_to_the_campaign_once(void **state)
{
	bool expired;
	int64_t fen;
	(void)state;
	assert_int_equal(db_transact(pool, 6, expire_tx, &expired), ERR_OK);
	assert_true(expired);
	assert_int_equal(cell_db_number(db, "SELECT state FROM packet"), STATES_PACKET_CLOSED);
	assert_int_equal(ledger_balance(db, LEDGER_CAMPAIGN, CAMPAIGN, &fen), ERR_OK);
	assert_int_equal(fen, 70);
	assert_int_equal(legs(LEDGER_PACKET, CAMPAIGN), -70);
	assert_int_equal(count("refund") + count("outbox"), 0);
	assert_int_equal(db_transact(pool, 6, expire_tx, &expired), ERR_OK);
	assert_false(expired);
	assert_int_equal(count("ledger"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			a_claim_becomes_one_credit_with_its_booking_and_its_event, fresh),
		cmocka_unit_test_setup(no_credit_without_its_claim_in_a_b2c_packet, fresh),
		cmocka_unit_test_setup(a_credit_is_taken_once_and_answered_every_time, fresh),
		cmocka_unit_test_setup(the_answer_ends_a_credit_and_again_changes_nothing, fresh),
		cmocka_unit_test_setup(the_answer_ends_a_refused_transfer_and_no_other, fresh),
		cmocka_unit_test_setup(
			a_credit_without_answer_is_asked_for_again_until_it_is_stuck_and_after,
			fresh),
		cmocka_unit_test_setup(
			a_stuck_credit_can_be_pushed_and_one_that_is_done_not, fresh),
		cmocka_unit_test_setup(many_credits_go_again_in_one_row, fresh),
		cmocka_unit_test_setup(finance_has_no_word_in_a_credit, fresh),
		cmocka_unit_test_setup(
			an_expired_b2c_packet_returns_its_rest_to_the_campaign_once, fresh),
	};
	return cmocka_run_group_tests_name("credit", tests, set_up, tear_down);
}
