/* Withdrawals against a real database: the money leaves the wallet once, and comes back once or never. */
#include "base/clk.h"
#include "domain/ledger.h"
#include "domain/orders.h"
#include "domain/states.h"
#include "domain/withdrawal.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/server_tests.h"
#include "tests/unit/unit.h"
#include <stdio.h>

enum { UID = 5001, OTHER = 6001 };

static db_pool_t *pool, *cut_pool; /* the second through the proxy */
static numbers_t *numbers;
static proxy_t *proxy;
static db_t *db; /* for looking */
static withdrawal_desk desk;

static int set_up(void **state)
{
	db_target t;
	server_address a;
	(void)state;
	cell_db_make("hb_test_withdrawal", &t);
	t.lock_wait_s = 1;
	assert_int_equal(db_pool_new(&t, 3, 2000, &pool), ERR_OK);
	assert_int_equal(numbers_new(pool, 1, 1000, &numbers), ERR_OK);
	assert_int_equal(db_open(&t, &db), ERR_OK);
	server_from_env("HB_TEST_MYSQL", true, &a);
	proxy = proxy_start(&a);
	snprintf(t.host, sizeof t.host, "127.0.0.1");
	t.port = proxy_port(proxy);
	t.io_ms = 3000;
	assert_int_equal(db_pool_new(&t, 2, 5000, &cut_pool), ERR_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	db_pool_free(&cut_pool);
	proxy_stop(&proxy);
	cell_db_run(db, "DROP DATABASE hb_test_withdrawal");
	db_close(&db);
	numbers_free(&numbers);
	db_pool_free(&pool);
	return 0;
}

/* The user has 1000 fen. */
static int fresh(void **state)
{
	(void)state;
	cell_db_run(db, "DELETE FROM withdrawal; DELETE FROM idempotency; DELETE FROM outbox; "
			"DELETE FROM ledger; DELETE FROM account");
	cell_db_run(db,
		"INSERT INTO ledger VALUES (10, 1, 0, 8, 2, -1000, 1), (10, 1, 1, 1, %d, 1000, 1); "
		"INSERT INTO account VALUES (1, %d, 1000)",
		UID, UID);
	desk = (withdrawal_desk){
		.db = pool, .numbers = numbers, .tx_tries = 6, .key_wait_ms = 1000};
	return 0;
}

static withdrawal_order order(const char *key, int64_t fen)
{
	return (withdrawal_order){
		.uid = UID, .amount_fen = fen, .key = key, .now_ms = 5000, .check_ms = 1000};
}

static withdrawal_row make(const char *key, int64_t fen)
{
	const withdrawal_order o = order(key, fen);
	withdrawal_row row;
	bool replayed;
	assert_int_equal(withdrawal_make(&desk, &o, &row, &replayed), ERR_OK);
	assert_false(replayed);
	return row;
}

static int64_t balance(void)
{
	int64_t fen;
	assert_int_equal(ledger_balance(db, LEDGER_WALLET, UID, &fen), ERR_OK);
	return fen;
}

static void the_books_agree(void)
{
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM (SELECT 1 FROM ledger GROUP BY kind, "
				   "source_no HAVING SUM(amount) <> 0 OR COUNT(*) <> 2) x"),
		0);
	assert_int_equal(
		cell_db_number(
			db, "SELECT SUM(amount) FROM ledger WHERE account = 1 AND owner = %d", UID),
		balance());
}

static void a_withdrawal_is_a_booking_an_order_and_an_event(void **state)
{
	(void)state;
	const withdrawal_row w = make("key-one", 300);
	assert_int_equal(w.order_no % 1000, UID % 1000);
	assert_int_equal(balance(), 700);
	assert_int_equal(cell_db_number(db,
				 "SELECT COUNT(*) FROM withdrawal WHERE order_no = %llu AND uid = "
				 "%d AND amount = 300 AND state = 1 AND next_check_at = 6000",
				 (unsigned long long)w.order_no, UID),
		1);
	assert_int_equal(cell_db_number(db,
				 "SELECT COUNT(*) FROM outbox WHERE kind = 7 AND payload = "
				 "'[{\"no\":%llu}]'",
				 (unsigned long long)w.order_no),
		1);
	assert_int_equal(
		cell_db_number(db, "SELECT SUM(amount) FROM ledger WHERE account = 9"), 300);
	the_books_agree();
}

