/* The rules of the simulated institution, on a real SQLite file. */
#include "sim/book.h"

#include "base/clk.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 16, ORDERS_PER_THREAD = 50, WAIT_MS = 3000, OPENING_FEN = 1000 };
#define NOTIFY "http://127.0.0.1:1/v1/callbacks/finance/1"

static char folder[64], path[96];
static faults_t *faults;
static book_t *book;

static void open_book(void)
{
	assert_int_equal(
		book_open(path, "hongbao", OPENING_FEN, faults, NULL, NULL, &book), ERR_OK);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/hb-book-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/finance.db", folder);
	faults = faults_new(1);
	open_book();
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"", "-wal", "-shm", ".lock"};
	char name[128];
	(void)state;
	book_close(&book);
	faults_free(&faults);
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		snprintf(name, sizeof name, "%s%s", path, files[i]);
		unlink(name);
	}
	return rmdir(folder);
}

static void set(const char *text)
{
	char why[128];
	assert_int_equal(faults_set(faults, text, why), ERR_OK);
}

/* One number of the books, read as the tests of others read them. */
static int64_t count_sql(const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *s;
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	int64_t v = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return v;
}

static book_order make(finance_kind kind, uint64_t no, uint64_t uid, int64_t fen)
{
	book_order o = {.kind = kind, .order_no = no, .uid = uid, .amount_fen = fen};
	strcpy(o.notify_url, NOTIFY);
	return o;
}

static finance_outcome submit(finance_kind kind, uint64_t no, uint64_t uid, int64_t fen)
{
	book_order o = make(kind, no, uid, fen);
	assert_int_equal(book_submit(book, &o), ERR_OK);
	return o.outcome;
}

static book_order refund(uint64_t no, uint64_t payment_no, uint64_t uid, int64_t fen)
{
	book_order o = make(FINANCE_REFUND, no, uid, fen);
	o.payment_no = payment_no;
	assert_int_equal(book_submit(book, &o), ERR_OK);
	return o;
}

static void paid(uint64_t no, uint64_t uid, int64_t fen)
{
	book_order o;
	assert_int_equal(submit(FINANCE_PAYMENT, no, uid, fen), FINANCE_PENDING);
	assert_int_equal(book_pay(book, no, &o), ERR_OK);
	assert_int_equal(o.outcome, FINANCE_DONE);
}

static finance_outcome settled(finance_kind kind, uint64_t no)
{
	book_order o;
	int64_t until = clk_mono_ms() + WAIT_MS;
	do {
		assert_int_equal(book_query(book, kind, no, &o), ERR_OK);
		if (o.outcome == FINANCE_PENDING)
			usleep(5000);
	} while (o.outcome == FINANCE_PENDING && clk_mono_ms() < until);
	return o.outcome;
}

#define BALANCE "SELECT opening + paid - transferred - refunded - withdrawn FROM merchants"

static void payment_is_done_once_however_often_it_is_paid(void **state)
{
	book_order o;
	(void)state;
	paid(1001, 7, 500);
	assert_int_equal(book_pay(book, 1001, &o), ERR_OK);
	assert_int_equal(o.outcome, FINANCE_DONE);
	assert_int_equal(submit(FINANCE_PAYMENT, 1001, 7, 500), FINANCE_DONE);
	assert_int_equal(count_sql("SELECT COUNT(*) FROM entries"), 1);
	assert_int_equal(count_sql("SELECT COUNT(*) FROM events"), 1);
	assert_int_equal(count_sql(BALANCE), OPENING_FEN + 500);
}

