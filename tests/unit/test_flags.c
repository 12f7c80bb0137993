/* flags.cfg: what is right, what is not, what it comes to for whom, and its text edited. */
#include "base/clk.h"
#include "base/metrics.h"
#include "domain/flags.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"
#include "units/flags_text.h"
#include <stdio.h>
#include <string.h>

static const char *dir;

#define END "complete = true;\n"
#define OFF(more) "{ state = \"off\"; reason = \"r\"; " more " };\n"

static void write_flags(const char *text)
{
	files_write(dir, "flags.cfg", 0600, text);
}

static void a_bad_file_is_refused_with_line_and_reason(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "the last line must be \"complete = true;\""},
		{"claim = " OFF(""), "the last line must be"},
		{END "claim = " OFF(""), "the last line must be"},
		{"complete = false;\n", "the last line must be"},
		{"claim = { state = \"off\"; rea", "line 1: syntax error"},
		{"\nclaims = " OFF("") END, ":2: there is no flag \"claims\""},
		{"claim = true;\n" END, "claim must be a group"},
		{"claim = { state = \"off\"; };\n" END, "reason is missing"},
		{"claim = { reason = \"r\"; };\n" END, "state is missing"},
		{"claim = { state = off; reason = \"r\"; };\n" END, "syntax error"},
		{"claim = { state = false; reason = \"r\"; };\n" END, "state must be"},
		{"claim = { state = \"OFF\"; reason = \"r\"; };\n" END, "state must be"},
		{"claim = " OFF("percent = 101;") END, "percent must be an integer in 0..100"},
		{"claim = " OFF("percent = \"5\";") END, "percent must be an integer in 0..100"},
		{"claim = " OFF("percent = 99999999999;") END, "needs the suffix L"},
		{"claim = " OFF("cells = \"A\";") END, "cells must be an array"},
		{"claim = " OFF("cells = [ \"a\" ];") END, "one of A-Z"},
		{"claim = " OFF("interfaces = [ \"rain\" ];") END,
			"claim has no interface \"rain\""},
		{"claim = " OFF("expires_at = \"tomorrow\";") END, "must be a time"},
		{"claim = " OFF("expire_at = \"2027-02-06T12:00:00Z\";") END,
			"expire_at is not known"},
		{"transfer_async = " OFF("percent = 50;") END, "percent must be 0 or 100"},
		{"claim = " OFF("") "claim = " OFF("") END, "duplicate"},
	};
	flags_wish w[FLAGS_COUNT];
	char why[CFG_WHY_BYTES];

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		if (flags_parse("f", rows[i].text, w, why) != ERR_CONFIG_INVALID)
			fail_msg("accepted \"%s\"", rows[i].text);
		if (!strstr(why, rows[i].why))
			fail_msg("\"%s\": said \"%s\"", rows[i].text, why);
	}
}

static void a_bad_file_changes_nothing_and_a_restart_neither(void **state)
{
	static const char *const bad[] = {
		"", "claim = {", "claim = 1;\n" END, "\x01\x02\xff", END "#" END "x"};

	(void)state;
	write_flags("claim = " OFF("") END);
	flags_begin(dir, "A");
	assert_true(flags_off(FLAGS_CLAIM, 1));
	for (size_t i = 0; i < UNIT_COUNT(bad); i++) {
		write_flags(bad[i]);
		flags_look();
		assert_true(flags_off(FLAGS_CLAIM, 1));
		assert_int_equal(metrics_get(METRICS_FLAGS_BAD, 0), 1);
		flags_begin(dir, "A"); /* as a program that starts now does */
		assert_true(flags_off(FLAGS_CLAIM, 1));
	}
	unlink(files_path(dir, "flags.cfg"));
	flags_look();
	assert_true(flags_off(FLAGS_CLAIM, 1));
	write_flags(END);
	flags_look();
	assert_false(flags_off(FLAGS_CLAIM, 1));
	assert_int_equal(metrics_get(METRICS_FLAGS_BAD, 0), 0);
	assert_int_equal(metrics_get(METRICS_FLAGS_VERSION, 0), flags_version(END));
}

