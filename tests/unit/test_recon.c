/* The parts of reconciliation that need no server: piles, statements, windows. */
#include "domain/recon.h"
#include "domain/recon_pile.h"
#include "domain/statement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY 1795305600000 /* 2026-11-22 */

static char folder[64];

/* Instead of lib/store/finance.c: hands out the parts of a test. */
static const char *parts[8];
static unsigned asked;

err_t finance_statement(finance_t *f, const char *day, uint64_t after, const char **text, size_t *n)
{
	(void)f;
	assert_string_equal(day, "2026-11-22");
	assert_int_equal(after, asked * 10);
	*text = parts[asked++];
	if (!*text)
		return ERR_FINANCE_UNAVAILABLE;
	*n = strlen(*text);
	return ERR_OK;
}

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/hb-recon-XXXXXX");
	memset(parts, 0, sizeof parts);
	asked = 0;
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"2026-11-22.csv", "2026-11-22.csv.new", "given.csv"};
	char path[128];
	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, files[i]);
		unlink(path);
	}
	return rmdir(folder); /* fails when a pile left something behind */
}

static void pile_of(size_t lines)
{
	recon_pile_t *p = recon_pile_new(folder);
	recon_line line, last = {0};
	uint64_t seed = 88172645463325252u, sum = 0, back = 0;
	bool more = true;
	size_t count = 0;
	for (size_t i = 0; i < lines; i++) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		line = (recon_line){.no = seed % 1000000, .fen = (int64_t)i, .kind = 1 + seed % 4};
		sum += line.no ^ (uint64_t)line.fen;
		assert_int_equal(recon_pile_add(p, &line), ERR_OK);
	}
	assert_int_equal(recon_pile_sort(p), ERR_OK);
	assert_int_equal(recon_pile_count(p), lines);
	for (;; count++) {
		assert_int_equal(recon_pile_next(p, &line, &more), ERR_OK);
		if (!more)
			break;
		assert_true(recon_line_order(&last, &line) <= 0);
		back += line.no ^ (uint64_t)line.fen;
		last = line;
	}
	assert_int_equal(count, lines);
	assert_int_equal(back, sum);
	recon_pile_free(&p);
}

static void a_pile_gives_back_every_line_in_order_whatever_its_size(void **state)
{
	(void)state;
	pile_of(0);
	pile_of(1);
	pile_of(RECON_PILE_LINES);
	pile_of(RECON_PILE_LINES * 2 + 7);
}

static err_t add(void *ctx, const statement_line *line)
{
	*(int64_t *)ctx += line->amount_fen;
	return ERR_OK;
}

#define HEAD "order_no,kind,uid,amount_fen,payment_no,at\n"
#define LINE(no, fen) #no ",transfer,7," #fen ",0,2026-11-22T09:02:41.421Z\n"

static void parts_become_one_file(void **state)
{
	char path[STATEMENT_PATH_BYTES];
	int64_t fen = 0;
	(void)state;
	parts[0] = HEAD LINE(1001, 5) LINE(1002, 6) "#next,10\n";
	parts[1] = HEAD "#next,20\n";
	parts[2] = HEAD LINE(1003, 7) "#end\n";
	assert_int_equal(statement_fetch(NULL, DAY, folder, path), ERR_OK);
	assert_int_equal(statement_read(path, add, &fen), ERR_OK);
	assert_int_equal(fen, 18);
}

static void a_statement_that_breaks_off_is_none(void **state)
{
	static const char *const bad[] = {HEAD LINE(1001, 5), HEAD LINE(1001, 5) "#next,0\n",
		HEAD LINE(1001, 5) "#next,x\n", HEAD "#end", ""};
	char path[STATEMENT_PATH_BYTES];
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		asked = 0;
		parts[0] = bad[i];
		if (statement_fetch(NULL, DAY, folder, path) == ERR_OK)
			fail_msg("%s", bad[i]);
		assert_int_equal(access(path, F_OK), -1);
	}
	asked = 0;
	parts[0] = HEAD LINE(1001, 5) "#next,10\n";
	parts[1] = NULL;
	assert_int_equal(statement_fetch(NULL, DAY, folder, path), ERR_FINANCE_UNAVAILABLE);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_file_with_a_line_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {LINE(1001, 5), LINE(1001, 5) "#end\n" LINE(1002, 5),
		"1001,transfer,7,5,0\n#end\n", "1001,gift,7,5,0,2026-11-22T09:02:41Z\n#end\n",
		"1001,transfer,7,-5,0,2026-11-22T09:02:41Z\n#end\n",
		"1001,transfer,7,5,0,2026-11-22T09:02:41Z,\n#end\n",
		"1001,transfer,7,5,0,noon\n#end\n", "#next,5\n#end\n", "\n#end\n"};
	char path[128];
	int64_t fen = 0;
	(void)state;
	snprintf(path, sizeof path, "%s/given.csv", folder);
	assert_int_equal(statement_read(path, add, &fen), ERR_NOT_FOUND);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fputs(bad[i], f);
		fclose(f);
		if (statement_read(path, add, &fen) != ERR_INVALID_FIELD)
			fail_msg("%s", bad[i]);
	}
}

static void windows_are_days_and_hours_of_utc(void **state)
{
	static const char *const bad[] = {"", "2026-11", "2026-11-22T", "2026-11-22T8",
		"2026-11-22T24", "2026-02-30", "2026-11-22T08:00", "yesterday!"};
	recon_window w;
	(void)state;
	assert_int_equal(recon_window_parse("2026-11-22", &w), ERR_OK);
	assert_int_equal(w.from_ms, DAY);
	assert_int_equal(w.to_ms, DAY + RECON_DAY_MS);
	assert_int_equal(recon_window_parse("2026-11-22T08", &w), ERR_OK);
	assert_int_equal(w.from_ms, DAY + 8 * (int64_t)RECON_HOUR_MS);
	assert_int_equal(w.to_ms, DAY + 9 * (int64_t)RECON_HOUR_MS);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (recon_window_parse(bad[i], &w) == ERR_OK)
			fail_msg("%s", bad[i]);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(a_pile_gives_back_every_line_in_order_whatever_its_size),
		WITH_FOLDER(parts_become_one_file),
		WITH_FOLDER(a_statement_that_breaks_off_is_none),
		WITH_FOLDER(a_file_with_a_line_that_is_none_is_refused),
		WITH_FOLDER(windows_are_days_and_hours_of_utc),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
