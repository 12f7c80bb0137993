/* Reconciliation with finance against a real database: what stands near midnight, what is found twice,
 * and what a run that breaks off leaves behind. */
#include "base/clk.h"
#include "domain/numbers.h"
#include "domain/recon.h"
#include "domain/states.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <string.h>

#define DAY 1795305600000 /* 2026-11-22 */
#define SKEW_MS 300000
#define HEAD "order_no,kind,uid,amount_fen,payment_no,at\n"
#define END "#end\n"
#define EVE "2026-11-21T23:59:59.900Z\n"
#define MORNING "2026-11-22T00:00:00.100Z\n"
#define NOON "2026-11-22T12:00:00.000Z\n"
#define NIGHT "2026-11-22T23:59:59.900Z\n"
#define NEXT "2026-11-23T00:00:00.100Z\n"
#define LINE(no, fen, at) #no ",transfer,6002," #fen ",0," at

/* Instead of lib/store/finance.c: the statements of some days; every day before 20 November is like that one. */
static const char *long_ago, *eve, *today, *next_day;
static unsigned asked;
static int a_client; /* only its address is used */

err_t finance_statement(finance_t *f, const char *day, uint64_t after, const char **text, size_t *n)
{
	assert_ptr_equal(f, &a_client);
	assert_int_equal(after, 0);
	asked++;
	*text = strcmp(day, "2026-11-21") < 0    ? long_ago
		: strcmp(day, "2026-11-21") == 0 ? eve
		: strcmp(day, "2026-11-22") == 0 ? today
						 : next_day;
	if (!*text)
		return ERR_FINANCE_UNAVAILABLE;
	*n = strlen(*text);
	return ERR_OK;
}

static char folder[64];
static db_t *db;
static topology_t topo;
static recon_job job;

static int set_up(void **state)
{
	db_target t;
	(void)state;
	strcpy(folder, "/tmp/hb-recon-XXXXXX");
	cell_db_make("hb_test_recon", &t);
	assert_int_equal(db_open(&t, &db), ERR_OK);
	topo = (topology_t){.cell_count = 2};
	topo.cell[0] = (topology_cell){.name = "A", .number = 1};
	topo.cell[1] = (topology_cell){.name = "B", .number = 2};
	for (unsigned slot = 500; slot < TOPOLOGY_SLOTS; slot++)
		topo.slot_cell[slot] = 1;
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	cell_db_run(db, "DROP DATABASE hb_test_recon");
	db_close(&db);
	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command); /* NOLINT(cert-env33-c): a test's own folder */
}

static int fresh(void **state)
{
	(void)state;
	long_ago = eve = today = next_day = HEAD END;
	job = (recon_job){.domain = RECON_C2C,
		.window = {DAY, DAY + RECON_DAY_MS},
		.topo = &topo,
		.cell = &topo.cell[0],
		.db = db,
		.finance = (finance_t *)&a_client,
		.folder = folder,
		.grace_ms = 0,
		.skew_ms = SKEW_MS};
	cell_db_run(db, "DELETE FROM transfer; DELETE FROM recon_run; DELETE FROM recon_diff");
	return 0;
}

/* A transfer of 30 fen that was made and came to its end then, after DAY. */
static void done(uint64_t no, int64_t made_ms, int64_t done_ms)
{
	cell_db_run(db,
		"INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, "
		"next_check_at, created_at, changed_at) VALUES (%llu, 1, 6002, 30, 1, 2, %lld, "
		"%lld, %lld)",
		(unsigned long long)no, (long long)(DAY + done_ms), (long long)(DAY + made_ms),
		(long long)(DAY + done_ms));
}

typedef struct {
	unsigned count;
	recon_diff last;
} seen;

static void see(void *ctx, const recon_diff *d)
{
	seen *s = ctx;
	s->count++;
	s->last = *d;
}

