/* Both kinds of token are dotted words, the last two the key's id and the mac over all before the
 * last dot. The mac is checked before anything inside is believed. */
#include "domain/session.h"
#include "base/parse.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SESSION_MAC_CHARS = 43, SESSION_WORDS_MAX = 7 };
static const uint64_t session_uid_max = UINT64_C(999999999999999999);
static const uint64_t session_expires_max = UINT64_C(253402300799);

static const char *const session_relation_names[] = {
	[SESSION_FRIEND] = "friend", [SESSION_FAN] = "fan"};

/* `out` holds the text that is signed but for the key id, which is put behind it with the mac. */
static void session_sign(const keys_ring_t *keys, char out[SESSION_TOKEN_BYTES], int len)
{
	keys_part part = {out, 0};
	char id[KEYS_ID_BYTES];
	uint8_t mac[32];

	BUG_ON(len < 0 || len + KEYS_ID_BYTES + 1 + SESSION_MAC_CHARS + 1 > SESSION_TOKEN_BYTES);
	do {
		keys_current_id(keys, id);
		part.n = (size_t)len + (size_t)sprintf(out + len, ".%s", id);
	} while (!keys_sign(keys, id, &part, 1, mac));
	out[part.n] = '.';
	parse_to_b64(mac, sizeof(mac), out + part.n + 1, SESSION_TOKEN_BYTES - part.n - 1);
}

/* Splits a copy of `token` into exactly `count` words and checks its mac. */
static bool session_open(const keys_ring_t *keys, const char *token, const char *prefix,
	char copy[SESSION_TOKEN_BYTES], char **word, unsigned count)
{
	size_t len = token ? strnlen(token, SESSION_TOKEN_BYTES) : SESSION_TOKEN_BYTES, got;
	keys_part part = {token, 0};
	uint8_t mac[32];
	char *rest = copy;

	if (len >= SESSION_TOKEN_BYTES)
		return false;
	memcpy(copy, token, len + 1);
	for (unsigned i = 0; i < count; i++) {
		word[i] = strsep(&rest, ".");
		if (!word[i])
			return false;
	}
	if (rest || strcmp(word[0], prefix) != 0)
		return false;
	part.n = (size_t)(word[count - 1] - copy) - 1;
	return parse_b64(word[count - 1], strlen(word[count - 1]), mac, sizeof(mac), &got) &&
	       got == sizeof(mac) && keys_verify(keys, word[count - 2], &part, 1, mac);
}

void session_mint(
	const keys_ring_t *keys, uint64_t uid, int64_t expires_s, char out[SESSION_TOKEN_BYTES])
{
	BUG_ON(!uid || uid > session_uid_max || expires_s < 0);
	session_sign(keys, out,
		snprintf(out, SESSION_TOKEN_BYTES, "hb1.%" PRIu64 ".%" PRId64, uid, expires_s));
}

err_t session_verify(const keys_ring_t *keys, const char *token, int64_t now_s, uint64_t *uid,
	int64_t *expires_s)
{
	char copy[SESSION_TOKEN_BYTES], *word[SESSION_WORDS_MAX];
	uint64_t who, expires;

	if (!session_open(keys, token, "hb1", copy, word, 5) ||
		!parse_u64(word[1], session_uid_max, &who) || !who ||
		!parse_u64(word[2], session_expires_max, &expires) || (int64_t)expires <= now_s)
		return ERR_SESSION_INVALID;
	*uid = who;
	*expires_s = (int64_t)expires;
	return ERR_OK;
}

void session_grant_mint(const keys_ring_t *keys, uint64_t viewer, uint64_t sender,
	session_relation r, int64_t expires_s, char out[SESSION_TOKEN_BYTES])
{
	BUG_ON(!viewer || viewer > session_uid_max || !sender || sender > session_uid_max ||
		expires_s < 0 || (r != SESSION_FRIEND && r != SESSION_FAN));
	session_sign(keys, out,
		snprintf(out, SESSION_TOKEN_BYTES, "hbg1.%" PRIu64 ".%" PRIu64 ".%s.%" PRId64,
			viewer, sender, session_relation_names[r], expires_s));
}

err_t session_grant_verify(const keys_ring_t *keys, const char *grant, uint64_t viewer,
	uint64_t sender, int64_t now_s, session_relation *r)
{
	char copy[SESSION_TOKEN_BYTES], *word[SESSION_WORDS_MAX];
	uint64_t who, whose, expires;
	session_relation is;

	if (!session_open(keys, grant, "hbg1", copy, word, 7) ||
		!parse_u64(word[1], session_uid_max, &who) || who != viewer ||
		!parse_u64(word[2], session_uid_max, &whose) || whose != sender ||
		!parse_u64(word[4], session_expires_max, &expires) || (int64_t)expires <= now_s)
		return ERR_TOKEN_INVALID;
	for (is = SESSION_FRIEND; is <= SESSION_FAN; is++)
		if (!strcmp(word[3], session_relation_names[is]))
			break;
	if (is > SESSION_FAN)
		return ERR_TOKEN_INVALID;
	*r = is;
	return ERR_OK;
}