static void same_number_with_other_values_is_a_conflict(void **state)
{
	book_order other[] = {make(FINANCE_TRANSFER, 1001, 7, 501),
		make(FINANCE_TRANSFER, 1001, 8, 500), make(FINANCE_WITHDRAWAL, 1001, 7, 500)};
	book_order o;
	(void)state;
	assert_int_equal(submit(FINANCE_TRANSFER, 1001, 7, 500), FINANCE_DONE);
	assert_int_equal(submit(FINANCE_TRANSFER, 1001, 7, 500), FINANCE_DONE);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(book_submit(book, &other[i]), ERR_ORDER_CONFLICT);
	assert_int_equal(book_query(book, FINANCE_REFUND, 1001, &o), ERR_ORDER_CONFLICT);
	assert_int_equal(book_query(book, FINANCE_REFUND, 1002, &o), ERR_NOT_FOUND);
	assert_int_equal(count_sql("SELECT SUM(amount) FROM entries"), 500);
}

static void closed_payment_cannot_be_paid_and_paid_one_not_closed(void **state)
{
	book_order o;
	(void)state;
	assert_int_equal(submit(FINANCE_PAYMENT, 1001, 7, 500), FINANCE_PENDING);
	assert_int_equal(book_close_payment(book, 1001, &o), ERR_OK);
	assert_int_equal(o.outcome, FINANCE_CLOSED);
	assert_int_equal(book_pay(book, 1001, &o), ERR_OK);
	assert_int_equal(o.outcome, FINANCE_CLOSED);
	paid(2001, 7, 500);
	assert_int_equal(book_close_payment(book, 2001, &o), ERR_OK);
	assert_int_equal(o.outcome, FINANCE_DONE);
	assert_int_equal(count_sql(BALANCE), OPENING_FEN + 500);
}

static void closed_payment_is_paid_by_fault(void **state)
{
	(void)state;
	book_order o;
	assert_int_equal(submit(FINANCE_PAYMENT, 1001, 7, 500), FINANCE_PENDING);
	assert_int_equal(book_close_payment(book, 1001, &o), ERR_OK);
	assert_int_equal(book_close_payment(book, 2001, &o), ERR_OK); /* never known */
	set("payment.pay_closed=100");
	assert_int_equal(book_pay(book, 2001, &o), ERR_OK);
	assert_int_equal(o.outcome, FINANCE_CLOSED);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(book_pay(book, 1001, &o), ERR_OK);
		assert_int_equal(o.outcome, FINANCE_DONE);
	}
	assert_int_equal(count_sql("SELECT COUNT(*) FROM entries"), 1);
	assert_int_equal(count_sql("SELECT COUNT(*) FROM events WHERE event_id = '1001-done'"), 1);
	assert_int_equal(count_sql(BALANCE), OPENING_FEN + 500);
}

static void number_closed_before_it_was_known_stays_closed(void **state)
{
	book_order o;
	(void)state;
	assert_int_equal(book_close_payment(book, 1001, &o), ERR_OK);
	assert_int_equal(o.outcome, FINANCE_CLOSED);
	assert_int_equal(o.amount_fen, 0);
	assert_int_equal(submit(FINANCE_PAYMENT, 1001, 7, 500), FINANCE_CLOSED);
	assert_int_equal(book_pay(book, 1001, &o), ERR_OK);
	assert_int_equal(o.outcome, FINANCE_CLOSED);
}

static void payment_expires_by_itself(void **state)
{
	book_order o = make(FINANCE_PAYMENT, 1001, 7, 500);
	(void)state;
	o.expires_at_ms = clk_wall_ms() + 30;
	assert_int_equal(book_submit(book, &o), ERR_OK);
	assert_int_equal(settled(FINANCE_PAYMENT, 1001), FINANCE_CLOSED);
	assert_int_equal(book_pay(book, 1001, &o), ERR_OK);
	assert_int_equal(o.outcome, FINANCE_CLOSED);
	assert_string_equal(o.reason, "EXPIRED");
	assert_int_equal(count_sql("SELECT COUNT(*) FROM events WHERE event_id='1001-closed'"), 1);
}

