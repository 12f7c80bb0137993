/* partner: who besides our own rain may issue subsidies: those whose keys are in the secrets'
 * folder as partner.<name>.keys. Behind a key stands for which campaigns it is good:
 * `k1 <64 hex digits> campaign:demo` or `campaign:*`. Their keys
 * follow the files (keys_look), who there is does not; all threads. */
#ifndef HB_DOMAIN_PARTNER_H
#define HB_DOMAIN_PARTNER_H

#include "base/conf.h"
#include "base/keys.h"

enum { PARTNER_MAX = 64 };

typedef struct partner partner_t;

/* ERR_CONFIG_INVALID (logged) for a file that keys_load refuses, a name that is none
 * (subsidy_partner_ok), or more than PARTNER_MAX. */
err_t partner_load(const conf_t *conf, partner_t **out) MUST_CHECK;
void partner_free(partner_t **p);

typedef struct {
	const char *name; /* lives as long as partner_t */
	const keys_ring_t *keys;
	char key_id[KEYS_ID_BYTES]; /* that the request was signed with */
} partner_caller;

/* Who signed a request (base/signature.h, <who> is the partner's name). ERR_SIGNATURE_INVALID. */
err_t partner_verify(const partner_t *p, int64_t now_s, int64_t skew_s, const char *header,
	const char *method, const char *path, const void *body, size_t n,
	partner_caller *out) MUST_CHECK;
/* Whether the caller's key is good for this campaign. */
bool partner_may(const partner_caller *c, const char *campaign);

#endif