static void a_key_withdraws_once_and_tells_of_it_as_it_was(void **state)
{
	withdrawal_order o = order("key-once", 300);
	withdrawal_row again;
	bool replayed;
	(void)state;
	const withdrawal_row first = make("key-once", 300);
	cell_db_run(db, "UPDATE withdrawal SET state = 2, changed_at = 9000");
	o.now_ms = 8000;
	assert_int_equal(withdrawal_make(&desk, &o, &again, &replayed), ERR_OK);
	assert_true(replayed);
	assert_memory_equal(&first, &again, sizeof first);
	o.body_hash[0] = 1;
	assert_int_equal(withdrawal_make(&desk, &o, &again, &replayed), ERR_IDEMPOTENCY_KEY_REUSED);
	assert_int_equal(balance(), 700);
	/* The same key of a send is another key. */
	cell_db_run(db, "INSERT INTO idempotency VALUES (%d, 1, 'key-send', '', 1, 1)", UID);
	make("key-send", 100);
}

static void a_key_that_another_request_holds_is_busy(void **state)
{
	const withdrawal_order o = order("key-busy", 300);
	withdrawal_row row;
	bool replayed;
	(void)state;
	cell_db_run(db, "BEGIN; INSERT INTO idempotency VALUES (%d, 2, 'key-busy', '', 1, 1)", UID);
	assert_int_equal(withdrawal_make(&desk, &o, &row, &replayed), ERR_IDEMPOTENCY_KEY_BUSY);
	desk.tx_tries = 1;
	desk.key_wait_ms = 30000;
	assert_int_equal(withdrawal_make(&desk, &o, &row, &replayed), ERR_IDEMPOTENCY_KEY_BUSY);
	cell_db_run(db, "ROLLBACK");
	assert_int_equal(balance(), 1000);
}

static void more_than_the_balance_leaves_no_trace(void **state)
{
	const withdrawal_order o = order("key-low", 1001);
	withdrawal_row row;
	bool replayed;
	(void)state;
	assert_int_equal(withdrawal_make(&desk, &o, &row, &replayed), ERR_BALANCE_TOO_LOW);
	assert_int_equal(
		cell_db_number(db, "SELECT (SELECT COUNT(*) FROM idempotency) + (SELECT COUNT(*) "
				   "FROM withdrawal) + (SELECT COUNT(*) FROM outbox)"),
		0);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM ledger"), 2);
	assert_int_equal(balance(), 1000);
	make("key-low", 1000);
	assert_int_equal(balance(), 0);
}

typedef struct {
	uint64_t no;
	finance_answer a;
} saying;

static err_t apply_tx(db_t *d, void *ctx)
{
	const saying *s = ctx;
	return withdrawal_apply(d, s->no, &s->a, 7000);
}

static err_t settle_tx(db_t *d, void *ctx)
{
	const saying *s = ctx;
	bool handed = false;
	return withdrawal_settle(
		d, &(orders_settling){.order_no = s->no, .a = &s->a, .now_ms = 8000}, &handed);
}

/* What orders_check does with finance's answer to its question. */
static void settle(uint64_t no)
{
	saying s = {no, {.outcome = FINANCE_REFUSED}};
	assert_int_equal(db_transact(pool, 6, settle_tx, &s), ERR_OK);
}

static err_t say(uint64_t no, finance_outcome outcome, int64_t fen)
{
	saying s = {no, {.outcome = outcome, .amount_fen = fen}};
	return db_transact(pool, 6, apply_tx, &s);
}

static void finances_word_takes_effect_once(void **state)
{
	withdrawal_row row;
	(void)state;
	const uint64_t paid = make("key-paid", 300).order_no, back = make("key-back", 200).order_no;
	assert_int_equal(say(paid, FINANCE_PENDING, 300), ERR_OK);
	assert_int_equal(say(paid, FINANCE_NOT_KNOWN, 0), ERR_OK);
	assert_int_equal(say(paid, FINANCE_DONE, 301), ERR_ORDER_CONFLICT);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM withdrawal WHERE state = 1"), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(say(paid, FINANCE_DONE, 300), ERR_OK);
		assert_int_equal(say(back, FINANCE_REFUSED, 200), ERR_OK);
		assert_int_equal(balance(), 500); /* not on that word alone */
	}
	for (unsigned i = 0; i < 2; i++) {
		settle(back);
		settle(paid); /* not refused: nothing */
		assert_int_equal(say(back, FINANCE_REFUSED, 200), ERR_OK);
		assert_int_equal(balance(), 700);
	}
	assert_int_equal(say(paid, FINANCE_REFUSED, 300), ERR_ORDER_CONFLICT);
	assert_int_equal(say(back, FINANCE_DONE, 200), ERR_ORDER_CONFLICT);
	assert_int_equal(say(paid + 100000000, FINANCE_DONE, 300), ERR_NOT_FOUND);
	assert_int_equal(cell_db_number(db, "SELECT SUM(amount) FROM ledger WHERE account = 9"), 0);
	assert_int_equal(
		cell_db_number(db, "SELECT SUM(amount) FROM ledger WHERE account = 10"), 300);
	assert_int_equal(withdrawal_load(db, back, &row), ERR_OK);
	assert_int_equal(row.state, STATES_WITHDRAWAL_REFUSED);
	assert_int_equal(row.changed_at_ms, 8000);
	the_books_agree();
}

