/* The configuration file: what is refused, and with which words. */
#include "base/conf.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"

static const char *dir;

static err_t load(const char *text, char why[256], conf_t **c)
{
	return conf_load(files_write(dir, "hongbao.cfg", 0600, text), why, c);
}

static void defaults_hold_without_a_file(void **state)
{
	char why[256];
	conf_t *c;

	(void)state;
	assert_int_equal(conf_load(NULL, why, &c), ERR_OK);
	assert_int_equal(conf_i(c, CONF_CLAIM_EXECUTORS), 1);
	assert_false(conf_b(c, CONF_DEMO_LOGIN));
	assert_true(conf_b(c, CONF_CLAIM_HASH));
	assert_string_equal(conf_s(c, CONF_LOG_LEVEL), "info");
	assert_string_equal(conf_s(c, CONF_TOPOLOGY), "");
	conf_free(&c);
	assert_null(c);
}

static void a_file_changes_what_it_names(void **state)
{
	char why[256];
	conf_t *c;

	(void)state;
	assert_int_equal(load("# a comment with 99999999999\n"
			      "claim = { executors = 3; hash = false; };\n"
			      "packet : { max_fen = 3000000000L; min_fen = 0x10; };\n"
			      "paths = { secrets = \"/run/99999999999\"; }; /* 3000000000 */\n",
				 why, &c),
		ERR_OK);
	assert_int_equal(conf_i(c, CONF_CLAIM_EXECUTORS), 3);
	assert_false(conf_b(c, CONF_CLAIM_HASH));
	assert_int_equal(conf_i(c, CONF_PACKET_MAX_FEN), 3000000000);
	assert_int_equal(conf_i(c, CONF_PACKET_MIN_FEN), 16);
	assert_string_equal(conf_secret_path(c, "seal.keys"), "/run/99999999999/seal.keys");
	conf_free(&c);
}

static void bad_files_are_refused_with_the_line(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"claim = {\n executers = 2; };",
			"hongbao.cfg:2: there is no option claim.executers"},
		{"clam = { };", "hongbao.cfg:1: there is no option clam"},
		{"claim = 3;", "hongbao.cfg:1: there is no option claim"},
		{"claim = { executors = { }; };",
			"hongbao.cfg:1: claim.executors must be an integer"},
		{"claim = { executors = 0; };", "must be an integer in 1..32 (connections)"},
		{"claim = { executors = 33; };", "in 1..32"},
		{"claim = { executors = 2.0; };", "must be an integer"},
		{"claim = { executors = \"2\"; };", "must be an integer"},
		{"claim = { hash = 1; };", "claim.hash must be true or false"},
		{"paths = { secrets = 1; };", "paths.secrets must be a string"},
		{"\npacket = { max_fen =\n 99999999999; };", "line 3"},
		{"packet = { max_fen = 3000000000; };", "needs the suffix L"},
		{"packet = { max_fen = -2147483649; };", "needs the suffix L"},
		{"packet = { max_fen = 0xFFFFFFFF; };", "needs the suffix L"},
		{"packet = { max_fen = 0000099999999999; };", "needs the suffix L"},
		{"packet = { max_fen = 9223372036854775808L; };", "beyond"},
		{"packet = { max_fen = 100000000001L; };", "must be an integer in"},
		{"@include \"other.cfg\"\n", "@include is not supported"},
		{"claim = { executors = 2; executors = 3; };", "line 1: duplicate"},
		{"claim = { executors = 2", "line 1: syntax error"},
		{"log = { level = \"loud\"; };", "log.level must be debug"},
		{"packet = { min_fen = 100; max_fen = 99; };",
			"packet.min_fen is above packet.max_fen"},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		char why[256] = "";
		conf_t *c = NULL;

		if (load(rows[i].text, why, &c) != ERR_CONFIG_INVALID || c)
			fail_msg("accepted: %s", rows[i].text);
		if (!strstr(why, rows[i].why))
			fail_msg("%s: said \"%s\"", rows[i].text, why);
	}
}

