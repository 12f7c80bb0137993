/* statement: finance's statement of a day as a file: fetched in signed parts, kept whole or not at
 * all, and read line by line. */
#ifndef HB_DOMAIN_STATEMENT_H
#define HB_DOMAIN_STATEMENT_H

#include "store/finance.h"

enum { STATEMENT_PATH_BYTES = 300, STATEMENT_DAY_BYTES = 16 };

typedef struct {
	uint64_t order_no, uid, payment_no;
	finance_kind kind;
	int64_t amount_fen, at_ms;
} statement_line;
typedef err_t (*statement_fn)(void *ctx, const statement_line *line);

/* Fetches the statement of the UTC day that begins at day_ms into "<folder>/<day>.csv" (path), over
 * what stood there. */
err_t statement_fetch(finance_t *f, int64_t day_ms, const char *folder,
	char path[STATEMENT_PATH_BYTES]) MUST_CHECK;
/* Calls `each` for every line. ERR_INVALID_FIELD: a line that is none, or a file that does not end
 * with "#end" (logged with its number); lines before it were handed out. */
err_t statement_read(const char *path, statement_fn each, void *ctx) MUST_CHECK;

#endif
