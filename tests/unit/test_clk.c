/* The calendar against glibc's, the parser against its table; and that a stop ends a sleep. */
#include "base/clk.h"
#include "base/life.h"
#include "tests/unit/unit.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static void dates_agree_with_glibc(void **state)
{
	uint64_t x = 42;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char ours[CLK_RFC3339_BYTES], theirs[CLK_RFC3339_BYTES];
		int64_t ms, back = -1;
		struct tm tm;
		time_t s;
		size_t n;

		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		ms = (int64_t)(x >> 11) % INT64_C(253402300800000);
		s = ms / 1000;
		gmtime_r(&s, &tm);
		n = strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(theirs + n, sizeof(theirs) - n, ".%03dZ", (int)(ms % 1000));
		assert_int_equal(clk_rfc3339(ms, ours), strlen(theirs));
		assert_string_equal(ours, theirs);
		assert_int_equal(clk_parse_rfc3339(ours, &back), ERR_OK);
		assert_true(back == ms);
	}
}

static void good_times_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-22T08:13:18.042Z", 1795335198042},
		{"2026-11-22T16:13:18.042+08:00", 1795335198042},
		{"2026-11-22T02:43:18.0429999-05:30", 1795335198042},
		{"2024-02-29T23:59:59.9Z", 1709251199900},
		{"2000-02-29T00:00:00Z", 951782400000},
		{"9999-12-31T23:59:59.999Z", 253402300799999},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		int64_t ms = -1;

		assert_int_equal(clk_parse_rfc3339(rows[i].text, &ms), ERR_OK);
		assert_true(ms == rows[i].ms);
	}
}

static void bad_times_are_refused(void **state)
{
	static const char *const rows[] = {"", "2026-11-22", "2026-11-22 08:13:18Z",
		"2026-11-22T08:13:18", "2026-11-22t08:13:18z", "2026-11-22T08:13:18.Z",
		"2026-11-22T08:13:18.1234567890Z", "2026-11-22T08:13:18Zx", "2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T08:60:00Z",
		"2026-11-22T08:13:60Z", "2026-11-22T08:13:18+24:00", "2026-11-22T08:13:18+0800",
		"1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
		"02026-11-22T08:13:18Z", "-026-11-22T08:13:18Z", "0000-11-22T08:13:18Z"};
	int64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		if (clk_parse_rfc3339(rows[i], &ms) != ERR_INVALID_FIELD)
			fail_msg("accepted \"%s\"", rows[i]);
	assert_int_equal(clk_parse_rfc3339(NULL, &ms), ERR_INVALID_FIELD);
	assert_int_equal(ms, 7);
}

static void the_clocks_advance(void **state)
{
	int64_t a = clk_mono_us(), b;

	(void)state;
	clk_sleep_ms(20);
	b = clk_mono_us();
	assert_in_range(b - a, 20000, 5000000);
	assert_true(clk_wall_ms() > INT64_C(1700000000000));
}

static int stops;

static void count_stop(void *ctx)
{
	__atomic_add_fetch((int *)ctx, 1, __ATOMIC_SEQ_CST);
}

static void *stopper(void *arg)
{
	usleep(50000);
	life_stop(arg);
	life_stop("again");
	return NULL;
}

/* A process stops once: this one is the child's. `sig` comes before the hand-over, or (0) after it;
 * what is executed then has it. */
static int handed_over(int sig)
{
	if (life_start(NULL, NULL) != ERR_OK)
		return 10;
	life_stop("the go-live file has changed");
	if (sig) {
		kill(getpid(), sig);
		usleep(100000);
	}
	if (life_hand_over())
		return 7;
	kill(getpid(), SIGTERM);
	execlp("grep", "grep", "-q", "^ShdPnd:.*4...$", "/proc/self/status", (char *)NULL);
	return 11;
}

static void a_signal_is_not_lost_while_a_program_runs_itself_anew(void **state)
{
	static const struct {
		int sig, code;
	} rows[] = {{0, 0}, {SIGTERM, 7}, {SIGINT, 7}};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		int status = 0;
		pid_t child = fork();

		if (child == 0)
			_exit(handed_over(rows[i].sig));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), rows[i].code);
	}
}

/* Last: a process stops once. */
static void a_stop_ends_a_sleep(void **state)
{
	int64_t begun = clk_mono_ms();
	pthread_t t;

	(void)state;
	assert_int_equal(life_start(count_stop, &stops), ERR_OK);
	assert_false(life_stopping());
	assert_false(life_wait_ms(1));
	pthread_create(&t, NULL, stopper, "test");
	clk_sleep_ms(30000);
	assert_true(clk_mono_ms() - begun < 20000);
	assert_true(life_stopping());
	assert_true(life_wait_ms(-1));
	pthread_join(t, NULL);
	for (int i = 0; i < 500 && !__atomic_load_n(&stops, __ATOMIC_SEQ_CST); i++)
		usleep(10000);
	kill(getpid(), SIGTERM); /* blocked everywhere, received once more by life */
	usleep(100000);
	assert_int_equal(__atomic_load_n(&stops, __ATOMIC_SEQ_CST), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_agree_with_glibc),
		cmocka_unit_test(good_times_are_read),
		cmocka_unit_test(bad_times_are_refused),
		cmocka_unit_test(the_clocks_advance),
		cmocka_unit_test(a_signal_is_not_lost_while_a_program_runs_itself_anew),
		cmocka_unit_test(a_stop_ends_a_sleep),
	};

	return cmocka_run_group_tests_name("clk", tests, NULL, NULL);
}
