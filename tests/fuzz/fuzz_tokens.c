/* tokens: sealed wins, sessions, grants and signatures. What we made comes back as it was, for whom it was
 * made only; with any bit changed or its end cut off it is refused; what strangers write is never ours.
 * Input: which kind (1 byte), which bit is changed (2), how it is cut (1), six numbers (8 each), a word of
 * up to 64 characters, and a stranger's text. */
#include "base/parse.h"
#include "base/signature.h"
#include "domain/session.h"
#include "domain/token.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

#define WORD_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"
enum { TEXT_BYTES = 512, NUMBERS = 6, WORD_CHARS_MAX = 64, SKEW_S = 300 };
#define EXPIRES_MAX UINT64_C(253402300799)

typedef struct {
	uint64_t bit, cut, n[NUMBERS];
	char word[WORD_CHARS_MAX + 1];
	char *stranger;
} case_t;

static keys_ring_t *keys;

/* `text` with one bit changed, and with its end cut off: `refused` says whether neither is taken. */
static void spoiled(
	const case_t *t, const char *text, bool (*refused)(const case_t *t, const char *text))
{
	char other[TEXT_BYTES];
	const size_t len = strlen(text), at = t->bit / 8 % len;
	memcpy(other, text, len + 1);
	other[at] = (char)(other[at] ^ 1 << t->bit % 8);
	FUZZ_CHECK(refused(t, other));
	memcpy(other, text, len + 1);
	other[t->cut % len] = 0;
	FUZZ_CHECK(refused(t, other));
}

/* ---- sealed wins ---- */

static bool win_refused(const case_t *t, const char *text)
{
	token_win got;
	return token_open(keys, t->n[0], text, &got) == ERR_TOKEN_INVALID;
}

static void win_case(const case_t *t)
{
	char text[TOKEN_TEXT_BYTES];
	token_win got, win = {.uid = t->n[0],
			       .subsidy_id = t->n[1],
			       .lease_id = t->n[2],
			       .campaign = t->n[3],
			       .amount_fen = (int64_t)(t->n[4] % INT64_MAX) + 1,
			       .expires_at_ms = (int64_t)(t->n[5] % INT64_MAX) + 1};
	memcpy(win.out_order_no, *t->word ? t->word : "-", *t->word ? strlen(t->word) + 1 : 2);
	token_seal(keys, &win, text);
	FUZZ_CHECK(token_open(keys, win.uid, text, &got) == ERR_OK);
	FUZZ_CHECK(got.uid == win.uid && got.subsidy_id == win.subsidy_id &&
		   got.lease_id == win.lease_id && got.campaign == win.campaign &&
		   got.amount_fen == win.amount_fen && got.expires_at_ms == win.expires_at_ms &&
		   strcmp(got.out_order_no, win.out_order_no) == 0);
	FUZZ_CHECK(token_open(keys, win.uid + 1, text, &got) == ERR_TOKEN_INVALID);
	spoiled(t, text, win_refused);
	/* One that we sealed may be in the corpus. */
	if (token_open(keys, win.uid, t->stranger, &got) == ERR_OK)
		FUZZ_CHECK(got.uid == win.uid && got.amount_fen > 0 && got.expires_at_ms > 0 &&
			   *got.out_order_no);
}

/* ---- sessions and grants ---- */

static uint64_t uid_of(uint64_t n)
{
	return n % SESSION_UID_MAX + 1;
}

static bool session_refused(const case_t *t, const char *text)
{
	uint64_t uid;
	int64_t expires_s;
	(void)t;
	return session_verify(keys, text, -1, &uid, &expires_s) == ERR_SESSION_INVALID;
}

static void session_case(const case_t *t)
{
	char text[SESSION_TOKEN_BYTES];
	const uint64_t uid = uid_of(t->n[0]);
	const int64_t expires_s = (int64_t)(t->n[1] % EXPIRES_MAX);
	uint64_t who;
	int64_t until;
	session_mint(keys, uid, expires_s, text);
	FUZZ_CHECK(session_verify(keys, text, expires_s - 1, &who, &until) == ERR_OK);
	FUZZ_CHECK(who == uid && until == expires_s);
	FUZZ_CHECK(session_verify(keys, text, expires_s, &who, &until) == ERR_SESSION_INVALID);
	spoiled(t, text, session_refused);
	if (session_verify(keys, t->stranger, -1, &who, &until) == ERR_OK) {
		session_mint(keys, who, until, text);
		FUZZ_CHECK(strlen(text) == strlen(t->stranger));
	}
}

