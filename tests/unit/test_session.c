/* Tokens: the exact form, and that any change of a byte is noticed. */
#include "base/parse.h"
#include "domain/session.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
/* printf %s hb1.1001.2000.k1 | openssl dgst -sha256 -mac HMAC -macopt hexkey:KEY_1 -binary |
 * base64url */
#define TOKEN "hb1.1001.2000.k1.EWi1n0aQUrdAtqST6fOyqpa6tqFGMDqMPIR-m8amvC0"

static keys_ring_t *keys;

static keys_ring_t *load(const char *text)
{
	const char *dir = files_dir();
	keys_ring_t *r = NULL;

	assert_int_equal(keys_load(files_write(dir, "k", 0400, text), &r), ERR_OK);
	files_remove_dir(dir);
	return r;
}

static err_t verify(const char *token, int64_t now_s)
{
	uint64_t uid;
	int64_t expires;

	return session_verify(keys, token, now_s, &uid, &expires);
}

static void a_token_is_what_others_compute(void **state)
{
	char token[SESSION_TOKEN_BYTES];
	uint64_t uid = 0;
	int64_t expires = 0;

	(void)state;
	session_mint(keys, 1001, 2000, token);
	assert_string_equal(token, TOKEN);
	assert_int_equal(session_verify(keys, TOKEN, 1999, &uid, &expires), ERR_OK);
	assert_int_equal(uid, 1001);
	assert_int_equal(expires, 2000);
	assert_int_equal(verify(TOKEN, 2000), ERR_SESSION_INVALID);
}

static void any_changed_byte_is_noticed(void **state)
{
	char token[sizeof(TOKEN)];

	(void)state;
	for (size_t i = 0; i < sizeof(TOKEN) - 1; i++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(token, TOKEN, sizeof(TOKEN));
			token[i] = (char)(token[i] ^ 1 << bit);
			if (verify(token, 1) != ERR_SESSION_INVALID)
				fail_msg("accepted %s", token);
		}
	for (size_t n = 0; n < sizeof(TOKEN) - 1; n++) {
		memcpy(token, TOKEN, sizeof(TOKEN));
		token[n] = '\0';
		assert_int_equal(verify(token, 1), ERR_SESSION_INVALID);
	}
}

static void malformed_tokens_are_refused(void **state)
{
	static char endless[4096];
	/* correctly signed, but not in our one spelling */
	static const char *const signed_texts[] = {"hb1.01001.2000.k1", "hb1.0.2000.k1",
		"hb1.-1.2000.k1", "hb1.1000000000000000000.2000.k1", "hb1.1001.2000.0.k1",
		"hb1.1001..k1", "hb1.1001.253402300800.k1", "hb2.1001.2000.k1", "hb1..2000.k1",
		"hb1.1001.k1", "hb1. 1001.2000.k1"};

	(void)state;
	memset(endless, '.', sizeof(endless) - 1);
	assert_int_equal(verify(NULL, 1), ERR_SESSION_INVALID);
	assert_int_equal(verify("", 1), ERR_SESSION_INVALID);
	assert_int_equal(verify(endless, 1), ERR_SESSION_INVALID);
	assert_int_equal(verify(TOKEN ".", 1), ERR_SESSION_INVALID);
	assert_int_equal(verify(TOKEN "=", 1), ERR_SESSION_INVALID);
	for (size_t i = 0; i < UNIT_COUNT(signed_texts); i++) {
		keys_part part = {signed_texts[i], strlen(signed_texts[i])};
		char token[SESSION_TOKEN_BYTES], mac64[64];
		uint8_t mac[32];

		assert_true(keys_sign(keys, "k1", &part, 1, mac));
		parse_to_b64(mac, 32, mac64, sizeof(mac64));
		snprintf(token, sizeof(token), "%s.%s", signed_texts[i], mac64);
		if (verify(token, 1) != ERR_SESSION_INVALID)
			fail_msg("accepted %s", signed_texts[i]);
	}
}

static void old_keys_verify_until_they_are_dropped(void **state)
{
	keys_ring_t *both = load("k2 " KEY_2 "\nk1 " KEY_1 "\n"), *two = load("k2 " KEY_2 "\n");
	uint64_t uid;
	int64_t expires;

	(void)state;
	assert_int_equal(session_verify(both, TOKEN, 1, &uid, &expires), ERR_OK);
	assert_int_equal(session_verify(two, TOKEN, 1, &uid, &expires), ERR_SESSION_INVALID);
	keys_free(&both);
	keys_free(&two);
}

static void the_largest_token_fits(void **state)
{
	keys_ring_t *r = load("abcdefgh " KEY_1 "\n");
	char token[SESSION_TOKEN_BYTES];
	session_relation rel;
	uint64_t uid;
	int64_t expires;

	(void)state;
	session_mint(r, UINT64_C(999999999999999999), 253402300799, token);
	assert_int_equal(session_verify(r, token, 1, &uid, &expires), ERR_OK);
	session_grant_mint(r, UINT64_C(999999999999999999), UINT64_C(999999999999999998),
		SESSION_FRIEND, 253402300799, token);
	assert_int_equal(session_grant_verify(r, token, UINT64_C(999999999999999999),
				 UINT64_C(999999999999999998), 1, &rel),
		ERR_OK);
	keys_free(&r);
}

static void a_grant_is_bound_to_both_users_and_its_kind(void **state)
{
	char grant[SESSION_TOKEN_BYTES], session[SESSION_TOKEN_BYTES];
	session_relation r = 0;

	(void)state;
	session_grant_mint(keys, 7, 8, SESSION_FAN, 2000, grant);
	assert_memory_equal(grant, "hbg1.7.8.fan.2000.k1.", 21);
	assert_int_equal(session_grant_verify(keys, grant, 7, 8, 1999, &r), ERR_OK);
	assert_int_equal(r, SESSION_FAN);
	assert_int_equal(session_grant_verify(keys, grant, 7, 8, 2000, &r), ERR_TOKEN_INVALID);
	assert_int_equal(session_grant_verify(keys, grant, 8, 7, 1, &r), ERR_TOKEN_INVALID);
	assert_int_equal(session_grant_verify(keys, grant, 7, 9, 1, &r), ERR_TOKEN_INVALID);
	assert_int_equal(session_grant_verify(keys, grant, 6, 8, 1, &r), ERR_TOKEN_INVALID);
	assert_int_equal(verify(grant, 1), ERR_SESSION_INVALID);
	session_mint(keys, 7, 2000, session);
	assert_int_equal(session_grant_verify(keys, session, 7, 8, 1, &r), ERR_TOKEN_INVALID);
	strstr(grant, "fan")[2] = 'x';
	assert_int_equal(session_grant_verify(keys, grant, 7, 8, 1, &r), ERR_TOKEN_INVALID);
	session_grant_mint(keys, 7, 8, SESSION_FRIEND, 2000, grant);
	assert_int_equal(session_grant_verify(keys, grant, 7, 8, 1, &r), ERR_OK);
	assert_int_equal(r, SESSION_FRIEND);
}

static int setup(void **state)
{
	(void)state;
	if (keys_init())
		return -1;
	keys = load("k1 " KEY_1 "\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	keys_free(&keys);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_is_what_others_compute),
		cmocka_unit_test(any_changed_byte_is_noticed),
		cmocka_unit_test(malformed_tokens_are_refused),
		cmocka_unit_test(old_keys_verify_until_they_are_dropped),
		cmocka_unit_test(the_largest_token_fits),
		cmocka_unit_test(a_grant_is_bound_to_both_users_and_its_kind),
	};

	return cmocka_run_group_tests_name("session", tests, setup, teardown);
}