static void what_the_file_says_is_told_whether_it_is_applied_or_not(void **state)
{
	flags_wish w[FLAGS_COUNT];
	char why[CFG_WHY_BYTES], json[512];
	jw_t out;

	(void)state;
	write_flags(END);
	flags_begin(dir, "A");
	write_flags("claim = " OFF("cells = [ \"B\" ];") END);
	assert_int_equal(flags_said_now(w, why), ERR_OK);
	assert_false(flags_off(FLAGS_CLAIM, 1));
	for (unsigned i = 0; i < FLAGS_COUNT; i++)
		assert_int_equal(w[i].given, i == FLAGS_CLAIM);
	jw_start_fixed(&out, json, sizeof(json));
	jw_obj(&out, NULL);
	flags_write(&out, &w[FLAGS_CLAIM]);
	jw_obj_end(&out);
	assert_true(jw_end(&out) > 0);
	assert_non_null(strstr(json, "{\"given\":true,\"state\":\"off\",\"percent\":100,"
				     "\"cells\":\"B\","));
	write_flags("claim = " OFF("cells = [ \"B\" ];"));
	assert_int_equal(flags_said_now(w, why), ERR_CONFIG_INVALID);
	assert_non_null(strstr(why, "complete"));
	assert_false(w[FLAGS_CLAIM].given);
}

static void percent_is_of_users_and_always_the_same_ones(void **state)
{
	enum { USERS = 100000 };
	static bool first[USERS];
	unsigned off = 0, both = 0;

	(void)state;
	write_flags("claim = " OFF("percent = 30;") "rain = " OFF("percent = 30;") END);
	flags_begin(dir, "A");
	for (unsigned uid = 0; uid < USERS; uid++) {
		first[uid] = flags_off(FLAGS_CLAIM, uid);
		off += first[uid];
		both += first[uid] && flags_off(FLAGS_RAIN, uid);
	}
	assert_in_range(off, USERS * 29 / 100, USERS * 31 / 100);
	assert_in_range(
		both, USERS * 8 / 100, USERS * 10 / 100); /* one flag's users are not the other's */
	write_flags("claim = " OFF("percent = 60;") END);
	flags_look();
	for (unsigned uid = 0; uid < USERS; uid++)
		assert_true(!first[uid] ||
			    flags_off(FLAGS_CLAIM, uid)); /* more percent, the same and others */
}

static void scope_and_expiry_bound_it(void **state)
{
	char text[512], at[CLK_RFC3339_BYTES];

	(void)state;
	write_flags("claim = " OFF("cells = [ \"B\" ];") "rain = " OFF(
		"interfaces = [ \"rain_draw\" ];") END);
	flags_begin(dir, "A");
	assert_false(flags_off(FLAGS_CLAIM, 1));
	assert_true(flags_off_at(FLAGS_RAIN, ROUTES_ID_rain_draw, 1));
	assert_false(flags_off_at(FLAGS_RAIN, ROUTES_ID_rains, 1));
	assert_true(flags_refuses(ROUTES_ID_rain_draw, 1));
	assert_false(flags_refuses(ROUTES_ID_rains, 1));
	flags_begin(dir, "B");
	assert_true(flags_off(FLAGS_CLAIM, 1));

	const int64_t until = clk_wall_ms() + 1200;
	clk_rfc3339(until, at);
	snprintf(text, sizeof(text),
		"claim = { state = \"off\"; reason = \"r\"; expires_at = \"%s\"; };\n" END, at);
	write_flags(text);
	flags_look();
	assert_true(flags_off(FLAGS_CLAIM, 1));
	while (clk_wall_ms() < until + 1000)
		clk_sleep_ms(20);
	assert_false(flags_off(FLAGS_CLAIM, 1));
	flags_look();
	assert_int_equal(metrics_get(METRICS_FLAG_OFF, FLAGS_CLAIM), 0);
}

static flags_word said(uint64_t who)
{
	return flags_said(FLAGS_TOKEN_LIST, ROUTES_ID_subsidies, who);
}

/* What a breaker may decide is what nobody has said. */
static void on_is_said_as_well_as_off_and_the_rest_is_unsaid(void **state)
{
	unsigned off = 0, on = 0;

	(void)state;
	write_flags(END);
	flags_begin(dir, "A");
	assert_int_equal(said(1), FLAGS_UNSAID);
	write_flags("token_list = " OFF("percent = 30;") END);
	flags_look();
	for (uint64_t uid = 1; uid <= 1000; uid++) {
		assert_int_not_equal(said(uid), FLAGS_ON);
		off += said(uid) == FLAGS_OFF;
	}
	assert_in_range(off, 250, 350);
	write_flags("token_list = { state = \"on\"; reason = \"r\"; percent = 30; };\n" END);
	flags_look();
	for (uint64_t uid = 1; uid <= 1000; uid++) {
		assert_int_not_equal(said(uid), FLAGS_OFF);
		on += said(uid) == FLAGS_ON;
	}
	assert_int_equal(on, off);
	write_flags("token_list = { state = \"on\"; reason = \"r\"; cells = [ \"B\" ]; };\n" END);
	flags_look();
	assert_int_equal(said(1), FLAGS_UNSAID);
	write_flags("token_list = { state = \"on\"; reason = \"r\"; "
		    "expires_at = \"2020-01-01T00:00:00Z\"; };\n" END);
	flags_look();
	assert_int_equal(said(1), FLAGS_UNSAID);
	write_flags("token_list = { state = \"on\"; reason = \"r\"; };\n" END);
	flags_look();
	assert_int_equal(said(1), FLAGS_ON);
}

