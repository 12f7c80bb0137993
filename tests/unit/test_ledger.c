/* The books against a real database: once, never below zero, whatever is repeated, raced or lost. */
#include "base/clk.h"
#include "domain/ledger.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/server_tests.h"
#include "tests/unit/unit.h"
#include <pthread.h>
#include <stdio.h>

enum { TRIES = 50, THREADS = 8, CAMPAIGN = 7 };

static db_pool_t *pool, *cut_pool; /* the second through the proxy */
static proxy_t *proxy;
static db_t *db; /* for looking */

static int set_up(void **state)
{
	db_target t;
	server_address a;
	(void)state;
	cell_db_make("hb_test_ledger", &t);
	assert_int_equal(db_pool_new(&t, THREADS, 5000, &pool), ERR_OK);
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
	cell_db_run(db, "DROP DATABASE hb_test_ledger");
	db_close(&db);
	db_pool_free(&pool);
	return 0;
}

static int fresh(void **state)
{
	(void)state;
	cell_db_run(db, "DELETE FROM ledger; DELETE FROM account");
	return 0;
}

typedef struct {
	ledger_booking kind;
	uint64_t no, from, to;
	int64_t fen;
	bool booked;
} booking;

static err_t book_tx(db_t *d, void *ctx)
{
	booking *b = ctx;
	return ledger_book(d, b->kind, b->no, b->from, b->to, b->fen, 1000, &b->booked);
}

static err_t book(
	ledger_booking kind, uint64_t no, uint64_t from, uint64_t to, int64_t fen, bool *booked)
{
	booking b = {kind, no, from, to, fen, false};
	err_t err = db_transact(pool, TRIES, book_tx, &b);
	*booked = b.booked;
	return err;
}

static void fund(uint64_t no, int64_t fen)
{
	bool booked;
	assert_int_equal(book(LEDGER_BY_FUND, no, CAMPAIGN, CAMPAIGN, fen, &booked), ERR_OK);
	assert_true(booked);
}

static int64_t balance(ledger_account kind, uint64_t owner)
{
	int64_t fen;
	assert_int_equal(ledger_balance(db, kind, owner, &fen), ERR_OK);
	return fen;
}

/* Every booking has two legs that sum to zero, and every kept balance is the sum of its legs. */
static void the_books_agree(void)
{
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM (SELECT 1 FROM ledger GROUP BY kind, "
				   "source_no HAVING SUM(amount) <> 0 OR COUNT(*) <> 2) x"),
		0);
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM account a WHERE balance <> (SELECT "
				   "COALESCE(SUM(amount), 0) FROM ledger l WHERE l.account = "
				   "a.kind AND l.owner = a.owner)"),
		0);
}

static void a_booking_moves_money_once(void **state)
{
	bool booked;
	(void)state;
	fund(1, 500);
	assert_int_equal(book(LEDGER_BY_LEASE, 11, CAMPAIGN, CAMPAIGN, 300, &booked), ERR_OK);
	assert_true(booked);
	assert_int_equal(book(LEDGER_BY_LEASE, 11, CAMPAIGN, CAMPAIGN, 300, &booked), ERR_OK);
	assert_false(booked);
	assert_int_equal(balance(LEDGER_CAMPAIGN, CAMPAIGN), 200);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM ledger"), 4);
	assert_int_equal(
		cell_db_number(db, "SELECT amount FROM ledger WHERE kind = 2 AND leg = 0"), -300);
	assert_int_equal(
		cell_db_number(db, "SELECT amount FROM ledger WHERE kind = 2 AND leg = 1"), 300);
	assert_int_equal(ledger_booked(db, LEDGER_BY_LEASE, 11, &booked), ERR_OK);
	assert_true(booked);
	assert_int_equal(ledger_booked(db, LEDGER_BY_SETTLE, 11, &booked), ERR_OK);
	assert_false(booked);
	the_books_agree();
}

