/* win_table and win_log: what was won is found again, also by the process that comes after, and the
 * oldest is what is forgotten. */
#include "base/clk.h"
#include "base/logger.h"
#include "fcgi/places.h"
#include "fcgi/win_log.h"
#include "fcgi/win_table.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"

static win_key key_of(uint64_t uid, uint32_t k)
{
	return (win_key){uid, 1, 2, k};
}

static void what_is_put_is_got_and_changed_in_place(void **state)
{
	win_table_t *t = win_table_new(8);
	win_key a = key_of(1001, 0), b = key_of(1001, 1);
	win_state s;
	uint64_t lease;

	(void)state;
	assert_false(win_table_get(t, &a, &s, &lease));
	win_table_put(t, &a, WIN_LEASED, 7);
	win_table_put(t, &b, WIN_LOGGED, 8);
	win_table_put(t, &a, WIN_GIVEN, 7);
	assert_true(win_table_get(t, &a, &s, &lease));
	assert_int_equal(s, WIN_GIVEN);
	assert_int_equal(lease, 7);
	assert_true(win_table_get(t, &b, &s, &lease));
	assert_int_equal(lease, 8);
	win_table_free(&t);
}

static void the_oldest_is_forgotten_first(void **state)
{
	win_table_t *t = win_table_new(64);
	win_state s;
	uint64_t lease;

	(void)state;
	for (uint64_t uid = 1; uid <= 1000; uid++) {
		win_key key = key_of(uid, 0);
		win_table_put(t, &key, WIN_LEASED, uid);
		for (uint64_t old = 1; old <= uid; old++) {
			win_key it = key_of(old, 0);
			assert_int_equal(win_table_get(t, &it, &s, &lease), old + 64 > uid);
			if (old + 64 > uid)
				assert_int_equal(lease, old);
		}
	}
	win_table_free(&t);
}

static void places_go_up_to_the_limit_and_are_told_in_steps(void **state)
{
	places_t *p = places_new();
	unsigned k = 99, count, told = 0;

	(void)state;
	assert_false(places_next(p, 1, 2, 1001, 10, &k, &count));
	places_set(p, 1, 2, 1001, 0);
	for (unsigned want = 1; want < 10; want++) {
		assert_true(places_next(p, 1, 2, 1001, 10, &k, &count));
		assert_int_equal(k, want);
		assert_int_equal(count, want % PLACES_STEP == 0 ? PLACES_STEP : 0);
		told += count;
	}
	assert_int_equal(told, 8);
	for (int i = 0; i < 5; i++) {
		assert_true(places_next(p, 1, 2, 1001, 10, &k, &count));
		assert_int_equal(k, 10);
		assert_int_equal(count, 0);
	}
	places_set(p, 1, 2, 1001, 3);
	assert_true(places_next(p, 1, 2, 1001, 100, &k, &count));
	assert_int_equal(k, 10);
	assert_false(places_next(p, 1, 3, 1001, 10, &k, &count));
	assert_false(places_next(p, 1, 2, 2001, 10, &k, &count));
	places_free(&p);
}

typedef struct {
	unsigned lines;
	win_state last;
	win_key key;
	token_win win;
} replay;

static void note(void *ctx, win_state state, const win_key *key, const token_win *win)
{
	replay *r = ctx;

	r->lines++;
	r->last = state;
	r->key = *key;
	r->win = *win;
}

static void the_log_is_read_back_past_a_torn_line(void **state)
{
	const char *dir = files_dir();
	const win_key key = {UINT64_C(999999999999999999), 999999, 2000000000, 99};
	const token_win win = {.uid = key.uid,
		.subsidy_id = UINT64_C(9223372036854701999),
		.lease_id = UINT64_C(123456701001),
		.amount_fen = 888,
		.expires_at_ms = INT64_C(1795000000123)};
	int64_t now = clk_wall_ms();
	char path[300], command[400];
	win_log_t *l;
	replay r = {0};

	(void)state;
	assert_int_equal(win_log_open(dir, "A", 1, &l), ERR_OK);
	win_log_add(l, WIN_LOGGED, &key, &win, now);
	assert_int_equal(win_log_write(l, now), ERR_OK);
	assert_int_equal(win_log_sync(l), ERR_OK);
	win_log_close(&l);
	snprintf(command, sizeof(command), "printf '{\"e\":\"won\",\"t\":1' >> %s/A.1.*", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(win_log_open(dir, "A", 1, &l), ERR_OK);
	win_log_add(l, WIN_GIVEN, &key, &win, now);
	assert_int_equal(win_log_write(l, now), ERR_OK);
	win_log_replay(l, now, note, &r);
	assert_int_equal(r.lines, 2);
	assert_int_equal(r.last, WIN_GIVEN);
	assert_int_equal(r.key.uid, key.uid);
	assert_int_equal(r.key.campaign, key.campaign);
	assert_int_equal(r.key.round, key.round);
	assert_int_equal(r.key.k, key.k);
	assert_int_equal(r.win.subsidy_id, win.subsidy_id);
	assert_int_equal(r.win.lease_id, win.lease_id);
	assert_int_equal(r.win.amount_fen, win.amount_fen);
	assert_int_equal(r.win.expires_at_ms, win.expires_at_ms);
	/* A new day is a new file, and the day before is read as well. */
	win_log_add(l, WIN_GIVEN, &key, &win, now + 86400000);
	assert_int_equal(win_log_write(l, now + 86400000), ERR_OK);
	r.lines = 0;
	win_log_replay(l, now + 86400000, note, &r);
	assert_int_equal(r.lines, 3);
	win_log_close(&l);
	snprintf(path, sizeof(path), "%s/none", dir);
	assert_int_equal(win_log_open(path, "A", 1, &l), ERR_INTERNAL);
	files_remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_got_and_changed_in_place),
		cmocka_unit_test(the_oldest_is_forgotten_first),
		cmocka_unit_test(places_go_up_to_the_limit_and_are_told_in_steps),
		cmocka_unit_test(the_log_is_read_back_past_a_torn_line),
	};

	logger_init("test_win_table", "", 0, LOGGER_ERROR + 1);
	return cmocka_run_group_tests_name("win_table", tests, NULL, NULL);
}