static bool grant_refused(const case_t *t, const char *text)
{
	session_relation r;
	return session_grant_verify(keys, text, uid_of(t->n[0]), uid_of(t->n[1]), -1, &r) ==
	       ERR_TOKEN_INVALID;
}

static void grant_case(const case_t *t)
{
	char text[SESSION_TOKEN_BYTES];
	const uint64_t viewer = uid_of(t->n[0]), sender = uid_of(t->n[1]);
	const session_relation is = t->n[2] & 1 ? SESSION_FRIEND : SESSION_FAN;
	const int64_t expires_s = (int64_t)(t->n[3] % EXPIRES_MAX);
	session_relation got;
	session_grant_mint(keys, viewer, sender, is, expires_s, text);
	FUZZ_CHECK(session_grant_verify(keys, text, viewer, sender, expires_s - 1, &got) == ERR_OK);
	FUZZ_CHECK(got == is);
	FUZZ_CHECK(session_grant_verify(keys, text, viewer, sender, expires_s, &got) != ERR_OK);
	FUZZ_CHECK(session_grant_verify(keys, text, viewer + 1, sender, -1, &got) != ERR_OK);
	FUZZ_CHECK(session_grant_verify(keys, text, viewer, sender + 1, -1, &got) != ERR_OK);
	FUZZ_CHECK(session_verify(keys, text, -1, &(uint64_t){0}, &(int64_t){0}) != ERR_OK);
	spoiled(t, text, grant_refused);
	if (session_grant_verify(keys, t->stranger, viewer, sender, -1, &got) == ERR_OK)
		FUZZ_CHECK(got == SESSION_FRIEND || got == SESSION_FAN);
}

/* ---- signatures ---- */

static int64_t signed_at(const case_t *t)
{
	return (int64_t)(t->n[0] % 99999999999);
}

static err_t check_signature(const case_t *t, const char *header, const char *method,
	const char *path, const char *body, char id[SIGNATURE_ID_BYTES])
{
	return signature_verify(keys, "partner-1", signed_at(t), SKEW_S, header, method, path, body,
		strlen(body), id);
}

static bool signature_refused(const case_t *t, const char *text)
{
	char id[SIGNATURE_ID_BYTES];
	return check_signature(t, text, "POST", "/v1/x?y=z", t->stranger, id) ==
	       ERR_SIGNATURE_INVALID;
}

static void signature_case(const case_t *t)
{
	char header[SIGNATURE_BYTES], id[SIGNATURE_ID_BYTES], who[SIGNATURE_WHO_BYTES],
		key_id[KEYS_ID_BYTES];
	const char *is = *t->word ? t->word : "-";
	signature_make(keys, "partner-1", signed_at(t), is, "POST", "/v1/x?y=z", t->stranger,
		strlen(t->stranger), header);
	FUZZ_CHECK(check_signature(t, header, "POST", "/v1/x?y=z", t->stranger, id) == ERR_OK);
	FUZZ_CHECK(strcmp(id, is) == 0);
	FUZZ_CHECK(signature_who(header, who, key_id) && strcmp(who, "partner-1") == 0 &&
		   strcmp(key_id, "k1") == 0);
	FUZZ_CHECK(check_signature(t, header, "PUT", "/v1/x?y=z", t->stranger, id) != ERR_OK);
	FUZZ_CHECK(check_signature(t, header, "POST", "/v1/x?y=zz", t->stranger, id) != ERR_OK);
	FUZZ_CHECK(check_signature(t, header, "POST", "/v1/x?y=z", *t->stranger ? "" : "x", id) !=
		   ERR_OK);
	spoiled(t, header, signature_refused);
	if (signature_who(t->stranger, who, key_id))
		FUZZ_CHECK(*who && *key_id);
	if (check_signature(t, t->stranger, "GET", "/", "", id) == ERR_OK)
		FUZZ_CHECK(*id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(const case_t *) = {
		win_case, session_case, grant_case, signature_case};
	fuzz_input in = {data, size};
	case_t t = {0};
	if (!keys)
		keys = fuzz_ring(FUZZ_KEY_1 "\n" FUZZ_KEY_2 "\n");
	const uint64_t kind = fuzz_number(&in, 1);
	t.bit = fuzz_number(&in, 2);
	t.cut = fuzz_number(&in, 1);
	for (unsigned i = 0; i < NUMBERS; i++)
		t.n[i] = fuzz_number(&in, 8);
	const size_t word = fuzz_number(&in, 1) % (WORD_CHARS_MAX + 1);
	fuzz_word(&in, WORD_CHARS, word, t.word);
	t.stranger = fuzz_rest(&in);
	kinds[kind % (sizeof kinds / sizeof *kinds)](&t);
	free(t.stranger);
	return 0;
}
