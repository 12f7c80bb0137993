/* keys: all cryptography. Key rings live in files of mode 0400 (anything wider is refused), one key
 * a line: `<key id> <64 hex digits>`; the first line signs, all verify. Key ids are 1–8 of a-z0-9.
 * Behind the key may stand words, with single spaces before them: what it is good for (keys_allows),
 * and `until:<seconds since 1970>`, from when on it is as if it were not there; not behind the first.
 * A ring follows its file (keys_look): put a new line at the bottom everywhere, then on top everywhere,
 * and the old one ends when its time is over (`hbctl keys`, docs/security.md). A key is used for its own
 * purpose only: each use derives a subkey (BLAKE2b, crypto_kdf) from it — except session and
 * finance macs, which others must be able to compute with the shared key itself (plain HMAC-SHA256,
 * RFC 2104). Macs are compared in constant time. Threads: all safe, but keys_look is one thread's. */
#ifndef HB_BASE_KEYS_H
#define HB_BASE_KEYS_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

enum {
	KEYS_BYTES = 32,
	KEYS_ID_BYTES = 9,                /* with the zero */
	KEYS_SEAL_OVERHEAD = 8 + 24 + 16, /* key id, nonce, tag: sealed = plain + this */
	KEYS_HMAC_STATE_BYTES = 208,
	KEYS_LINES_MAX = 16, /* keys of one ring */
};

typedef struct keys_ring keys_ring_t;

/* Once per process, before anything else here. From then on the process, and what it starts, leaves no
 * core file: keys would be in it, and passwords. */
err_t keys_init(void) MUST_CHECK;
/* ERR_CONFIG_INVALID (logged with file and line) for a missing, too open or malformed file. */
err_t keys_load(const char *path, keys_ring_t **out) MUST_CHECK;
/* The first line of a secret's file (a password), held to the same mode. */
err_t keys_secret(const char *path, char *out, size_t out_bytes) MUST_CHECK;
void keys_free(keys_ring_t **r);
/* Takes in what files of this process's rings have changed. A bad file changes nothing: that is logged
 * once, and what was read last stays. Calls that are under way end with the keys that they began with. */
void keys_look(void);
/* What identifies the files of the rings whose names begin so ("session."), together; 0: there are none. */
int64_t keys_version(const char *prefix);
typedef struct {
	char id[KEYS_ID_BYTES];
	int64_t until_s; /* 0: no end */
} keys_line;
/* Its keys, the one that signs first; how many. */
unsigned keys_list(const keys_ring_t *r, keys_line out[KEYS_LINES_MAX]);
void keys_current_id(const keys_ring_t *r, char out[KEYS_ID_BYTES]);
/* Whether the key named `id` has the word "<what>:<which>" or "<what>:*" behind it. */
bool keys_allows(const keys_ring_t *r, const char *id, const char *what, const char *which);

void keys_sha256(const void *data, size_t n, uint8_t out[32]);
void keys_random(void *out, size_t n);
bool keys_equal(const void *a, const void *b, size_t n); /* constant time */

typedef struct {
	const void *p;
	size_t n;
} keys_part;
/* HMAC-SHA256 over the parts, in order, with an explicit key. */
void keys_hmac(
	const uint8_t key[KEYS_BYTES], const keys_part *parts, size_t count, uint8_t out[32]);
/* The same for many messages under one key, which is worked in once: two fifths less for a short one.
 * Holds what the key can be told from: wipe it. */
typedef struct {
	_Alignas(8) uint8_t state[KEYS_HMAC_STATE_BYTES];
} keys_hmac_key;
void keys_hmac_start(const uint8_t key[KEYS_BYTES], keys_hmac_key *out);
void keys_hmac_with(const keys_hmac_key *k, const keys_part *parts, size_t count, uint8_t out[32]);
void keys_hmac_wipe(keys_hmac_key *k);
/* keys_hmac with a ring's key named `id`; false when it has none (any more: ask keys_current_id again). */
bool keys_sign(const keys_ring_t *r, const char *id, const keys_part *parts, size_t count,
	uint8_t out[32]) MUST_CHECK;
bool keys_verify(const keys_ring_t *r, const char *id, const keys_part *parts, size_t count,
	const uint8_t mac[32]);

/* Sealing: XChaCha20-Poly1305 (libsodium), random nonce, key id in front, `ad` bound. `purpose` is
 * a name of 8 characters at most, e.g. "seed". out holds n + KEYS_SEAL_OVERHEAD. */
void keys_seal(const keys_ring_t *r, const char *purpose, const keys_part *ad, const void *plain,
	size_t n, uint8_t *out);
/* ERR_TOKEN_INVALID when it does not open with any key of the ring. plain holds n - overhead. */
err_t keys_open(const keys_ring_t *r, const char *purpose, const keys_part *ad,
	const uint8_t *sealed, size_t n, void *plain) MUST_CHECK;

/* A keyed mac for our own opaque strings (cursors): subkey of `purpose`. */
void keys_tag(const keys_ring_t *r, const char *purpose, const keys_part *parts, size_t count,
	uint8_t out[16]);
/* The same with the key named `id`; false when the ring has none. */
bool keys_tag_as(const keys_ring_t *r, const char *id, const char *purpose, const keys_part *parts,
	size_t count, uint8_t out[16]);
bool keys_tag_ok(const keys_ring_t *r, const char *purpose, const keys_part *parts, size_t count,
	const uint8_t tag[16]);

#endif