/* How many differences a run finds; the last one in *last. */
static unsigned differences(recon_diff *last)
{
	recon_sum sum;
	seen s = {0};
	assert_int_equal(recon_run(&job, &sum), ERR_OK);
	assert_int_equal(recon_differences(db, RECON_C2C, &job.window, see, &s), ERR_OK);
	assert_int_equal(s.count, sum.differences);
	*last = s.last;
	return s.count;
}

static void none(void)
{
	recon_diff d;
	assert_int_equal(differences(&d), 0);
}

static void one(recon_kind kind, uint64_t no)
{
	recon_diff d;
	assert_int_equal(differences(&d), 1);
	assert_int_equal(d.kind, kind);
	assert_int_equal(d.no, no);
	assert_int_equal(d.thing, RECON_TRANSFER);
}

enum { HOUR = 3600000 };

static void what_both_have_is_no_difference(void **state)
{
	(void)state;
	done(101001, 12 * HOUR - 50, 12 * HOUR + 50);
	today = HEAD LINE(101001, 30, NOON) END;
	none();
}

static void an_order_learned_after_midnight_has_its_line_the_day_before(void **state)
{
	(void)state;
	done(101001, -500, 200);
	one(RECON_MISSING_THERE, 101001);
	eve = HEAD LINE(101001, 30, EVE) END;
	none();
}

static void a_clock_of_finance_s_that_is_ahead_puts_its_line_a_day_later(void **state)
{
	(void)state;
	done(101001, RECON_DAY_MS - 500, RECON_DAY_MS - 100);
	one(RECON_MISSING_THERE, 101001);
	next_day = HEAD LINE(101001, 30, NEXT) END;
	none();
}

static void a_line_before_midnight_has_its_order_the_day_after(void **state)
{
	(void)state;
	done(101001, RECON_DAY_MS - 500, RECON_DAY_MS + 200);
	today = HEAD LINE(101001, 30, NIGHT) END;
	none();
	today = HEAD LINE(101001, 31, NIGHT) END;
	one(RECON_AMOUNT, 101001);
}

static void an_order_learned_days_later_has_its_line_days_before(void **state)
{
	(void)state;
	done(101001, -40 * (int64_t)HOUR, 12 * HOUR);
	one(RECON_MISSING_THERE, 101001);
	asked = 0;
	long_ago = HEAD LINE(101001, 30, "2026-11-20T12:00:00.000Z\n") END;
	none();
	assert_int_equal(asked, 4); /* the day, the one after, and back to the one that has it */
}

static void how_many_days_are_looked_into_is_bounded(void **state)
{
	(void)state;
	done(101001, -1000 * (int64_t)HOUR * 24, 12 * HOUR);
	asked = 0;
	one(RECON_MISSING_THERE, 101001);
	assert_int_equal(asked, 2 + 31);
}

static void an_order_of_noon_is_not_looked_for_in_other_days(void **state)
{
	(void)state;
	done(101001, 12 * HOUR, 12 * HOUR + 100);
	eve = HEAD LINE(101001, 30, EVE) END;
	one(RECON_MISSING_THERE, 101001);
}

static void lines_of_another_cell_are_not_ours(void **state)
{
	(void)state;
	today = HEAD LINE(101501, 30, NOON) END;
	none();
	job.cell = &topo.cell[1];
	one(RECON_MISSING_HERE, 101501);
}

static void the_same_line_three_times_is_twice_once(void **state)
{
	(void)state;
	done(101001, 12 * HOUR - 50, 12 * HOUR + 50);
	today = HEAD LINE(101001, 30, NOON) LINE(101001, 30, NOON) LINE(101001, 30, NOON) END;
	one(RECON_TWICE, 101001);
}

static void more_rows_than_a_page_are_all_compared(void **state)
{
	(void)state;
	cell_db_run(db,
		"INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, "
		"next_check_at, created_at, changed_at) SELECT seq * 1000 + 1, 1, 6002, 30, 1, 2, "
		"%lld + seq DIV 3000, %lld, 1 FROM seq_1_to_9001",
		(long long)DAY + 12 * HOUR, (long long)DAY + 11 * HOUR);
	recon_diff d;
	assert_int_equal(differences(&d), 9001);
	assert_int_equal(d.no, 9001001);
}

