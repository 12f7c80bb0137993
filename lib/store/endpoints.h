/* endpoints: the addresses of one service, "http://a:1,http://b:2": any of them will do, and the one
 * that answered last is tried first. Belongs to one thread. */
#ifndef HB_STORE_ENDPOINTS_H
#define HB_STORE_ENDPOINTS_H

#include "base/err.h"

enum { ENDPOINTS_MAX = 8, ENDPOINTS_URL_BYTES = 200 };

typedef struct {
	char url[ENDPOINTS_MAX][ENDPOINTS_URL_BYTES]; /* without a slash at the end */
	unsigned count, at;                           /* at: the one to begin with */
} endpoints_t;

/* ERR_CONFIG_INVALID: none, an empty one, too many or too long. */
err_t endpoints_read(const char *list, endpoints_t *out) MUST_CHECK;
/* The k-th to be tried, k < count. */
const char *endpoints_url(const endpoints_t *e, unsigned k);
/* The k-th answered (or, with k = 1, the first did not): it is the first from now on. */
void endpoints_begin_with(endpoints_t *e, unsigned k);

#endif