static void transfer_above_the_balance_is_refused(void **state)
{
	book_order o;
	(void)state;
	assert_int_equal(submit(FINANCE_TRANSFER, 1001, 7, OPENING_FEN + 1), FINANCE_REFUSED);
	assert_int_equal(book_query(book, FINANCE_TRANSFER, 1001, &o), ERR_OK);
	assert_string_equal(o.reason, "INSUFFICIENT");
	assert_int_equal(submit(FINANCE_TRANSFER, 1002, 7, OPENING_FEN), FINANCE_DONE);
	assert_int_equal(submit(FINANCE_TRANSFER, 1003, 7, 1), FINANCE_REFUSED);
	assert_int_equal(count_sql(BALANCE), 0);
}

static void pending_transfer_settles_later_and_is_called_back(void **state)
{
	(void)state;
	set("transfer.settle_ms=30");
	assert_int_equal(submit(FINANCE_TRANSFER, 1001, 7, 10), FINANCE_PENDING);
	assert_int_equal(count_sql("SELECT COUNT(*) FROM entries"), 0);
	assert_int_equal(settled(FINANCE_TRANSFER, 1001), FINANCE_DONE);
	assert_int_equal(count_sql("SELECT COUNT(*) FROM events"), 1);
	set("transfer.settle_ms=0");
	assert_int_equal(submit(FINANCE_TRANSFER, 1002, 7, 10), FINANCE_DONE);
	assert_int_equal(count_sql("SELECT COUNT(*) FROM events"), 1);
	set("transfer.callback_always=1");
	assert_int_equal(submit(FINANCE_TRANSFER, 1003, 7, 10), FINANCE_DONE);
	assert_int_equal(count_sql("SELECT COUNT(*) FROM events"), 2);
}

static void refunds_together_never_exceed_the_payment(void **state)
{
	(void)state;
	set("refund.settle_ms=20");
	paid(1001, 7, 500);
	assert_int_equal(refund(2001, 1001, 7, 300).outcome, FINANCE_PENDING);
	assert_string_equal(refund(2002, 1001, 7, 201).reason, "ABOVE_PAYMENT");
	assert_int_equal(refund(2003, 1001, 7, 200).outcome, FINANCE_PENDING);
	assert_string_equal(refund(2004, 1001, 7, 1).reason, "ABOVE_PAYMENT");
	assert_int_equal(settled(FINANCE_REFUND, 2001), FINANCE_DONE);
	assert_int_equal(settled(FINANCE_REFUND, 2003), FINANCE_DONE);
	assert_int_equal(refund(2001, 1001, 7, 300).outcome, FINANCE_DONE);
	assert_int_equal(count_sql(BALANCE), OPENING_FEN);
}

static void refund_needs_a_paid_payment_of_the_payee(void **state)
{
	(void)state;
	assert_string_equal(refund(2001, 1001, 7, 1).reason, "PAYMENT_NOT_PAID");
	assert_int_equal(submit(FINANCE_PAYMENT, 1001, 7, 500), FINANCE_PENDING);
	assert_string_equal(refund(2002, 1001, 7, 1).reason, "PAYMENT_NOT_PAID");
	paid(1002, 7, 500);
	assert_string_equal(refund(2003, 1002, 8, 1).reason, "PAYEE_NOT_PAYER");
}

static void refused_by_fault_is_final(void **state)
{
	book_order o;
	(void)state;
	set("transfer.refuse=100");
	assert_int_equal(submit(FINANCE_TRANSFER, 1001, 7, 10), FINANCE_REFUSED);
	set("transfer.refuse=0");
	assert_int_equal(submit(FINANCE_TRANSFER, 1001, 7, 10), FINANCE_REFUSED);
	assert_int_equal(book_query(book, FINANCE_TRANSFER, 1001, &o), ERR_OK);
	assert_string_equal(o.reason, "ACCOUNT_CLOSED");
}

static void *many_transfers(void *arg)
{
	uint64_t first = *(uint64_t *)arg;
	for (uint64_t i = 0; i < ORDERS_PER_THREAD; i++)
		if (submit(FINANCE_TRANSFER, first + i, 7, 1) == FINANCE_PENDING)
			abort();
	return NULL;
}

