/* The table of errors as clients meet it. */
#include "base/err.h"
#include "tests/unit/unit.h"
#include <string.h>

static void public_errors_have_texts_and_a_status(void **state)
{
	(void)state;
	for (int i = 1; i < ERR_COUNT; i++) {
		err_t e = err_public((err_t)i);

		assert_in_range(err_http(e), 400, 599);
		assert_true(
			*err_title(e) && *err_user_message(e, true) && *err_user_message(e, false));
		assert_int_equal(err_public(e), e);
	}
	assert_int_equal(err_http(ERR_OK), 200);
	assert_int_equal(err_public(ERR_OK), ERR_OK);
	assert_string_equal(err_code(ERR_OK), "OK");
	assert_string_equal(err_code(ERR_PACKET_BUSY), "PACKET_BUSY");
}

static void inside_errors_become_public_ones(void **state)
{
	static const struct {
		err_t inside, shown;
	} rows[] = {
		{ERR_DB_LOST, ERR_CELL_UNAVAILABLE},
		{ERR_DB_RETRY, ERR_CELL_UNAVAILABLE},
		{ERR_CONTROL_UNAVAILABLE, ERR_CELL_UNAVAILABLE},
		{ERR_DB_FAILED, ERR_INTERNAL},
		{ERR_DB_DUPLICATE, ERR_INTERNAL},
		{ERR_STATE_REFUSED, ERR_INTERNAL},
		{ERR_OUTCOME_UNKNOWN, ERR_OUTCOME_UNKNOWN},
		{ERR_NOT_FOUND, ERR_NOT_FOUND},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		assert_int_equal(err_public(rows[i].inside), rows[i].shown);
}

static void code_out_of_range(void)
{
	(void)err_code(ERR_COUNT);
}

static void a_bug_aborts(void **state)
{
	(void)state;
	assert_true(unit_aborts(code_out_of_range));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_errors_have_texts_and_a_status),
		cmocka_unit_test(inside_errors_become_public_ones),
		cmocka_unit_test(a_bug_aborts),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
