/* Published vectors where there are some; files that must be refused; what must not open. */
#include "base/clk.h"
#include "base/keys.h"
#include "base/parse.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"
#include <pthread.h>
#include <stdatomic.h>

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "202122232425262728292a2b2c2d2e2f303132333435363738393A3B3C3D3E3F"

static const char *dir;

static keys_ring_t *ring(const char *text)
{
	keys_ring_t *r = NULL;

	assert_int_equal(keys_load(files_write(dir, "k", 0400, text), &r), ERR_OK);
	return r;
}

static void sha256_and_hmac_match_the_vectors(void **state)
{
	/* FIPS 180-2 "abc", and openssl dgst -mac HMAC with KEY_1. */
	static const char *const want[] = {
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"411b9a51e8565e1fc79643b2a6c4672f4a3c3e573c33d0995a08748cb6128e8e"};
	const keys_part parts[] = {{"hello", 5}, {"", 0}, {" world", 6}};
	uint8_t out[32], key[32];
	char hex[65];

	(void)state;
	keys_sha256("abc", 3, out);
	parse_to_hex(out, 32, hex);
	assert_string_equal(hex, want[0]);
	assert_true(parse_hex(KEY_1, 32, key));
	keys_hmac(key, parts, 3, out);
	parse_to_hex(out, 32, hex);
	assert_string_equal(hex, want[1]);
}

static void the_first_key_signs_and_all_verify(void **state)
{
	keys_ring_t *old = ring("k1 " KEY_1 "\n"), *both = ring("k2 " KEY_2 "\nk1 " KEY_1);
	const keys_part part = {"text", 4}, other = {"texT", 4};
	char id[KEYS_ID_BYTES];
	uint8_t mac[32];

	(void)state;
	keys_current_id(both, id);
	assert_string_equal(id, "k2");
	assert_true(keys_sign(old, "k1", &part, 1, mac));
	assert_false(keys_sign(old, "k2", &part, 1, mac));
	assert_true(keys_verify(both, "k1", &part, 1, mac));
	assert_false(keys_verify(both, "k2", &part, 1, mac));
	assert_false(keys_verify(both, "k3", &part, 1, mac));
	assert_false(keys_verify(both, "k1", &other, 1, mac));
	mac[31] ^= 1;
	assert_false(keys_verify(both, "k1", &part, 1, mac));
	assert_true(keys_sign(both, "k2", &part, 1, mac));
	assert_false(keys_verify(old, "k2", &part, 1, mac));
	keys_free(&old);
	keys_free(&both);
	assert_null(both);
}

static void bad_files_are_refused(void **state)
{
	static const char *const bad[] = {"", "\n", "k1\n", "k1 \n", " " KEY_1 "\n",
		"k1  " KEY_1 "\n", "k1 " KEY_1 " \n", "k1 " KEY_1 "0\n", "K1 " KEY_1 "\n",
		"k12345678 " KEY_1 "\n", "k.1 " KEY_1 "\n", "k1 " KEY_1 "\n\nk2 " KEY_2 "\n",
		"k1 " KEY_1 "\nk1 " KEY_2 "\n", "k1 " KEY_1 "\r\n", "k1 zz" KEY_1 "\n",
		"k1 " KEY_1 " a:b \n", "k1 " KEY_1 "  a:b\n", "k1 " KEY_1 " a:b  c:d\n",
		"k1 " KEY_1 " A:b\n", "k1 " KEY_1 "\ta:b\n", "k1 " KEY_1 " until:9999999999\n",
		"k1 " KEY_1 "\nk2 " KEY_2 " until:\n", "k1 " KEY_1 "\nk2 " KEY_2 " until:x\n",
		"k1 " KEY_1 "\nk2 " KEY_2 " until:1 until:2\n"};
	static const mode_t wide[] = {0600, 0440, 0404, 0500, 0401, 0777};
	keys_ring_t *r = NULL;

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (keys_load(files_write(dir, "k", 0400, bad[i]), &r) != ERR_CONFIG_INVALID)
			fail_msg("accepted bad[%zu]", i);
	for (size_t i = 0; i < UNIT_COUNT(wide); i++)
		if (keys_load(files_write(dir, "k", wide[i], "k1 " KEY_1 "\n"), &r) !=
			ERR_CONFIG_INVALID)
			fail_msg("accepted mode %o", (unsigned)wide[i]);
	assert_int_equal(keys_load("/nonexistent", &r), ERR_CONFIG_INVALID);
	assert_int_equal(keys_load(dir, &r), ERR_CONFIG_INVALID);
	assert_null(r);
}

