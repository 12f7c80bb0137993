/* libsodium only. Rings live in sodium_malloc'ed memory (guarded, not swapped where the limits
 * allow, wiped when freed) and are read-only once loaded. */
#include "base/keys.h"
#include "base/logger.h"
#include "base/parse.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS_RING_MAX = 16, KEYS_FILE_BYTES = 4096, KEYS_SCOPES_BYTES = 256 };
/* Subkeys of one purpose differ by use. */
enum { KEYS_USE_SEAL = 1, KEYS_USE_TAG = 2 };

typedef struct {
	char id[KEYS_ID_BYTES];
	uint8_t key[KEYS_BYTES];
	char scopes[KEYS_SCOPES_BYTES]; /* words with single spaces between them */
} keys_key;

struct keys_ring {
	unsigned count;
	keys_key key[KEYS_RING_MAX];
};

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

static const keys_key *keys_find(const keys_ring_t *r, const char *id)
{
	for (unsigned i = 0; i < r->count; i++)
		if (!strcmp(r->key[i].id, id))
			return &r->key[i];
	return NULL;
}

/* Words with single spaces between them. */
static bool keys_scopes_ok(const char *s)
{
	const size_t n = strlen(s);

	return n > 0 && n < KEYS_SCOPES_BYTES && s[0] != ' ' && s[n - 1] != ' ' &&
	       !strstr(s, "  ") && strspn(s, " abcdefghijklmnopqrstuvwxyz0123456789._:*-") == n;
}

/* NULL, or what is wrong with the line. */
static const char *keys_add_line(keys_ring_t *r, char *line)
{
	char *space = strchr(line, ' ');
	size_t n = space ? (size_t)(space - line) : 0;
	keys_key *k = &r->key[r->count];

	if (!n || n >= KEYS_ID_BYTES || strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789") != n)
		return "not `<key id> <64 hex digits>`, the id 1-8 of a-z0-9";
	if (r->count == KEYS_RING_MAX)
		return "more than 16 keys";
	*space = '\0';
	if (keys_find(r, line))
		return "the key id is there twice";
	char *scopes = strchr(space + 1, ' ');
	if (scopes)
		*scopes++ = '\0';
	if (!parse_hex(space + 1, KEYS_BYTES, k->key))
		return "the key is not 64 hex digits";
	if (scopes && !keys_scopes_ok(scopes))
		return "behind the key may stand words of a-z 0-9 . _ : * -, below 256 bytes";
	if (scopes)
		memcpy(k->scopes, scopes, strlen(scopes) + 1);
	memcpy(k->id, line, n + 1);
	r->count++;
	return NULL;
}

static const char *keys_add_text(keys_ring_t *r, char *text, int *line_no)
{
	const char *wrong = NULL;
	char *line;

	for (*line_no = 1; !wrong && (line = strsep(&text, "\n")); ++*line_no)
		if (*line || text) /* what follows the last newline is no line */
			wrong = keys_add_line(r, line);
	--*line_no;
	return wrong || r->count ? wrong : "there is no key";
}

static const char *keys_slurp(const char *path, char text[KEYS_FILE_BYTES + 1])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *wrong = NULL;
	struct stat st;
	ssize_t n;
	bool known;

	if (fd < 0)
		return strerror(errno);
	known = !fstat(fd, &st);
	if (known && !S_ISREG(st.st_mode))
		wrong = "not a plain file";
	else if (known && (st.st_mode & 07777 & ~0400u))
		wrong = "the mode is wider than 0400";
	else if (known && st.st_size > KEYS_FILE_BYTES)
		wrong = "the file is too large";
	else if (!known || (n = read(fd, text, KEYS_FILE_BYTES)) < 0)
		wrong = strerror(errno);
	else
		text[n] = '\0';
	close(fd);
	return wrong;
}

