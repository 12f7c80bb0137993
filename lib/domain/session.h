/* session: tokens `hb1.<uid>.<expires>.<key id>.<mac>`; mac = base64url(HMAC-SHA256(key,
 * "hb1.<uid>.<expires>.<key id>")), expires in seconds since 1970. And relation grants of the host
 * app: `hbg1.<viewer>.<sender>.<friend|fan>.<expires>.<key id>.<mac>`, made the same way. */
#ifndef HB_DOMAIN_SESSION_H
#define HB_DOMAIN_SESSION_H

#include "base/keys.h"

enum { SESSION_TOKEN_BYTES = 160, SESSION_UID_MAX_DIGITS = 18 };
#define SESSION_UID_MAX UINT64_C(999999999999999999) /* SESSION_UID_MAX_DIGITS */
typedef enum { SESSION_FRIEND = 1, SESSION_FAN = 2 } session_relation;

void session_mint(
	const keys_ring_t *keys, uint64_t uid, int64_t expires_s, char out[SESSION_TOKEN_BYTES]);
/* ERR_SESSION_INVALID when malformed, expired or not ours. */
err_t session_verify(const keys_ring_t *keys, const char *token, int64_t now_s, uint64_t *uid,
	int64_t *expires_s) MUST_CHECK;

void session_grant_mint(const keys_ring_t *keys, uint64_t viewer, uint64_t sender,
	session_relation r, int64_t expires_s, char out[SESSION_TOKEN_BYTES]);
/* ERR_TOKEN_INVALID when malformed, expired, of another viewer or sender, or not signed by the host
 * app. */
err_t session_grant_verify(const keys_ring_t *keys, const char *grant, uint64_t viewer,
	uint64_t sender, int64_t now_s, session_relation *r) MUST_CHECK;

#endif