static void a_key_is_good_for_what_stands_behind_it(void **state)
{
	keys_ring_t *r = ring(
		"k1 " KEY_1 " campaign:demo campaign:x\nk2 " KEY_2 " campaign:*\nk3 " KEY_1 "\n");

	(void)state;
	assert_true(keys_allows(r, "k1", "campaign", "demo"));
	assert_true(keys_allows(r, "k1", "campaign", "x"));
	assert_false(keys_allows(r, "k1", "campaign", "dem"));
	assert_false(keys_allows(r, "k1", "campaign", "demo2"));
	assert_false(keys_allows(r, "k1", "camp", "demo"));
	assert_true(keys_allows(r, "k2", "campaign", "anything"));
	assert_false(keys_allows(r, "k2", "refund", "anything"));
	assert_false(keys_allows(r, "k3", "campaign", "demo"));
	assert_false(keys_allows(r, "k4", "campaign", "demo"));
	keys_free(&r);
}

static void sixteen_keys_fit_and_no_more(void **state)
{
	char text[2000] = "";
	keys_ring_t *r = NULL;

	(void)state;
	for (int i = 0; i < 16; i++)
		sprintf(text + strlen(text), "k%d " KEY_1 "\n", i);
	assert_int_equal(keys_load(files_write(dir, "k", 0400, text), &r), ERR_OK);
	keys_free(&r);
	sprintf(text + strlen(text), "k16 " KEY_1 "\n");
	assert_int_equal(keys_load(files_write(dir, "k", 0400, text), &r), ERR_CONFIG_INVALID);
}

static void a_secret_is_the_first_line(void **state)
{
	char out[8] = "before";

	(void)state;
	assert_int_equal(
		keys_secret(files_write(dir, "s", 0400, "1234567\nx"), out, sizeof(out)), ERR_OK);
	assert_string_equal(out, "1234567");
	assert_int_equal(keys_secret(files_write(dir, "s", 0400, "12345678"), out, sizeof(out)),
		ERR_CONFIG_INVALID);
	assert_int_equal(keys_secret(files_write(dir, "s", 0400, "\nx"), out, sizeof(out)),
		ERR_CONFIG_INVALID);
	assert_int_equal(keys_secret(files_write(dir, "s", 0440, "x"), out, sizeof(out)),
		ERR_CONFIG_INVALID);
	assert_string_equal(out, "1234567");
}

