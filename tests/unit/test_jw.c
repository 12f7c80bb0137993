/* The writer's output is read back by jansson, which is strict. */
#include "base/jw.h"
#include "tests/unit/unit.h"
#include <jansson.h>
#include <string.h>

static void every_type_has_its_shape(void **state)
{
	static const char want[] =
		"{\"s\":\"a\",\"n\":null,\"i\":-9223372036854775808,\"t\":true,\"f\":false,\"z\":"
		"null,"
		"\"id\":\"18446744073709551615\",\"m\":{\"amount\":188,\"currency\":\"CNY\"},"
		"\"at\":\"1970-01-01T00:00:00.042Z\",\"h\":\"00ff\",\"r\":[1],\"a\":[\"x\",[],{}]}";
	arena_t *a = arena_new(1 << 16);
	jw_t w;

	(void)state;
	jw_start(&w, a);
	jw_obj(&w, NULL);
	jw_strn(&w, "s", "abc", 1);
	jw_str(&w, "n", NULL);
	jw_i64(&w, "i", INT64_MIN);
	jw_bool(&w, "t", true);
	jw_bool(&w, "f", false);
	jw_null(&w, "z");
	jw_id(&w, "id", UINT64_MAX);
	jw_money(&w, "m", 188);
	jw_time(&w, "at", 42);
	jw_hex(&w, "h", (const uint8_t *)"\x00\xff", 2);
	jw_raw(&w, "r", "[1]", 3);
	jw_arr(&w, "a");
	jw_str(&w, NULL, "x");
	jw_arr(&w, NULL);
	jw_arr_end(&w);
	jw_obj(&w, NULL);
	jw_obj_end(&w);
	jw_arr_end(&w);
	jw_obj_end(&w);
	assert_int_equal(jw_end(&w), strlen(want));
	assert_string_equal(w.buf, want);
	arena_free(&a);
}

static void strings_are_escaped(void **state)
{
	char buf[128];
	jw_t w;

	(void)state;
	jw_start_fixed(&w, buf, sizeof(buf));
	jw_strn(&w, NULL, "\"\\\n\x1f/恭\0z", 10);
	jw_end(&w);
	assert_string_equal(buf, "\"\\\"\\\\\\u000a\\u001f/恭\\u0000z\"");
}

static void invalid_utf8_becomes_the_replacement(void **state)
{
	char buf[128];
	jw_t w;

	(void)state;
	jw_start_fixed(&w, buf, sizeof(buf));
	jw_str(&w, NULL, "a\xff\xe4\xbdz\xc0\x80");
	jw_end(&w);
	assert_string_equal(
		buf, "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void any_bytes_give_valid_json(void **state)
{
	char buf[2048], bytes[256];
	json_t *root;
	jw_t w;

	(void)state;
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	jw_start_fixed(&w, buf, sizeof(buf));
	jw_arr(&w, NULL);
	jw_strn(&w, NULL, bytes, sizeof(bytes));
	jw_arr_end(&w);
	assert_true(jw_end(&w) > 0);
	root = json_loads(buf, JSON_ALLOW_NUL, NULL);
	assert_non_null(root);
	json_decref(root);
}

static void a_full_fixed_buffer_says_so(void **state)
{
	char buf[8];
	jw_t w;

	(void)state;
	jw_start_fixed(&w, buf, sizeof(buf));
	jw_strn(&w, NULL, "12345", 5);
	assert_int_equal(jw_end(&w), 7);
	jw_start_fixed(&w, buf, sizeof(buf));
	jw_strn(&w, NULL, "123456", 6);
	assert_int_equal(jw_end(&w), 0);
	assert_true(w.overflow);
	assert_string_equal(buf, "");
}

static void an_arena_buffer_grows(void **state)
{
	arena_t *a = arena_new(1 << 22);
	json_t *root;
	jw_t w;

	(void)state;
	jw_start(&w, a);
	jw_arr(&w, NULL);
	for (int i = 0; i < 20000; i++)
		jw_i64(&w, NULL, i);
	jw_arr_end(&w);
	assert_true(jw_end(&w) > 100000);
	root = json_loads(w.buf, 0, NULL);
	assert_int_equal(json_array_size(root), 20000);
	json_decref(root);
	arena_free(&a);
}

static void thirty_two_levels_are_kept_apart(void **state)
{
	char buf[512];
	jw_t w;

	(void)state;
	jw_start_fixed(&w, buf, sizeof(buf));
	for (int i = 0; i < 32; i++)
		jw_obj(&w, i ? "k" : NULL);
	jw_i64(&w, "k", 1);
	for (int i = 0; i < 32; i++) {
		jw_obj_end(&w);
		if (i < 31)
			jw_i64(&w, "l", i);
	}
	assert_true(jw_end(&w) > 0);
	assert_non_null(strstr(buf, "{\"k\":1},\"l\":0},\"l\":1}"));
}

static jw_t misused;
static char misused_buf[64];

static void key_in_an_array(void)
{
	jw_start_fixed(&misused, misused_buf, sizeof(misused_buf));
	jw_arr(&misused, NULL);
	jw_i64(&misused, "k", 1);
}

static void no_key_in_an_object(void)
{
	jw_start_fixed(&misused, misused_buf, sizeof(misused_buf));
	jw_obj(&misused, NULL);
	jw_i64(&misused, NULL, 1);
}

static void end_of_another_kind(void)
{
	jw_start_fixed(&misused, misused_buf, sizeof(misused_buf));
	jw_obj(&misused, NULL);
	jw_arr_end(&misused);
}

static void end_while_open(void)
{
	jw_start_fixed(&misused, misused_buf, sizeof(misused_buf));
	jw_obj(&misused, NULL);
	jw_end(&misused);
}

static void two_outermost_values(void)
{
	jw_start_fixed(&misused, misused_buf, sizeof(misused_buf));
	jw_i64(&misused, NULL, 1);
	jw_i64(&misused, NULL, 1);
}

static void misuse_aborts(void **state)
{
	(void)state;
	assert_true(unit_aborts(key_in_an_array));
	assert_true(unit_aborts(no_key_in_an_object));
	assert_true(unit_aborts(end_of_another_kind));
	assert_true(unit_aborts(end_while_open));
	assert_true(unit_aborts(two_outermost_values));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_its_shape),
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(invalid_utf8_becomes_the_replacement),
		cmocka_unit_test(any_bytes_give_valid_json),
		cmocka_unit_test(a_full_fixed_buffer_says_so),
		cmocka_unit_test(an_arena_buffer_grows),
		cmocka_unit_test(thirty_two_levels_are_kept_apart),
		cmocka_unit_test(misuse_aborts),
	};

	return cmocka_run_group_tests_name("jw", tests, NULL, NULL);
}