static void a_number_booked_otherwise_is_a_conflict_and_changes_nothing(void **state)
{
	bool booked;
	(void)state;
	fund(1, 500);
	assert_int_equal(book(LEDGER_BY_CREDIT_IN, 21, 2, 5001, 30, &booked), ERR_OK);
	assert_int_equal(book(LEDGER_BY_CREDIT_IN, 21, 2, 5001, 31, &booked), ERR_ORDER_CONFLICT);
	assert_int_equal(book(LEDGER_BY_CREDIT_IN, 21, 2, 5002, 30, &booked), ERR_ORDER_CONFLICT);
	assert_int_equal(book(LEDGER_BY_CREDIT_IN, 21, 1, 5001, 30, &booked), ERR_ORDER_CONFLICT);
	assert_false(booked);
	assert_int_equal(balance(LEDGER_WALLET, 5001), 30);
	assert_int_equal(balance(LEDGER_WALLET, 5002), 0);
	/* The same number under another kind of booking is another booking. */
	assert_int_equal(book(LEDGER_BY_WITHDRAW, 21, 5001, 0, 30, &booked), ERR_OK);
	assert_true(booked);
	the_books_agree();
}

static err_t too_low_then_another(db_t *d, void *ctx)
{
	bool booked = true;
	(void)ctx;
	err_t err = ledger_book(d, LEDGER_BY_WITHDRAW, 31, 5001, 0, 101, 1000, &booked);
	assert_int_equal(err, ERR_BALANCE_TOO_LOW);
	err = ledger_book(d, LEDGER_BY_WITHDRAW, 32, 5009, 0, 1, 1000, &booked);
	assert_int_equal(err, ERR_BALANCE_TOO_LOW); /* an account that was never booked on */
	err = ledger_book(d, LEDGER_BY_WITHDRAW, 31, 5001, 0, 100, 1000, &booked);
	assert_true(err != ERR_OK || booked);
	if (err == ERR_OK) /* and again in the same transaction */
		err = ledger_book(d, LEDGER_BY_WITHDRAW, 31, 5001, 0, 100, 1000, &booked);
	assert_true(err != ERR_OK || !booked);
	return err;
}

static void a_balance_too_low_books_nothing_and_leaves_the_transaction_usable(void **state)
{
	bool booked;
	(void)state;
	assert_int_equal(book(LEDGER_BY_CREDIT_IN, 30, 2, 5001, 100, &booked), ERR_OK);
	assert_int_equal(db_transact(pool, TRIES, too_low_then_another, NULL), ERR_OK);
	assert_int_equal(balance(LEDGER_WALLET, 5001), 0);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM ledger WHERE source_no = 31"), 2);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM ledger WHERE source_no = 32"), 0);
	the_books_agree();
}

typedef struct {
	unsigned index, booked, refused;
} racer;