/* Whoever asks asks again with the same key while nothing is known. */
static void a_withdrawal_whose_connection_is_cut_anywhere_is_made_once(void **state)
{
	static const proxy_loss losses[] = {
		PROXY_LOSE_REQUEST, PROXY_LOSE_CLIENT, PROXY_LOSE_ANSWER};
	unsigned made = 0, cuts = 0;
	(void)state;
	desk.db = cut_pool;
	for (unsigned l = 0; l < UNIT_COUNT(losses); l++)
		for (unsigned k = 1; k <= 14; k++) {
			char key[32];
			withdrawal_row row;
			bool replayed;
			err_t err;
			snprintf(key, sizeof key, "key-cut-%u-%u", l, k);
			const withdrawal_order o = order(key, 10);
			int64_t end_ms = clk_mono_ms() + unit_patience_ms(20000);
			proxy_cut_at(proxy, k, 1, losses[l]);
			do
				err = withdrawal_make(&desk, &o, &row, &replayed);
			while ((err == ERR_CELL_UNAVAILABLE || err == ERR_OUTCOME_UNKNOWN) &&
				clk_mono_ms() < end_ms);
			assert_int_equal(err, ERR_OK);
			cuts += proxy_cuts(proxy);
			proxy_cut_at(proxy, 0, 0, losses[l]);
			assert_int_equal(balance(), 1000 - 10 * (int64_t)++made);
		}
	assert_true(cuts >= 21); /* seven messages at the least, three losses */
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM withdrawal"), made);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM outbox"), made);
	the_books_agree();
}

static void the_list_and_the_entries_are_whole_whatever_the_page(void **state)
{
	ledger_entry all[20], page[20];
	withdrawal_row rows[20];
	unsigned count, shown = 0, n;
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		char key[32];
		snprintf(key, sizeof key, "key-list-%u", i);
		const uint64_t no = make(key, 50).order_no;
		if (i % 2)
			assert_int_equal(say(no, FINANCE_REFUSED, 50), ERR_OK);
		settle(no);
	}
	/* Everything at one time: kind and number alone decide. */
	cell_db_run(db, "UPDATE ledger SET at_ms = 5000; UPDATE withdrawal SET created_at = 5000");
	assert_int_equal(
		ledger_page(db, LEDGER_WALLET, UID, NULL, UNIT_COUNT(all), all, &count), ERR_OK);
	assert_int_equal(count, 10);
	for (unsigned limit = 1; limit <= 4; limit++) {
		ledger_place from;
		for (shown = 0; shown < count; shown += n) {
			assert_int_equal(ledger_page(db, LEDGER_WALLET, UID, shown ? &from : NULL,
						 limit, page, &n),
				ERR_OK);
			assert_in_range(n, 1, limit);
			for (unsigned i = 0; i < n; i++)
				assert_true(page[i].kind == all[shown + i].kind &&
					    page[i].source_no == all[shown + i].source_no);
			from = ledger_place_of(&page[n - 1]);
		}
	}
	assert_int_equal(
		ledger_page(db, LEDGER_WALLET, OTHER, NULL, UNIT_COUNT(all), all, &n), ERR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(withdrawal_list(db, UID, INT64_MAX, INT64_MAX, 4, rows, &count), ERR_OK);
	assert_int_equal(count, 4);
	assert_int_equal(withdrawal_list(db, UID, rows[3].created_at_ms, rows[3].order_no, 4,
				 rows + 4, &count),
		ERR_OK);
	assert_int_equal(count, 2);
	for (unsigned i = 1; i < 6; i++)
		assert_true(rows[i].order_no < rows[i - 1].order_no);
	assert_int_equal(withdrawal_list(db, OTHER, INT64_MAX, INT64_MAX, 4, rows, &count), ERR_OK);
	assert_int_equal(count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_withdrawal_is_a_booking_an_order_and_an_event, fresh),
		cmocka_unit_test_setup(a_key_withdraws_once_and_tells_of_it_as_it_was, fresh),
		cmocka_unit_test_setup(a_key_that_another_request_holds_is_busy, fresh),
		cmocka_unit_test_setup(more_than_the_balance_leaves_no_trace, fresh),
		cmocka_unit_test_setup(finances_word_takes_effect_once, fresh),
		cmocka_unit_test_setup(
			a_withdrawal_whose_connection_is_cut_anywhere_is_made_once, fresh),
		cmocka_unit_test_setup(the_list_and_the_entries_are_whole_whatever_the_page, fresh),
	};
	return cmocka_run_group_tests_name("withdrawal", tests, set_up, tear_down);
}
