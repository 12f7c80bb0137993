/* libsodium only. Rings are keys_ring.c's; here a set of keys is held for as long as it is used. */
#include "base/keys.h"
#include "base/keys_inner.h"
#include <sodium.h>
#include <string.h>
#include <sys/resource.h>

/* Subkeys of one purpose differ by use. */
enum { KEYS_USE_SEAL = 1, KEYS_USE_TAG = 2 };

err_t keys_init(void)
{
	struct rlimit core;

	if (getrlimit(RLIMIT_CORE, &core))
		return ERR_INTERNAL;
	/* 1 rather than 0: that keeps the kernel from handing a core to a program of core_pattern, too. */
	core.rlim_max = core.rlim_max > 1 ? 1 : core.rlim_max;
	core.rlim_cur = core.rlim_max;
	if (setrlimit(RLIMIT_CORE, &core))
		return ERR_INTERNAL;
	return sodium_init() < 0 ? ERR_INTERNAL : ERR_OK;
}

void keys_current_id(const keys_ring_t *r, char out[KEYS_ID_BYTES])
{
	unsigned place;

	memcpy(out, keys_hold(r, &place)->key[0].id, KEYS_ID_BYTES);
	keys_release(r, place);
}

static bool scopes_have(const char *scopes, const char *what, const char *which)
{
	const size_t n = strlen(what), m = strlen(which);

	for (const char *word = scopes; *word;) {
		const size_t len = strcspn(word, " ");
		const char *rest = word + n + 1;

		if (len > n && !memcmp(word, what, n) && word[n] == ':' &&
			((len == n + 2 && *rest == '*') ||
				(len == n + 1 + m && !memcmp(rest, which, m))))
			return true;
		word += len + (word[len] == ' ');
	}
	return false;
}

bool keys_allows(const keys_ring_t *r, const char *id, const char *what, const char *which)
{
	unsigned place;
	const keys_key *k = keys_find(keys_hold(r, &place), id);
	const bool does = k && scopes_have(k->scopes, what, which);

	keys_release(r, place);
	return does;
}

void keys_sha256(const void *data, size_t n, uint8_t out[32])
{
	crypto_hash_sha256(out, data, n);
}

void keys_random(void *out, size_t n)
{
	randombytes_buf(out, n);
}

bool keys_equal(const void *a, const void *b, size_t n)
{
	return !sodium_memcmp(a, b, n);
}

_Static_assert(sizeof(crypto_auth_hmacsha256_state) == KEYS_HMAC_STATE_BYTES,
	"keys.h knows how large libsodium's state is");

void keys_hmac_start(const uint8_t key[KEYS_BYTES], keys_hmac_key *out)
{
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, key, KEYS_BYTES);
	memcpy(out->state, &st, sizeof(st));
	sodium_memzero(&st, sizeof(st));
}

void keys_hmac_with(const keys_hmac_key *k, const keys_part *parts, size_t count, uint8_t out[32])
{
	crypto_auth_hmacsha256_state st;

	memcpy(&st, k->state, sizeof(st));
	for (size_t i = 0; i < count; i++)
		crypto_auth_hmacsha256_update(&st, parts[i].p, parts[i].n);
	crypto_auth_hmacsha256_final(&st, out);
	sodium_memzero(&st, sizeof(st));
}

void keys_hmac_wipe(keys_hmac_key *k)
{
	sodium_memzero(k, sizeof(*k));
}

void keys_hmac(const uint8_t key[KEYS_BYTES], const keys_part *parts, size_t count, uint8_t out[32])
{
	keys_hmac_key k;

	keys_hmac_start(key, &k);
	keys_hmac_with(&k, parts, count, out);
	keys_hmac_wipe(&k);
}

bool keys_sign(
	const keys_ring_t *r, const char *id, const keys_part *parts, size_t count, uint8_t out[32])
{
	unsigned place;
	const keys_key *k = keys_find(keys_hold(r, &place), id);

	if (k)
		keys_hmac(k->key, parts, count, out);
	keys_release(r, place);
	return k != NULL;
}

bool keys_verify(const keys_ring_t *r, const char *id, const keys_part *parts, size_t count,
	const uint8_t mac[32])
{
	uint8_t ours[32];

	return keys_sign(r, id, parts, count, ours) && keys_equal(ours, mac, sizeof(ours));
}