static void extra_flags_refuse_nothing_at_the_gate(void **state)
{
	(void)state;
	write_flags("fairness = " OFF("") "c2c_send = " OFF("") "b2c_send = " OFF("") END);
	flags_begin(dir, "A");
	assert_true(flags_off(FLAGS_FAIRNESS, 1));
	for (unsigned i = 0; i < ROUTES_COUNT; i++)
		assert_false(flags_refuses((routes_id)i, 1)); /* of sends, the body tells */
}

static void labels_of_the_metric_are_the_flags(void **state)
{
	char *text, want[64];
	size_t len;
	metrics_owner owner = {.program = "test_flags", .cell = "A", .site = "s"};
	const char *metrics = files_path(dir, "metrics");

	(void)state;
	assert_int_equal(metrics_open(metrics, &owner), ERR_OK);
	for (unsigned i = 0; i < FLAGS_COUNT; i++)
		metrics_set(METRICS_FLAG_OFF, i, 1 + i);
	assert_int_equal(metrics_render(files_path(dir, "metrics"), &text, &len), ERR_OK);
	for (unsigned i = 0; i < FLAGS_COUNT; i++) {
		snprintf(want, sizeof(want), "flag=\"%s\"} %u\n", flags_table()[i].name, 1 + i);
		if (!strstr(text, want))
			fail_msg("missing: %s", want);
	}
	free(text);
}

static void an_edit_leaves_everything_else(void **state)
{
	static const char before[] =
		"# claim = { not this }\n"
		"rain={state=\"on\";reason=\"} claim = {\";};\n"
		"claim : /* { */ {\n\tstate = \"off\"; # }\n\treason = \"x\";\n} # mine\n"
		"\n# end\n" END;
	flags_wish w = {.given = true,
		.off = true,
		.percent = 7,
		.set_at_ms = 1000,
		.interfaces = 1,
		.cells = "AB",
		.reason = "say \"hi\" \\",
		.owner = "li"};
	flags_wish got[FLAGS_COUNT];
	char why[CFG_WHY_BYTES];

	(void)state;
	assert_int_equal(flags_parse("f", before, got, why), ERR_OK);
	char *group = flags_text_group(FLAGS_CLAIM, &w);
	char *after = flags_text_with(before, "claim", group);
	if (flags_parse("f", after, got, why) != ERR_OK)
		fail_msg("%s\n%s", why, after);
	assert_true(got[FLAGS_CLAIM].off);
	assert_int_equal(got[FLAGS_CLAIM].percent, 7);
	assert_int_equal(got[FLAGS_CLAIM].set_at_ms, 1000);
	assert_string_equal(got[FLAGS_CLAIM].cells, "AB");
	assert_string_equal(got[FLAGS_CLAIM].reason, w.reason);
	assert_string_equal(got[FLAGS_RAIN].reason, "} claim = {");
	assert_non_null(strstr(after, "# claim = { not this }\nrain={"));
	assert_non_null(strstr(after, "# mine\n\n# end\n" END));

	char *cleared = flags_text_with(after, "claim", "");
	assert_int_equal(flags_parse("f", cleared, got, why), ERR_OK);
	assert_false(got[FLAGS_CLAIM].given);
	char *again = flags_text_with(cleared, "claim", group);
	assert_int_equal(flags_parse("f", again, got, why), ERR_OK);
	assert_true(got[FLAGS_CLAIM].off);
	assert_string_equal(again + strlen(again) - strlen(END), END);
	free(group);
	free(after);
	free(cleared);
	free(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bad_file_is_refused_with_line_and_reason),
		cmocka_unit_test(a_bad_file_changes_nothing_and_a_restart_neither),
		cmocka_unit_test(what_the_file_says_is_told_whether_it_is_applied_or_not),
		cmocka_unit_test(percent_is_of_users_and_always_the_same_ones),
		cmocka_unit_test(scope_and_expiry_bound_it),
		cmocka_unit_test(on_is_said_as_well_as_off_and_the_rest_is_unsaid),
		cmocka_unit_test(extra_flags_refuse_nothing_at_the_gate),
		cmocka_unit_test(labels_of_the_metric_are_the_flags),
		cmocka_unit_test(an_edit_leaves_everything_else),
	};

	int failed;

	dir = files_dir();
	failed = cmocka_run_group_tests_name("flags", tests, NULL, NULL);
	files_remove_dir(dir);
	return failed;
}
