/* token: what is sealed comes back, for its user only, and any changed byte is noticed. */
#include "domain/token.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"

#define KEY_1 "k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_2 "k2 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\n"

static keys_ring_t *keys;
static const token_win won = {.uid = 1001,
	.subsidy_id = UINT64_C(9223372036854701001),
	.out_order_no = "4294967295.4294967295.99.1001",
	.lease_id = UINT64_C(1234567801001),
	.campaign = 7,
	.amount_fen = 520,
	.expires_at_ms = INT64_C(1795000000123)};

static keys_ring_t *load(const char *text)
{
	const char *dir = files_dir();
	keys_ring_t *r = NULL;

	assert_int_equal(keys_load(files_write(dir, "k", 0400, text), &r), ERR_OK);
	files_remove_dir(dir);
	return r;
}

static void what_is_sealed_opens_for_its_user_only(void **state)
{
	char text[TOKEN_TEXT_BYTES];
	token_win got;

	(void)state;
	token_seal(keys, &won, text);
	assert_int_equal(strncmp(text, "hbs1.", 5), 0);
	assert_int_equal(token_open(keys, 1001, text, &got), ERR_OK);
	assert_int_equal(got.uid, won.uid);
	assert_int_equal(got.subsidy_id, won.subsidy_id);
	assert_string_equal(got.out_order_no, won.out_order_no);
	assert_int_equal(got.lease_id, won.lease_id);
	assert_int_equal(got.campaign, won.campaign);
	assert_int_equal(got.amount_fen, won.amount_fen);
	assert_int_equal(got.expires_at_ms, won.expires_at_ms);
	assert_int_equal(token_open(keys, 1002, text, &got), ERR_TOKEN_INVALID);
}

static void the_longest_number_fits(void **state)
{
	token_win win = won, got;
	char text[TOKEN_TEXT_BYTES];

	(void)state;
	memset(win.out_order_no, 'x', TOKEN_OUT_ORDER_BYTES - 1);
	token_seal(keys, &win, text);
	assert_int_equal(token_open(keys, 1001, text, &got), ERR_OK);
	assert_string_equal(got.out_order_no, win.out_order_no);
}

static void any_changed_or_missing_byte_is_noticed(void **state)
{
	char text[TOKEN_TEXT_BYTES], other[TOKEN_TEXT_BYTES];
	token_win got;

	(void)state;
	token_seal(keys, &won, text);
	size_t n = strlen(text);
	for (size_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(other, text, n + 1);
			other[i] = (char)(other[i] ^ 1 << bit);
			if (token_open(keys, 1001, other, &got) != ERR_TOKEN_INVALID)
				fail_msg("accepted %s", other);
		}
	for (size_t cut = 0; cut < n; cut++) {
		memcpy(other, text, n);
		other[cut] = '\0';
		assert_int_equal(token_open(keys, 1001, other, &got), ERR_TOKEN_INVALID);
	}
	memset(other, 'A', sizeof(other));
	memcpy(other, "hbs1.", 5);
	for (size_t cut = 5; cut < TOKEN_TEXT_BYTES; cut++) {
		other[cut] = '\0';
		assert_int_equal(token_open(keys, 1001, other, &got), ERR_TOKEN_INVALID);
		other[cut] = 'A';
	}
}

static void a_rotated_key_still_opens_and_a_dropped_one_does_not(void **state)
{
	char text[TOKEN_TEXT_BYTES];
	token_win got;
	keys_ring_t *rotated = load(KEY_2 KEY_1), *dropped = load(KEY_2);

	(void)state;
	token_seal(keys, &won, text);
	assert_int_equal(token_open(rotated, 1001, text, &got), ERR_OK);
	assert_int_equal(token_open(dropped, 1001, text, &got), ERR_TOKEN_INVALID);
	keys_free(&rotated);
	keys_free(&dropped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sealed_opens_for_its_user_only),
		cmocka_unit_test(the_longest_number_fits),
		cmocka_unit_test(any_changed_or_missing_byte_is_noticed),
		cmocka_unit_test(a_rotated_key_still_opens_and_a_dropped_one_does_not),
	};

	assert_int_equal(keys_init(), ERR_OK);
	keys = load(KEY_1);
	int failures = cmocka_run_group_tests_name("token", tests, NULL, NULL);
	keys_free(&keys);
	return failures;
}