static void keys_subkey(
	const keys_key *k, const char *purpose, uint64_t use, uint8_t out[KEYS_BYTES])
{
	char context[crypto_kdf_CONTEXTBYTES] = {0};
	size_t n = strlen(purpose);

	BUG_ON(!n || n > sizeof(context));
	for (size_t i = 0; i < n; i++)
		context[i] = purpose[i];
	if (crypto_kdf_derive_from_key(out, KEYS_BYTES, use, context, k->key))
		err_bug(__FILE__, __LINE__, "crypto_kdf_derive_from_key");
}

/* Sealed: key id (8, zero-padded), nonce (24), ciphertext and tag. */
void keys_seal(const keys_ring_t *r, const char *purpose, const keys_part *ad, const void *plain,
	size_t n, uint8_t *out)
{
	unsigned place;
	const keys_key *k = &keys_hold(r, &place)->key[0];
	uint8_t sub[KEYS_BYTES], *nonce = out + KEYS_ID_BYTES - 1;

	keys_subkey(k, purpose, KEYS_USE_SEAL, sub);
	memcpy(out, k->id, KEYS_ID_BYTES - 1);
	keys_release(r, place);
	keys_random(nonce, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
		nonce + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, NULL, plain, n,
		ad ? ad->p : NULL, ad ? ad->n : 0, NULL, nonce, sub);
	sodium_memzero(sub, sizeof(sub));
}

err_t keys_open(const keys_ring_t *r, const char *purpose, const keys_part *ad,
	const uint8_t *sealed, size_t n, void *plain)
{
	const uint8_t *nonce = sealed + KEYS_ID_BYTES - 1;
	const uint8_t *body = nonce + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
	char id[KEYS_ID_BYTES] = {0};
	uint8_t sub[KEYS_BYTES];
	const keys_key *k;
	unsigned place;
	bool known;
	int rc;

	if (n < KEYS_SEAL_OVERHEAD)
		return ERR_TOKEN_INVALID;
	memcpy(id, sealed, KEYS_ID_BYTES - 1);
	k = keys_find(keys_hold(r, &place), id);
	/* The padding too: what we sealed has one form only. */
	known = k && !memcmp(sealed, k->id, KEYS_ID_BYTES - 1);
	if (known)
		keys_subkey(k, purpose, KEYS_USE_SEAL, sub);
	keys_release(r, place);
	if (!known)
		return ERR_TOKEN_INVALID;
	rc = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, body,
		n - (size_t)(body - sealed), ad ? ad->p : NULL, ad ? ad->n : 0, nonce, sub);
	sodium_memzero(sub, sizeof(sub));
	return rc ? ERR_TOKEN_INVALID : ERR_OK;
}

static void keys_tag_with(const keys_key *k, const char *purpose, const keys_part *parts,
	size_t count, uint8_t out[16])
{
	uint8_t sub[KEYS_BYTES], mac[32];

	keys_subkey(k, purpose, KEYS_USE_TAG, sub);
	keys_hmac(sub, parts, count, mac);
	memcpy(out, mac, 16);
	sodium_memzero(sub, sizeof(sub));
}

void keys_tag(const keys_ring_t *r, const char *purpose, const keys_part *parts, size_t count,
	uint8_t out[16])
{
	unsigned place;

	keys_tag_with(&keys_hold(r, &place)->key[0], purpose, parts, count, out);
	keys_release(r, place);
}

bool keys_tag_as(const keys_ring_t *r, const char *id, const char *purpose, const keys_part *parts,
	size_t count, uint8_t out[16])
{
	unsigned place;
	const keys_key *k = keys_find(keys_hold(r, &place), id);

	if (k)
		keys_tag_with(k, purpose, parts, count, out);
	keys_release(r, place);
	return k != NULL;
}

bool keys_tag_ok(const keys_ring_t *r, const char *purpose, const keys_part *parts, size_t count,
	const uint8_t tag[16])
{
	unsigned place;
	const keys_set *s = keys_hold(r, &place);
	bool ok = false;

	for (unsigned i = 0; i < s->count && !ok; i++) {
		uint8_t ours[16];

		if (!keys_alive(&s->key[i]))
			continue;
		keys_tag_with(&s->key[i], purpose, parts, count, ours);
		ok = keys_equal(ours, tag, sizeof(ours));
	}
	keys_release(r, place);
	return ok;
}
