/* signature: of requests and answers between us, finance and partners. HMAC-SHA256 over
 * "v1\n<who>\n<unix seconds>\n<id>\n<METHOD>\n<path>\n<hex sha256 of the body>", written in a header as
 * "v1 <who> <unix seconds> <id> <key id> <base64url mac>". <path> is the request target as sent,
 * <id> 1–64 of A-Z a-z 0-9 . _ : -. Threads: all safe. */
#ifndef HB_BASE_SIGNATURE_H
#define HB_BASE_SIGNATURE_H

#include "base/keys.h"

enum { SIGNATURE_BYTES = 256, SIGNATURE_WHO_BYTES = 33, SIGNATURE_ID_BYTES = 65 };

void signature_make(const keys_ring_t *keys, const char *who, int64_t unix_s, const char *id,
	const char *method, const char *path, const void *body, size_t n,
	char header[SIGNATURE_BYTES]);
/* ERR_SIGNATURE_INVALID when malformed, of somebody else, off by more than skew_s, or not
 * verifying. */
err_t signature_verify(const keys_ring_t *keys, const char *who, int64_t now_s, int64_t skew_s,
	const char *header, const char *method, const char *path, const void *body, size_t n,
	char id[SIGNATURE_ID_BYTES]) MUST_CHECK;
/* Who says to have signed, and with which key: to know whose keys to verify with. False when
 * malformed. */
bool signature_who(
	const char *header, char out[SIGNATURE_WHO_BYTES], char key_id[KEYS_ID_BYTES]) MUST_CHECK;

#endif