static void race(void *(*run)(void *), racer r[THREADS])
{
	pthread_t id[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		r[i] = (racer){.index = i};
		assert_int_equal(pthread_create(&id[i], NULL, run, &r[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
}

static void *same_numbers(void *ctx)
{
	racer *r = ctx;
	for (uint64_t no = 1; no <= 40; no++) {
		bool booked;
		err_t err = book(LEDGER_BY_LEASE, 100 + no, CAMPAIGN, CAMPAIGN, 10, &booked);
		BUG_ON(err != ERR_OK);
		r->booked += booked;
	}
	return NULL;
}

static void one_number_raced_is_booked_once(void **state)
{
	racer r[THREADS];
	unsigned booked = 0;
	(void)state;
	fund(1, 1000);
	race(same_numbers, r);
	for (unsigned i = 0; i < THREADS; i++)
		booked += r[i].booked;
	assert_int_equal(booked, 40);
	assert_int_equal(balance(LEDGER_CAMPAIGN, CAMPAIGN), 600);
	the_books_agree();
}

static void *takes(void *ctx)
{
	racer *r = ctx;
	for (unsigned i = 0; i < 20; i++) {
		bool booked;
		err_t err =
			book(LEDGER_BY_WITHDRAW, 1000 + r->index * 100 + i, 5001, 0, 10, &booked);
		BUG_ON(err != ERR_OK && err != ERR_BALANCE_TOO_LOW);
		r->booked += err == ERR_OK;
		r->refused += err == ERR_BALANCE_TOO_LOW;
	}
	return NULL;
}

static void takers_of_one_account_get_what_is_there_and_no_more(void **state)
{
	racer r[THREADS];
	unsigned booked = 0, refused = 0;
	bool first;
	(void)state;
	assert_int_equal(book(LEDGER_BY_CREDIT_IN, 40, 2, 5001, 505, &first), ERR_OK);
	race(takes, r);
	for (unsigned i = 0; i < THREADS; i++) {
		booked += r[i].booked;
		refused += r[i].refused;
	}
	assert_int_equal(booked, 50);
	assert_int_equal(refused, THREADS * 20 - 50);
	assert_int_equal(balance(LEDGER_WALLET, 5001), 5);
	the_books_agree();
}

typedef struct {
	uint64_t no, first, second;
} pair;

static err_t pair_tx(db_t *d, void *ctx)
{
	const pair *p = ctx;
	bool booked;
	err_t err = ledger_book(d, LEDGER_BY_CREDIT_IN, p->no, 2, p->first, 1, 1000, &booked);
	if (err == ERR_OK)
		err = ledger_book(
			d, LEDGER_BY_CREDIT_IN, p->no + 1, 2, p->second, 1, 1000, &booked);
	return err;
}

/* Half of them lock the two accounts the other way round. */
static void *crossing(void *ctx)
{
	racer *r = ctx;
	for (unsigned i = 0; i < 25; i++) {
		bool odd = r->index % 2 != 0;
		pair p = {10000 + r->index * 1000 + 2 * i, odd ? 5001 : 5002, odd ? 5002 : 5001};
		BUG_ON(db_transact(pool, TRIES, pair_tx, &p) != ERR_OK);
		r->booked += 2;
	}
	return NULL;
}

static void bookings_that_cross_end_all_the_same(void **state)
{
	racer r[THREADS];
	(void)state;
	race(crossing, r);
	assert_int_equal(balance(LEDGER_WALLET, 5001), THREADS * 25);
	assert_int_equal(balance(LEDGER_WALLET, 5002), THREADS * 25);
	the_books_agree();
}

/* Cut while it connects nothing was begun; the pool then keeps callers off for a moment. */
static err_t book_until_reached(booking *b)
{
	int64_t end_ms = clk_mono_ms() + unit_patience_ms(20000);
	err_t err;
	do
		err = db_transact(cut_pool, TRIES, book_tx, b);
	while (err == ERR_CELL_UNAVAILABLE && clk_mono_ms() < end_ms);
	return err;
}

/* Cut at every message in turn: begin, leg, balances, leg, commit. */
static void a_booking_whose_connection_is_cut_anywhere_is_there_once(void **state)
{
	static const proxy_loss losses[] = {
		PROXY_LOSE_REQUEST, PROXY_LOSE_CLIENT, PROXY_LOSE_ANSWER};
	uint64_t no = 200;
	unsigned cuts = 0;
	(void)state;
	fund(1, 100000);
	for (unsigned l = 0; l < UNIT_COUNT(losses); l++)
		for (unsigned k = 1; k <= 16; k++) {
			booking b = {LEDGER_BY_LEASE, ++no, CAMPAIGN, CAMPAIGN, 10, false};
			proxy_cut_at(proxy, k, 1, losses[l]);
			err_t err = book_until_reached(&b);
			assert_int_equal(err, ERR_OK);
			cuts += proxy_cuts(proxy);
			proxy_cut_at(proxy, 0, 0, losses[l]);
		}
	assert_true(cuts >= 15); /* five messages at the least, three losses */
	assert_int_equal(balance(LEDGER_CAMPAIGN, CAMPAIGN), 100000 - 10 * (int64_t)(no - 200));
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM ledger WHERE kind = 2"),
		2 * (int64_t)(no - 200));
	the_books_agree();
}

static void accounts_and_bookings_have_names(void **state)
{
	(void)state;
	assert_string_equal(ledger_account_name(LEDGER_WALLET), "wallet");
	assert_string_equal(ledger_booking_name(LEDGER_BY_WITHDRAW_BACK), "withdraw_back");
	assert_string_equal(ledger_account_name(0), "?");
	assert_string_equal(ledger_booking_name(200), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_booking_moves_money_once, fresh),
		cmocka_unit_test_setup(
			a_number_booked_otherwise_is_a_conflict_and_changes_nothing, fresh),
		cmocka_unit_test_setup(
			a_balance_too_low_books_nothing_and_leaves_the_transaction_usable, fresh),
		cmocka_unit_test_setup(one_number_raced_is_booked_once, fresh),
		cmocka_unit_test_setup(takers_of_one_account_get_what_is_there_and_no_more, fresh),
		cmocka_unit_test_setup(bookings_that_cross_end_all_the_same, fresh),
		cmocka_unit_test_setup(
			a_booking_whose_connection_is_cut_anywhere_is_there_once, fresh),
		cmocka_unit_test(accounts_and_bookings_have_names),
	};
	return cmocka_run_group_tests_name("ledger", tests, set_up, tear_down);
}
