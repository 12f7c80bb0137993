/* What is sealed is a fixed head, big-endian, and the external order number behind it, so that one
 * reading of the head decides every length: version, subsidy, lease, campaign, amount, expiry,
 * length of the number. The uid is not inside: it is bound as associated data, and comes from the
 * session of whoever presents the token. */
#include "domain/token.h"

#include "base/parse.h"

#include <string.h>

#define TOKEN_PREFIX "hbs1."
#define TOKEN_PURPOSE "token"
enum {
	TOKEN_VERSION = 1,
	TOKEN_PREFIX_CHARS = sizeof(TOKEN_PREFIX) - 1,
	TOKEN_NUMBERS = 5,
	TOKEN_HEAD_BYTES = 1 + TOKEN_NUMBERS * 8 + 1,
	TOKEN_PLAIN_MAX = TOKEN_HEAD_BYTES + TOKEN_OUT_ORDER_BYTES - 1,
	TOKEN_SEALED_MAX = TOKEN_PLAIN_MAX + KEYS_SEAL_OVERHEAD,
};

static uint8_t *put_u64(uint8_t *to, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		to[i] = (uint8_t)v;
	return to + 8;
}

static uint64_t get_u64(const uint8_t *from)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | from[i];
	return v;
}

void token_seal(const keys_ring_t *keys, const token_win *win, char out[TOKEN_TEXT_BYTES])
{
	uint8_t plain[TOKEN_PLAIN_MAX], sealed[TOKEN_SEALED_MAX], uid[8], *at = plain;
	const keys_part bound = {uid, sizeof(uid)};
	size_t n = strnlen(win->out_order_no, TOKEN_OUT_ORDER_BYTES);

	BUG_ON(n == 0 || n == TOKEN_OUT_ORDER_BYTES || win->amount_fen <= 0 ||
		win->expires_at_ms <= 0);
	put_u64(uid, win->uid);
	*at++ = TOKEN_VERSION;
	at = put_u64(at, win->subsidy_id);
	at = put_u64(at, win->lease_id);
	at = put_u64(at, win->campaign);
	at = put_u64(at, (uint64_t)win->amount_fen);
	at = put_u64(at, (uint64_t)win->expires_at_ms);
	*at++ = (uint8_t)n;
	memcpy(at, win->out_order_no, n);
	keys_seal(keys, TOKEN_PURPOSE, &bound, plain, TOKEN_HEAD_BYTES + n, sealed);
	memcpy(out, TOKEN_PREFIX, TOKEN_PREFIX_CHARS);
	parse_to_b64(sealed, TOKEN_HEAD_BYTES + n + KEYS_SEAL_OVERHEAD, out + TOKEN_PREFIX_CHARS,
		TOKEN_TEXT_BYTES - TOKEN_PREFIX_CHARS);
}

/* Only what we have sealed comes here; one of another version is none of ours. */
static bool unpack(const uint8_t *plain, size_t n, uint64_t uid, token_win *out)
{
	const uint8_t *at = plain + 1;

	if (n <= TOKEN_HEAD_BYTES || plain[0] != TOKEN_VERSION ||
		plain[TOKEN_HEAD_BYTES - 1] != n - TOKEN_HEAD_BYTES)
		return false;
	*out = (token_win){
		.uid = uid,
		.subsidy_id = get_u64(at),
		.lease_id = get_u64(at + 8),
		.campaign = get_u64(at + 16),
		.amount_fen = (int64_t)get_u64(at + 24),
		.expires_at_ms = (int64_t)get_u64(at + 32),
	};
	memcpy(out->out_order_no, plain + TOKEN_HEAD_BYTES, n - TOKEN_HEAD_BYTES);
	return true;
}

err_t token_open(const keys_ring_t *keys, uint64_t uid, const char *text, token_win *out)
{
	uint8_t plain[TOKEN_PLAIN_MAX], sealed[TOKEN_SEALED_MAX], owner[8];
	const keys_part bound = {owner, sizeof(owner)};
	size_t len = strnlen(text, TOKEN_TEXT_BYTES), got;

	put_u64(owner, uid);
	if (len == TOKEN_TEXT_BYTES || strncmp(text, TOKEN_PREFIX, TOKEN_PREFIX_CHARS) != 0 ||
		!parse_b64(text + TOKEN_PREFIX_CHARS, len - TOKEN_PREFIX_CHARS, sealed,
			sizeof(sealed), &got) ||
		got < KEYS_SEAL_OVERHEAD)
		return ERR_TOKEN_INVALID;
	err_t e = keys_open(keys, TOKEN_PURPOSE, &bound, sealed, got, plain);
	if (e != ERR_OK)
		return e;
	return unpack(plain, got - KEYS_SEAL_OVERHEAD, uid, out) ? ERR_OK : ERR_TOKEN_INVALID;
}