/* Pairs of threads send the same numbers; more money is asked for than is there. */
static void threads_move_every_fen_once(void **state)
{
	pthread_t thread[THREADS];
	uint64_t first[THREADS];
	(void)state;
	set("transfer.callback_always=1");
	assert_int_equal(submit(FINANCE_TRANSFER, 1, 7, OPENING_FEN - 300), FINANCE_DONE);
	for (unsigned i = 0; i < THREADS; i++) {
		first[i] = 1000 + i / 2 * ORDERS_PER_THREAD;
		pthread_create(&thread[i], NULL, many_transfers, &first[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(count_sql(BALANCE), 0);
	assert_int_equal(count_sql("SELECT COUNT(*) FROM entries"), 301);
	assert_int_equal(count_sql("SELECT SUM(amount) FROM entries"), OPENING_FEN);
	assert_int_equal(
		count_sql("SELECT COUNT(*) FROM orders"), 1 + THREADS / 2 * ORDERS_PER_THREAD);
	assert_int_equal(
		count_sql("SELECT COUNT(*) FROM events"), 1 + THREADS / 2 * ORDERS_PER_THREAD);
	vault_counts counts = book_counts(book);
	assert_true(counts.commits < counts.jobs);
}

static void books_outlive_the_program(void **state)
{
	book_order o;
	book_t *second = NULL;
	(void)state;
	set("refund.settle_ms=100");
	paid(1001, 7, 500);
	assert_int_equal(refund(2001, 1001, 7, 500).outcome, FINANCE_PENDING);
	book_close(&book);
	open_book();
	assert_int_equal(settled(FINANCE_REFUND, 2001), FINANCE_DONE);
	assert_int_equal(book_query(book, FINANCE_PAYMENT, 1001, &o), ERR_OK);
	assert_int_equal(count_sql(BALANCE), OPENING_FEN);
	assert_int_equal(
		book_open(path, "hongbao", 0, faults, NULL, NULL, &second), ERR_CONFIG_INVALID);
	assert_null(second);
}

static void count_entry(void *ctx, const book_entry *e)
{
	(void)e;
	++*(unsigned *)ctx;
}

static void statement_and_account_show_every_entry(void **state)
{
	unsigned seen = 0;
	bool more;
	book_account account;
	(void)state;
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(submit(FINANCE_TRANSFER, 1000 + i, 7, 10), FINANCE_DONE);
	assert_int_equal(submit(FINANCE_TRANSFER, 2000, 8, 10), FINANCE_DONE);
	paid(3000, 7, 500);
	book_entries_query q = {.day = clk_wall_ms() / 86400000, .limit = 4};
	assert_int_equal(book_entries(book, &q, count_entry, &seen, &more), ERR_OK);
	assert_int_equal(seen, 4);
	assert_true(more);
	q.after = 4;
	assert_int_equal(book_entries(book, &q, count_entry, &seen, &more), ERR_OK);
	assert_int_equal(seen, 7);
	assert_false(more);
	book_entries_query of_user = {.uid = 7, .kind = FINANCE_PAYMENT, .limit = 4};
	seen = 0;
	assert_int_equal(book_entries(book, &of_user, count_entry, &seen, &more), ERR_OK);
	assert_int_equal(seen, 1);
	assert_int_equal(book_account_of(book, 7, &account), ERR_OK);
	assert_int_equal(account.received_fen, 50);
	assert_int_equal(account.received_count, 5);
	assert_int_equal(account.paid_fen, 500);
}

static unsigned due(book_event *e, int64_t *next_ms)
{
	unsigned count = 0;
	assert_int_equal(book_events_due(book, e, 4, &count, next_ms), ERR_OK);
	return count;
}

static void tried(const char *event_id, bool delivered)
{
	book_delivery d = {.delivered = delivered};
	snprintf(d.event_id, sizeof d.event_id, "%s", event_id);
	assert_int_equal(book_events_tried(book, &d, 1), ERR_OK);
}

static void callback_is_due_until_it_is_delivered(void **state)
{
	book_event e[4];
	int64_t next_ms;
	finance_event parsed;
	(void)state;
	paid(1001, 7, 500);
	assert_int_equal(due(e, &next_ms), 1);
	assert_string_equal(e[0].event_id, "1001-done");
	assert_string_equal(e[0].url, NOTIFY);
	assert_int_equal(finance_parse_event(e[0].body, strlen(e[0].body), &parsed), ERR_OK);
	assert_int_equal(parsed.order_no, 1001);
	assert_int_equal(parsed.amount_fen, 500);
	assert_int_equal(parsed.outcome, FINANCE_DONE);
	tried("1001-done", false);
	assert_int_equal(due(e, &next_ms), 0);
	assert_in_range(next_ms - clk_wall_ms(), 50, 200);
	usleep(250000);
	assert_int_equal(due(e, &next_ms), 1);
	tried("1001-done", true);
	assert_int_equal(due(e, &next_ms), 0);
	assert_int_equal(next_ms, 0);
	assert_int_equal(count_sql("SELECT tries FROM events WHERE delivered_at > 0"), 2);
}

static void callbacks_are_dropped_and_doubled_on_demand(void **state)
{
	book_event e[4];
	int64_t next_ms;
	(void)state;
	set("payment.drop_callback=100");
	paid(1001, 7, 500);
	assert_int_equal(due(e, &next_ms), 0);
	assert_int_equal(count_sql("SELECT COUNT(*) FROM events WHERE dropped = 1"), 1);
	set("payment.drop_callback=0");
	set("payment.double_callback=100");
	paid(1002, 7, 500);
	assert_int_equal(due(e, &next_ms), 1);
	tried("1002-done", true);
	assert_int_equal(due(e, &next_ms), 1);
	tried("1002-done", true);
	assert_int_equal(due(e, &next_ms), 0);
}

static bool delivered(uint64_t order_no)
{
	bool yes;
	assert_int_equal(book_event_delivered(book, order_no, &yes), ERR_OK);
	return yes;
}

static void a_callback_counts_as_delivered_from_its_204_on(void **state)
{
	(void)state;
	assert_false(delivered(1001));
	paid(1001, 7, 500);
	paid(1002, 7, 500);
	assert_false(delivered(1001));
	tried("1001-done", false);
	assert_false(delivered(1001));
	tried("1001-done", true);
	assert_true(delivered(1001));
	assert_false(delivered(1002));
}

#define WITH_BOOK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_BOOK(payment_is_done_once_however_often_it_is_paid),
		WITH_BOOK(same_number_with_other_values_is_a_conflict),
		WITH_BOOK(closed_payment_cannot_be_paid_and_paid_one_not_closed),
		WITH_BOOK(closed_payment_is_paid_by_fault),
		WITH_BOOK(number_closed_before_it_was_known_stays_closed),
		WITH_BOOK(payment_expires_by_itself),
		WITH_BOOK(transfer_above_the_balance_is_refused),
		WITH_BOOK(pending_transfer_settles_later_and_is_called_back),
		WITH_BOOK(refunds_together_never_exceed_the_payment),
		WITH_BOOK(refund_needs_a_paid_payment_of_the_payee),
		WITH_BOOK(refused_by_fault_is_final),
		WITH_BOOK(threads_move_every_fen_once),
		WITH_BOOK(books_outlive_the_program),
		WITH_BOOK(statement_and_account_show_every_entry),
		WITH_BOOK(callback_is_due_until_it_is_delivered),
		WITH_BOOK(a_callback_counts_as_delivered_from_its_204_on),
		WITH_BOOK(callbacks_are_dropped_and_doubled_on_demand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
