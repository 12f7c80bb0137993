/* token: the sealed proof of a win in a rain, which its winner may spend before the row of the
 * subsidy exists. Sealed under the seal ring (XChaCha20-Poly1305), bound to the uid; nobody but us
 * reads or makes one. A token proves that its draw won; whether it is spent, the database says.
 * Threads: all safe. */
#ifndef HB_DOMAIN_TOKEN_H
#define HB_DOMAIN_TOKEN_H

#include "base/keys.h"

enum {
	TOKEN_OUT_ORDER_BYTES = 65, /* with the zero; 1–64 of A-Z a-z 0-9 . _ : - */
	TOKEN_TEXT_BYTES = 400,
};

/* One win; also what hb-rain publishes and the consumer records. */
typedef struct {
	uint64_t uid, subsidy_id;
	char out_order_no
		[TOKEN_OUT_ORDER_BYTES]; /* of the issuer "rain"; ends in the winner's uid */
	uint64_t lease_id;
	uint64_t campaign; /* its number */
	int64_t amount_fen, expires_at_ms;
} token_win;

/* "hbs1.<base64url>". */
void token_seal(const keys_ring_t *keys, const token_win *win, char out[TOKEN_TEXT_BYTES]);
/* ERR_TOKEN_INVALID: malformed, not ours, or of another uid. Expired ones open: the caller compares
 * expires_at_ms. */
err_t token_open(
	const keys_ring_t *keys, uint64_t uid, const char *text, token_win *out) MUST_CHECK;

#endif