static void what_is_sealed_opens_only_as_it_was(void **state)
{
	keys_ring_t *one = ring("12345678 " KEY_1 "\n");
	keys_ring_t *both = ring("k2 " KEY_2 "\n12345678 " KEY_1 "\n");
	keys_ring_t *two = ring("k2 " KEY_2 "\n"), *fake = ring("12345678 " KEY_2 "\n");
	const keys_part ad = {"ad", 2}, other = {"aD", 2};
	uint8_t sealed[5 + KEYS_SEAL_OVERHEAD], again[sizeof(sealed)], plain[5];

	(void)state;
	keys_seal(one, "seed", &ad, "hello", 5, sealed);
	keys_seal(one, "seed", &ad, "hello", 5, again);
	assert_memory_not_equal(sealed, again, sizeof(sealed));
	assert_memory_equal(sealed, "12345678", 8);
	assert_int_equal(keys_open(both, "seed", &ad, sealed, sizeof(sealed), plain), ERR_OK);
	assert_memory_equal(plain, "hello", 5);
	assert_int_equal(
		keys_open(two, "seed", &ad, sealed, sizeof(sealed), plain), ERR_TOKEN_INVALID);
	assert_int_equal(
		keys_open(fake, "seed", &ad, sealed, sizeof(sealed), plain), ERR_TOKEN_INVALID);
	assert_int_equal(
		keys_open(one, "seec", &ad, sealed, sizeof(sealed), plain), ERR_TOKEN_INVALID);
	assert_int_equal(
		keys_open(one, "seed", &other, sealed, sizeof(sealed), plain), ERR_TOKEN_INVALID);
	assert_int_equal(
		keys_open(one, "seed", NULL, sealed, sizeof(sealed), plain), ERR_TOKEN_INVALID);
	for (size_t n = 0; n < sizeof(sealed); n++)
		assert_int_equal(keys_open(one, "seed", &ad, sealed, n, plain), ERR_TOKEN_INVALID);
	for (size_t i = 0; i < sizeof(sealed); i++) {
		sealed[i] ^= 4;
		assert_int_equal(keys_open(one, "seed", &ad, sealed, sizeof(sealed), plain),
			ERR_TOKEN_INVALID);
		sealed[i] ^= 4;
	}
	assert_int_equal(keys_open(one, "seed", &ad, sealed, sizeof(sealed), plain), ERR_OK);
	keys_free(&one);
	keys_free(&both);
	keys_free(&two);
	keys_free(&fake);
}

static void tags_are_bound_to_purpose_and_ring(void **state)
{
	keys_ring_t *one = ring("k1 " KEY_1 "\n"), *both = ring("k2 " KEY_2 "\nk1 " KEY_1 "\n");
	keys_ring_t *two = ring("k2 " KEY_2 "\n");
	const keys_part part = {"cursor", 6}, other = {"cursoR", 6};
	uint8_t tag[16];

	(void)state;
	keys_tag(one, "cursor", &part, 1, tag);
	assert_true(keys_tag_ok(one, "cursor", &part, 1, tag));
	assert_true(keys_tag_ok(both, "cursor", &part, 1, tag));
	assert_false(keys_tag_ok(two, "cursor", &part, 1, tag));
	assert_false(keys_tag_ok(one, "cursos", &part, 1, tag));
	assert_false(keys_tag_ok(one, "cursor", &other, 1, tag));
	tag[15] ^= 0x80;
	assert_false(keys_tag_ok(one, "cursor", &part, 1, tag));
	keys_free(&one);
	keys_free(&both);
	keys_free(&two);
}

static void put(const char *name, const char *text)
{
	char beside[300];

	snprintf(beside, sizeof(beside), "%s", files_write(dir, "beside", 0400, text));
	assert_int_equal(rename(beside, files_path(dir, name)), 0);
}

static void a_ring_follows_its_file(void **state)
{
	keys_ring_t *r = ring("k1 " KEY_1 "\n");
	const keys_part part = {"text", 4};
	const int64_t was = keys_version("k");
	char id[KEYS_ID_BYTES];
	uint8_t one[32], two[32];

	(void)state;
	assert_true(was > 0);
	assert_true(keys_sign(r, "k1", &part, 1, one));
	put("k", "k2 " KEY_2 "\nk1 " KEY_1 " until:9999999999\n");
	keys_look();
	keys_current_id(r, id);
	assert_string_equal(id, "k2");
	assert_true(keys_verify(r, "k1", &part, 1, one));
	assert_true(keys_sign(r, "k2", &part, 1, two));
	assert_int_not_equal(keys_version("k"), was);
	/* What is wrong changes nothing, and there may be a third file after it. */
	put("k", "k3\n");
	keys_look();
	keys_look();
	assert_true(keys_verify(r, "k2", &part, 1, two));
	put("k", "k2 " KEY_2 "\n");
	keys_look();
	assert_false(keys_verify(r, "k1", &part, 1, one));
	assert_true(keys_verify(r, "k2", &part, 1, two));
	assert_int_equal(unlink(files_path(dir, "k")), 0);
	keys_look();
	assert_true(keys_verify(r, "k2", &part, 1, two));
	keys_free(&r);
	assert_int_equal(keys_version("k"), 0);
}

