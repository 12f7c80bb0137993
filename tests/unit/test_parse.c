/* What strangers send: tables of what is accepted and what is not. */
#include "base/parse.h"
#include "tests/unit/unit.h"
#include <string.h>

static void numbers_are_plain_decimal(void **state)
{
	static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "01", "00", "1.0", "0x1",
		"18446744073709551616", "99999999999999999999", "1a", "١"};
	uint64_t v = 7;

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (parse_u64(bad[i], UINT64_MAX, &v))
			fail_msg("accepted \"%s\"", bad[i]);
	assert_false(parse_u64(NULL, UINT64_MAX, &v));
	assert_int_equal(v, 7);
	assert_true(parse_u64("0", 0, &v));
	assert_int_equal(v, 0);
	assert_true(parse_u64("18446744073709551615", UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_true(parse_u64n("12345", 3, 1000, &v));
	assert_int_equal(v, 123);
}

static void numbers_end_at_the_limit(void **state)
{
	uint64_t v;

	(void)state;
	assert_true(parse_u64("1000", 1000, &v));
	assert_false(parse_u64("1001", 1000, &v));
	assert_true(parse_u64("9223372036854775807", INT64_MAX, &v));
	assert_false(parse_u64("9223372036854775808", INT64_MAX, &v));
}

static void text_is_utf8_without_controls(void **state)
{
	static const char *const good[] = {"", "abc", "恭喜发财", "🧧", "\xc2\xa0",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {"\x01", "a\n", "\x7f", "\xc2\x85", "\x80", "\xc0\xaf",
		"\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xe4\xbd", "\xff", "a\xe4"};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(good); i++)
		if (!parse_text_ok(good[i], strlen(good[i])))
			fail_msg("refused good[%zu]", i);
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (parse_text_ok(bad[i], strlen(bad[i])))
			fail_msg("accepted bad[%zu]", i);
	assert_false(parse_text_ok("a\0b", 3));
	assert_false(parse_text_ok("恭", 2));
	assert_int_equal(parse_text_chars("恭喜abc🧧", strlen("恭喜abc🧧")), 6);
}

static void decimals_are_exact(void **state)
{
	static const struct {
		uint64_t v;
		const char *text;
	} rows[] = {{0, "0"}, {9, "9"}, {10, "10"}, {1234567890, "1234567890"},
		{UINT64_MAX, "18446744073709551615"}};
	char out[PARSE_DECIMAL_BYTES];

	(void)state;
	for (unsigned i = 0; i < UNIT_COUNT(rows); i++) {
		assert_int_equal(parse_to_decimal(rows[i].v, out), strlen(rows[i].text));
		assert_memory_equal(out, rows[i].text, strlen(rows[i].text));
	}
}

static void hex_is_exact(void **state)
{
	uint8_t b[3] = {0};
	char text[7];

	(void)state;
	assert_true(parse_hex("00fFa5", 3, b));
	assert_memory_equal(b, "\x00\xff\xa5", 3);
	parse_to_hex(b, 3, text);
	assert_string_equal(text, "00ffa5");
	assert_false(parse_hex("00ff", 3, b));
	assert_false(parse_hex("00ffa500", 3, b));
	assert_false(parse_hex("00ffag", 3, b));
	assert_false(parse_hex(NULL, 3, b));
}

static void base64url_goes_there_and_back(void **state)
{
	uint8_t in[64], out[64];
	char text[100];
	size_t got;

	(void)state;
	for (size_t n = 0; n <= sizeof(in); n++) {
		size_t len;

		for (size_t i = 0; i < n; i++)
			in[i] = (uint8_t)(i * 37 + n * 11);
		len = parse_to_b64(in, n, text, sizeof(text));
		assert_int_equal(len, strlen(text));
		assert_true(parse_b64(text, len, out, sizeof(out), &got));
		assert_int_equal(got, n);
		assert_memory_equal(in, out, n);
	}
	parse_to_b64((const uint8_t *)"\xfb\xff\xfe", 3, text, sizeof(text));
	assert_string_equal(text, "-__-");
}

static void base64url_has_one_spelling(void **state)
{
	static const char *const bad[] = {
		"A", "AB", "AAB", "AA==", "A+AA", "A/AA", "AA A", "AAAAA"};
	uint8_t out[8];
	size_t got;

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (parse_b64(bad[i], strlen(bad[i]), out, sizeof(out), &got))
			fail_msg("accepted \"%s\"", bad[i]);
	assert_false(parse_b64("AA\0A", 4, out, sizeof(out), &got));
	assert_true(parse_b64("AAAA", 4, out, 3, &got));
	assert_false(parse_b64("AAAA", 4, out, 2, &got));
	assert_true(parse_b64("AA", 2, out, 1, &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_plain_decimal),
		cmocka_unit_test(numbers_end_at_the_limit),
		cmocka_unit_test(text_is_utf8_without_controls),
		cmocka_unit_test(decimals_are_exact),
		cmocka_unit_test(hex_is_exact),
		cmocka_unit_test(base64url_goes_there_and_back),
		cmocka_unit_test(base64url_has_one_spelling),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
