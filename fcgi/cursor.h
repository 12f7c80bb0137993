/* cursor: the two query parameters of lists, `limit` (1..100, default 20) and `cursor`: an opaque
 * keyset cursor (one that is empty is not there), tagged with the seal ring and bound to user, route and the number in the path, so
 * that it is good for nothing but the next page of the very same list.
 *
 *	cursor_t at;
 *	err_t e = cursor_read(c, &at);
 *	... at.given ? rows after (at.key[0], at.key[1]) : rows from the start;
 *	    select at.limit + 1 rows, write at.limit of them ...
 *	cursor_write(c, more, last_key0, last_key1);      -> "next_cursor": "…" or null
 */
#ifndef HB_FCGI_CURSOR_H
#define HB_FCGI_CURSOR_H

#include "fcgi/app.h"

enum { CURSOR_LIMIT_DEFAULT = 20, CURSOR_LIMIT_MAX = 100 };

typedef struct {
	unsigned limit;
	bool given;      /* false: the first page */
	uint64_t key[2]; /* as they were given to cursor_write */
} cursor_t;

/* ERR_INVALID_FIELD (limit, with errors[]), ERR_CURSOR_INVALID, ERR_INVALID_REQUEST (one of them
 * given twice). */
err_t cursor_read(app_call_t *c, cursor_t *out) MUST_CHECK;
/* Writes "next_cursor" into the open object of c->r->out. */
void cursor_write(app_call_t *c, bool more, uint64_t key0, uint64_t key1);

#endif