static void a_key_ends_when_its_time_is_over(void **state)
{
	const int64_t now_s = clk_wall_ms() / 1000;
	const keys_part part = {"text", 4};
	keys_line line[KEYS_LINES_MAX];
	uint8_t mac[32], tag[16], sealed[5 + KEYS_SEAL_OVERHEAD], plain[5];
	char text[300];

	(void)state;
	keys_ring_t *r = ring("k1 " KEY_1 "\n");
	assert_true(keys_sign(r, "k1", &part, 1, mac));
	keys_tag(r, "cursor", &part, 1, tag);
	keys_seal(r, "seed", NULL, "hello", 5, sealed);
	snprintf(text, sizeof(text), "k2 " KEY_2 "\nk1 " KEY_1 " a:* until:%lld\n",
		(long long)now_s + 1);
	put("k", text);
	keys_look();
	assert_true(keys_allows(r, "k1", "a", "b"));
	assert_int_equal(keys_list(r, line), 2);
	assert_int_equal(line[1].until_s, now_s + 1);
	while (clk_wall_ms() / 1000 <= now_s)
		clk_sleep_ms(5);
	/* At once, by whoever asks, and from memory at the next look. */
	assert_false(keys_verify(r, "k1", &part, 1, mac));
	assert_false(keys_tag_ok(r, "cursor", &part, 1, tag));
	assert_int_equal(
		keys_open(r, "seed", NULL, sealed, sizeof(sealed), plain), ERR_TOKEN_INVALID);
	assert_false(keys_allows(r, "k1", "a", "b"));
	keys_look();
	assert_int_equal(keys_list(r, line), 1);
	keys_free(&r);
}

enum { SIGNERS = 4, TURNS = 400 };
static atomic_bool over;

/* Whatever was signed a moment ago verifies, while files change as they do in a rotation. */
static void *sign_and_verify(void *ctx)
{
	keys_ring_t *r = ctx;
	const keys_part part = {"text", 4};
	uintptr_t wrong = 0;
	char id[KEYS_ID_BYTES];
	uint8_t mac[32];

	while (!atomic_load(&over)) {
		do
			keys_current_id(r, id);
		while (!keys_sign(r, id, &part, 1, mac));
		wrong += !keys_verify(r, id, &part, 1, mac);
	}
	return (void *)wrong;
}

static void rotation_is_noticed_by_no_thread(void **state)
{
	static const char *const file[] = {
		"k1 " KEY_1 "\nk2 " KEY_2 "\n", "k2 " KEY_2 "\nk1 " KEY_1 "\n"};
	keys_ring_t *r = ring(file[0]);
	pthread_t thread[SIGNERS];
	void *wrong;

	(void)state;
	for (unsigned i = 0; i < SIGNERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, sign_and_verify, r), 0);
	for (unsigned i = 1; i <= TURNS; i++) {
		put("k", file[i % 2]);
		keys_look();
	}
	atomic_store(&over, true);
	for (unsigned i = 0; i < SIGNERS; i++) {
		pthread_join(thread[i], &wrong);
		assert_null(wrong);
	}
	keys_free(&r);
}

static int setup(void **state)
{
	(void)state;
	dir = files_dir();
	return keys_init() ? -1 : 0;
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
		cmocka_unit_test(sha256_and_hmac_match_the_vectors),
		cmocka_unit_test(the_first_key_signs_and_all_verify),
		cmocka_unit_test(bad_files_are_refused),
		cmocka_unit_test(a_key_is_good_for_what_stands_behind_it),
		cmocka_unit_test(sixteen_keys_fit_and_no_more),
		cmocka_unit_test(a_secret_is_the_first_line),
		cmocka_unit_test(what_is_sealed_opens_only_as_it_was),
		cmocka_unit_test(tags_are_bound_to_purpose_and_ring),
		cmocka_unit_test(a_ring_follows_its_file),
		cmocka_unit_test(a_key_ends_when_its_time_is_over),
		cmocka_unit_test(rotation_is_noticed_by_no_thread),
	};

	return cmocka_run_group_tests_name("keys", tests, setup, teardown);
}