err_t keys_load(const char *path, keys_ring_t **out)
{
	char text[KEYS_FILE_BYTES + 1];
	keys_ring_t *r = sodium_malloc(sizeof(*r));
	const char *wrong;
	int line = 0;

	if (!r)
		return ERR_INTERNAL;
	memset(r, 0, sizeof(*r));
	wrong = keys_slurp(path, text);
	if (!wrong)
		wrong = keys_add_text(r, text, &line);
	sodium_memzero(text, sizeof(text));
	if (wrong) {
		LOG(ERROR, "keys.invalid", {"file", LOG_S(path)}, {"line", LOG_I(line)},
			{"why", LOG_S(wrong)});
		sodium_free(r);
		return ERR_CONFIG_INVALID;
	}
	sodium_mprotect_readonly(r);
	*out = r;
	return ERR_OK;
}

err_t keys_secret(const char *path, char *out, size_t out_bytes)
{
	char text[KEYS_FILE_BYTES + 1];
	const char *wrong = keys_slurp(path, text);
	size_t n = wrong ? 0 : strcspn(text, "\n");

	if (!wrong && (!n || n >= out_bytes))
		wrong = n ? "the secret is too long" : "the first line is empty";
	if (!wrong) {
		memcpy(out, text, n);
		out[n] = '\0';
	}
	sodium_memzero(text, sizeof(text));
	if (!wrong)
		return ERR_OK;
	LOG(ERROR, "keys.invalid", {"file", LOG_S(path)}, {"why", LOG_S(wrong)});
	return ERR_CONFIG_INVALID;
}

void keys_free(keys_ring_t **r)
{
	sodium_free(*r);
	*r = NULL;
}

const char *keys_current_id(const keys_ring_t *r)
{
	return r->key[0].id;
}

bool keys_allows(const keys_ring_t *r, const char *id, const char *what, const char *which)
{
	const keys_key *k = keys_find(r, id);
	const size_t n = strlen(what), m = strlen(which);

	for (const char *word = k ? k->scopes : ""; *word;) {
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

void keys_sign(const keys_ring_t *r, const keys_part *parts, size_t count, uint8_t out[32])
{
	keys_hmac(r->key[0].key, parts, count, out);
}

bool keys_verify(const keys_ring_t *r, const char *id, const keys_part *parts, size_t count,
	const uint8_t mac[32])
{
	const keys_key *k = keys_find(r, id);
	uint8_t ours[32];

	if (!k)
		return false;
	keys_hmac(k->key, parts, count, ours);
	return keys_equal(ours, mac, sizeof(ours));
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
	const keys_key *k = &r->key[0];
	uint8_t sub[KEYS_BYTES], *nonce = out + KEYS_ID_BYTES - 1;

	keys_subkey(k, purpose, KEYS_USE_SEAL, sub);
	memcpy(out, k->id, KEYS_ID_BYTES - 1);
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
	int rc;

	if (n < KEYS_SEAL_OVERHEAD)
		return ERR_TOKEN_INVALID;
	memcpy(id, sealed, KEYS_ID_BYTES - 1);
	k = keys_find(r, id);
	/* The padding too: what we sealed has one form only. */
	if (!k || memcmp(sealed, k->id, KEYS_ID_BYTES - 1))
		return ERR_TOKEN_INVALID;
	keys_subkey(k, purpose, KEYS_USE_SEAL, sub);
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
	keys_tag_with(&r->key[0], purpose, parts, count, out);
}

bool keys_tag_as(const keys_ring_t *r, const char *id, const char *purpose, const keys_part *parts,
	size_t count, uint8_t out[16])
{
	const keys_key *k = keys_find(r, id);

	if (k)
		keys_tag_with(k, purpose, parts, count, out);
	return k != NULL;
}

bool keys_tag_ok(const keys_ring_t *r, const char *purpose, const keys_part *parts, size_t count,
	const uint8_t tag[16])
{
	for (unsigned i = 0; i < r->count; i++) {
		uint8_t ours[16];

		keys_tag_with(&r->key[i], purpose, parts, count, ours);
		if (keys_equal(ours, tag, sizeof(ours)))
			return true;
	}
	return false;
}