static void a_missing_file_is_refused(void **state)
{
	char why[256];
	conf_t *c;

	(void)state;
	assert_int_equal(conf_load("/nonexistent/x.cfg", why, &c), ERR_CONFIG_INVALID);
	assert_non_null(strstr(why, "/nonexistent/x.cfg"));
	assert_int_equal(conf_load(dir, why, &c), ERR_CONFIG_INVALID);
}

static void set_checks_like_the_file(void **state)
{
	static const char *const bad[][2] = {{"claim.executors", "0"}, {"claim.executors", "33"},
		{"claim.executors", "x"}, {"claim.executors", "-1"}, {"claim.hash", "yes"},
		{"log.level", "loud"}, {"nothing", "1"}, {"poll.first_ms", "10001"}};
	char why[256];
	conf_t *c;

	(void)state;
	assert_int_equal(conf_load(NULL, why, &c), ERR_OK);
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		assert_int_equal(conf_set(c, bad[i][0], bad[i][1], why), ERR_CONFIG_INVALID);
	assert_string_equal(conf_s(c, CONF_LOG_LEVEL), "info");
	assert_int_equal(conf_i(c, CONF_POLL_FIRST_MS), 500);
	assert_int_equal(conf_set(c, "claim.executors", "32", why), ERR_OK);
	assert_int_equal(conf_set(c, "claim.hash", "false", why), ERR_OK);
	assert_int_equal(conf_set(c, "log.level", "debug", why), ERR_OK);
	assert_int_equal(conf_i(c, CONF_CLAIM_EXECUTORS), 32);
	assert_false(conf_b(c, CONF_CLAIM_HASH));
	assert_string_equal(conf_s(c, CONF_LOG_LEVEL), "debug");
	conf_free(&c);
}

static void the_printed_file_reads_back(void **state)
{
	char why[256], *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	conf_t *c, *again;

	(void)state;
	assert_int_equal(conf_load(NULL, why, &c), ERR_OK);
	assert_int_equal(conf_set(c, "packet.max_fen", "3000000000", why), ERR_OK);
	assert_int_equal(conf_set(c, "paths.secrets", "a\"b\\c\nd 恭", why), ERR_OK);
	conf_print_file(c, to);
	fclose(to);
	if (load(text, why, &again))
		fail_msg("%s\n%s", why, text);
	assert_int_equal(conf_i(again, CONF_PACKET_MAX_FEN), 3000000000);
	assert_string_equal(conf_s(again, CONF_SECRETS), "a\"b\\c\nd 恭");
	conf_free(&c);
	conf_free(&again);
	free(text);
}

static void what_is_a_right_by_itself_is_not_printed(void **state)
{
	char why[256], *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	conf_t *c, *again;

	(void)state;
	assert_int_equal(conf_load(NULL, why, &c), ERR_OK);
	assert_int_equal(conf_set(c, "alert.url", "https://bot.example/hook/4711", why), ERR_OK);
	conf_print_file(c, to);
	fclose(to);
	assert_null(strstr(text, "4711"));
	assert_non_null(strstr(text, "\n  # url is set, and not shown\n"));
	assert_int_equal(load(text, why, &again), ERR_OK);
	conf_free(&c);
	conf_free(&again);
	free(text);
}

static void the_table_has_a_line_per_option(void **state)
{
	char *text = NULL;
	size_t len = 0, lines = 0;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	conf_print_markdown(to);
	fclose(to);
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	assert_int_equal(lines, CONF_COUNT + 6);
	assert_non_null(strstr(text, "| `claim.executors` | 1 | 1 – 32 | connections | "));
	free(text);
}

static int setup(void **state)
{
	(void)state;
	dir = files_dir();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	files_remove_dir(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_hold_without_a_file),
		cmocka_unit_test(a_file_changes_what_it_names),
		cmocka_unit_test(bad_files_are_refused_with_the_line),
		cmocka_unit_test(a_missing_file_is_refused),
		cmocka_unit_test(set_checks_like_the_file),
		cmocka_unit_test(the_printed_file_reads_back),
		cmocka_unit_test(what_is_a_right_by_itself_is_not_printed),
		cmocka_unit_test(the_table_has_a_line_per_option),
	};

	return cmocka_run_group_tests_name("conf", tests, setup, teardown);
}
