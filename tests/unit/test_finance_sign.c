/* The signature of the finance protocol, against a vector made with another implementation, and all
 * the ways in which it must not verify. */
#include "tests/unit/finance_ring.h"

#include "base/clk.h"
#include "store/finance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BODY "{\"order_no\":\"12301001\"}"
#define PATH "/finance/v1/transfers"
enum { AT = 1700000000, SKEW = 300 };

static keys_ring_t *ring;
static char header[256], id[65];

static int set_up(void **state)
{
	(void)state;
	ring = finance_ring(FINANCE_KEY_1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	keys_free(&ring);
	return 0;
}

static err_t verify_with(const keys_ring_t *r, const char *merchant, int64_t now, const char *h,
	const char *method, const char *path, const char *body)
{
	return finance_verify(r, merchant, now, SKEW, h, method, path, body, strlen(body), id);
}

static void sign(void)
{
	finance_sign(ring, "hongbao", AT, "req-1", "POST", PATH, BODY, strlen(BODY), header);
}

/* printf 'v1\nhongbao\n1700000000\nreq-1\nPOST\n/finance/v1/transfers\n<sha256 of BODY>' |
 * openssl dgst -sha256 -mac HMAC -macopt hexkey:000102… -binary | basenc --base64url | tr -d = */
static void signature_is_the_documented_hmac(void **state)
{
	(void)state;
	sign();
	assert_string_equal(header,
		"v1 hongbao 1700000000 req-1 k1 Xr6Youq7gJSouDqnqDLCBHxibGCesN0SIMQJLEcwDtY");
}

static void signed_request_verifies_and_gives_its_id(void **state)
{
	(void)state;
	sign();
	assert_int_equal(
		verify_with(ring, "hongbao", AT + SKEW, header, "POST", PATH, BODY), ERR_OK);
	assert_string_equal(id, "req-1");
	assert_int_equal(
		verify_with(ring, "hongbao", AT - SKEW, header, "POST", PATH, BODY), ERR_OK);
}

static void any_change_of_what_is_signed_is_refused(void **state)
{
	static const struct {
		const char *merchant, *method, *path, *body;
		int64_t now;
	} cases[] = {
		{"other", "POST", PATH, BODY, AT},
		{"hongbao", "GET", PATH, BODY, AT},
		{"hongbao", "POST", "/finance/v1/refunds", BODY, AT},
		{"hongbao", "POST", PATH, "{\"order_no\":\"12301002\"}", AT},
		{"hongbao", "POST", PATH, "", AT},
		{"hongbao", "POST", PATH, BODY, AT + SKEW + 1},
		{"hongbao", "POST", PATH, BODY, AT - SKEW - 1},
	};
	(void)state;
	sign();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(verify_with(ring, cases[i].merchant, cases[i].now, header,
					 cases[i].method, cases[i].path, cases[i].body),
			ERR_SIGNATURE_INVALID);
}

static void header_fields_cannot_be_changed(void **state)
{
	char changed[256];
	(void)state;
	sign();
	for (size_t i = 0; i < strlen(header); i++) {
		memcpy(changed, header, sizeof changed);
		changed[i] = changed[i] == 'x' ? 'y' : 'x';
		assert_int_equal(verify_with(ring, "hongbao", AT, changed, "POST", PATH, BODY),
			ERR_SIGNATURE_INVALID);
	}
}

static void malformed_headers_are_refused(void **state)
{
	char cut[256], longer[300];
	(void)state;
	sign();
	for (size_t n = 0; n < strlen(header); n++) {
		snprintf(cut, sizeof cut, "%.*s", (int)n, header);
		assert_int_equal(verify_with(ring, "hongbao", AT, cut, "POST", PATH, BODY),
			ERR_SIGNATURE_INVALID);
	}
	static const char *const bad[] = {"", " ", "v1", "v1 hongbao", "     ",
		"v1  hongbao 1700000000 req-1 k1 AAAA", "v1 hongbao -1 req-1 k1 AAAA",
		"v1 hongbao 1700000000 req-1 nokey AAAA",
		"v1 hongbao 99999999999999999999 req-1 k1 AAAA",
		"v1 hongbao 1700000000 re\nq k1 AAAA"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(verify_with(ring, "hongbao", AT, bad[i], "POST", PATH, BODY),
			ERR_SIGNATURE_INVALID);
	snprintf(longer, sizeof longer, "%s %s", header, "x");
	assert_int_equal(verify_with(ring, "hongbao", AT, longer, "POST", PATH, BODY),
		ERR_SIGNATURE_INVALID);
	assert_int_equal(finance_verify(ring, "hongbao", AT, SKEW, NULL, "POST", PATH, "", 0, id),
		ERR_SIGNATURE_INVALID);
}

static void keys_rotate_and_false_keys_do_not_verify(void **state)
{
	keys_ring_t *both = finance_ring(FINANCE_KEY_2 FINANCE_KEY_1);
	keys_ring_t *later = finance_ring(FINANCE_KEY_2);
	keys_ring_t *impostor = finance_ring(FINANCE_KEY_FALSE);
	(void)state;
	sign();
	assert_int_equal(verify_with(both, "hongbao", AT, header, "POST", PATH, BODY), ERR_OK);
	assert_int_equal(verify_with(later, "hongbao", AT, header, "POST", PATH, BODY),
		ERR_SIGNATURE_INVALID);
	assert_int_equal(verify_with(impostor, "hongbao", AT, header, "POST", PATH, BODY),
		ERR_SIGNATURE_INVALID);
	keys_free(&both);
	keys_free(&later);
	keys_free(&impostor);
}

static void names_go_both_ways(void **state)
{
	(void)state;
	for (finance_kind k = FINANCE_PAYMENT; k <= FINANCE_WITHDRAWAL; k++)
		assert_int_equal(finance_kind_named(finance_kind_name(k)), k);
	for (finance_outcome o = FINANCE_PENDING; o <= FINANCE_CLOSED; o++)
		assert_int_equal(finance_outcome_named(finance_outcome_name(o)), o);
	assert_int_equal(finance_kind_named("payments"), 0);
	assert_int_equal(finance_outcome_named("not_known"), 0);
	assert_int_equal(finance_outcome_named("?"), 0);
	assert_string_equal(finance_kind_name((finance_kind)9), "?");
	assert_string_equal(finance_outcome_name(FINANCE_NOT_KNOWN), "?");
}

static err_t parse(const char *body, finance_event *e)
{
	return finance_parse_event(body, strlen(body), e);
}

#define EVENT(no, kind, outcome, amount, at)                                                       \
	"{\"order_no\":" no ",\"kind\":" kind ",\"outcome\":" outcome ",\"amount\":" amount        \
	",\"at\":" at ",\"reason\":\"\"}"
#define MONEY "{\"amount\":188,\"currency\":\"CNY\"}"
#define TIME "\"2026-11-22T08:13:18.042Z\""

static void event_is_read(void **state)
{
	finance_event e;
	int64_t at;
	(void)state;
	assert_int_equal(
		parse(EVENT("\"12301001\"", "\"refund\"", "\"done\"", MONEY, TIME), &e), ERR_OK);
	assert_int_equal(clk_parse_rfc3339("2026-11-22T08:13:18.042Z", &at), ERR_OK);
	assert_int_equal(e.order_no, 12301001);
	assert_int_equal(e.kind, FINANCE_REFUND);
	assert_int_equal(e.outcome, FINANCE_DONE);
	assert_int_equal(e.amount_fen, 188);
	assert_int_equal(e.at_ms, at);
}

static void broken_events_are_refused(void **state)
{
	static const struct {
		const char *body;
		err_t err;
	} cases[] = {
		{"", ERR_INVALID_JSON},
		{"[]", ERR_INVALID_JSON},
		{"{", ERR_INVALID_JSON},
		{"{}x", ERR_INVALID_JSON},
		{"{\"at\":1,\"at\":1}", ERR_INVALID_JSON},
		{"{}", ERR_INVALID_FIELD},
		{EVENT("12301001", "\"refund\"", "\"done\"", MONEY, TIME), ERR_INVALID_FIELD},
		{EVENT("\"0\"", "\"refund\"", "\"done\"", MONEY, TIME), ERR_INVALID_FIELD},
		{EVENT("\"01\"", "\"refund\"", "\"done\"", MONEY, TIME), ERR_INVALID_FIELD},
		{EVENT("\"9223372036854775808\"", "\"refund\"", "\"done\"", MONEY, TIME),
			ERR_INVALID_FIELD},
		{EVENT("\"1\"", "\"gift\"", "\"done\"", MONEY, TIME), ERR_INVALID_FIELD},
		{EVENT("\"1\"", "\"refund\"", "\"not_known\"", MONEY, TIME), ERR_INVALID_FIELD},
		{EVENT("\"1\"", "\"refund\"", "null", MONEY, TIME), ERR_INVALID_FIELD},
		{EVENT("\"1\"", "\"refund\"", "\"done\"", "188", TIME), ERR_INVALID_FIELD},
		{EVENT("\"1\"", "\"refund\"", "\"done\"", "{\"amount\":1.5,\"currency\":\"CNY\"}",
			 TIME),
			ERR_INVALID_FIELD},
		{EVENT("\"1\"", "\"refund\"", "\"done\"", "{\"amount\":-1,\"currency\":\"CNY\"}",
			 TIME),
			ERR_INVALID_FIELD},
		{EVENT("\"1\"", "\"refund\"", "\"done\"", "{\"amount\":1,\"currency\":\"USD\"}",
			 TIME),
			ERR_INVALID_FIELD},
		{EVENT("\"1\"", "\"refund\"", "\"done\"", MONEY, "\"yesterday\""),
			ERR_INVALID_FIELD},
	};
	finance_event e;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (parse(cases[i].body, &e) != cases[i].err)
			fail_msg("%s", cases[i].body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signature_is_the_documented_hmac),
		cmocka_unit_test(signed_request_verifies_and_gives_its_id),
		cmocka_unit_test(any_change_of_what_is_signed_is_refused),
		cmocka_unit_test(header_fields_cannot_be_changed),
		cmocka_unit_test(malformed_headers_are_refused),
		cmocka_unit_test(keys_rotate_and_false_keys_do_not_verify),
		cmocka_unit_test(names_go_both_ways),
		cmocka_unit_test(event_is_read),
		cmocka_unit_test(broken_events_are_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