static bool whole(int64_t grace_ms)
{
	bool is;
	assert_int_equal(recon_done(db, RECON_C2C, &job.window, grace_ms, &is), ERR_OK);
	return is;
}

/* The name of a file with this text. */
static const char *given(const char *text)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/given.csv", folder);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

static void a_statement_with_a_line_of_another_day_is_refused(void **state)
{
	recon_sum sum;
	(void)state;
	today = HEAD LINE(101001, 30, NEXT) END;
	assert_int_equal(recon_run(&job, &sum), ERR_INVALID_FIELD);
	assert_false(whole(0));
}

static void a_run_that_broke_off_is_not_done_and_the_next_one_is(void **state)
{
	recon_sum sum;
	(void)state;
	today = NULL;
	assert_int_equal(recon_run(&job, &sum), ERR_FINANCE_UNAVAILABLE);
	assert_false(whole(0));
	today = HEAD END;
	assert_int_equal(recon_run(&job, &sum), ERR_OK);
	/* A day that is not over is compared again. */
	assert_int_equal(whole(0), clk_wall_ms() >= DAY + RECON_DAY_MS);
}

/* The hour before is over; whoever compares it within the grace finds what may be on its way and may not. */
static void a_window_that_was_compared_within_the_grace_is_not_done(void **state)
{
	recon_sum sum;
	int64_t now_ms = clk_wall_ms();
	(void)state;
	job.window = (recon_window){now_ms - 2 * RECON_DAY_MS, now_ms - RECON_DAY_MS};
	assert_int_equal(recon_run(&job, &sum), ERR_OK);
	assert_true(whole(0));
	assert_true(whole(RECON_DAY_MS - 60000));
	assert_false(whole(RECON_DAY_MS + 60000));
}

static void a_window_of_which_something_waits_is_not_done(void **state)
{
	recon_sum sum;
	(void)state;
	job.finance = NULL;
	job.file = given(HEAD END);
	done(101001, RECON_DAY_MS - 500, RECON_DAY_MS - 100);
	assert_int_equal(recon_run(&job, &sum), ERR_OK);
	assert_int_equal(sum.waiting, 1);
	cell_db_run(db, "UPDATE recon_run SET given = 0");
	assert_false(whole(0));
}

static void a_file_that_somebody_gave_is_not_the_last_word(void **state)
{
	recon_sum sum;
	(void)state;
	job.file = given(HEAD END);
	assert_int_equal(recon_run(&job, &sum), ERR_OK);
	assert_int_equal(sum.waiting, 0);
	assert_false(whole(0));
	job.file = NULL;
	assert_int_equal(recon_run(&job, &sum), ERR_OK);
	assert_int_equal(whole(0), clk_wall_ms() >= DAY + RECON_DAY_MS);
}

#define TEST(test) cmocka_unit_test_setup(test, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_both_have_is_no_difference),
		TEST(an_order_learned_after_midnight_has_its_line_the_day_before),
		TEST(a_clock_of_finance_s_that_is_ahead_puts_its_line_a_day_later),
		TEST(a_line_before_midnight_has_its_order_the_day_after),
		TEST(an_order_learned_days_later_has_its_line_days_before),
		TEST(how_many_days_are_looked_into_is_bounded),
		TEST(an_order_of_noon_is_not_looked_for_in_other_days),
		TEST(lines_of_another_cell_are_not_ours),
		TEST(the_same_line_three_times_is_twice_once),
		TEST(more_rows_than_a_page_are_all_compared),
		TEST(a_statement_with_a_line_of_another_day_is_refused),
		TEST(a_run_that_broke_off_is_not_done_and_the_next_one_is),
		TEST(a_window_that_was_compared_within_the_grace_is_not_done),
		TEST(a_window_of_which_something_waits_is_not_done),
		TEST(a_file_that_somebody_gave_is_not_the_last_word),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
