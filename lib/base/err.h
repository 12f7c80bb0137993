/* err: the one error type of the project. Rows are in errors.def.
 *
 * Functions return err_t and mark themselves MUST_CHECK; outputs come last in the parameter list
 * and are untouched unless the result is ERR_OK. A write has three outcomes: ERR_OK (done),
 * ERR_OUTCOME_UNKNOWN (may have happened), anything else (not done). */
#ifndef HB_BASE_ERR_H
#define HB_BASE_ERR_H

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

typedef enum {
	ERR_OK = 0,
#define ERR(name, http, retry, title, zh, en) ERR_##name,
#include "errors.def"
#undef ERR
	ERR_COUNT
} err_t;

/* The error of a code; ERR_INTERNAL for a name that is none. */
err_t err_named(const char *code);
/* The code's name, e.g. "PACKET_BUSY"; "OK" for ERR_OK. Static storage. */
const char *err_code(err_t e);
int err_http(err_t e);
bool err_retryable(err_t e);
const char *err_title(err_t e);
/* The user's text; `zh` chooses Chinese. */
const char *err_user_message(err_t e, bool zh);

/* What a client is told when `e` ends a request: public rows map to themselves, inside rows to the
 * public one that says the same (DB_LOST → CELL_UNAVAILABLE, DB_FAILED → INTERNAL, …). */
err_t err_public(err_t e);

/* Says what only a bug can break; stays on in production: logs file, line, text and aborts. */
#define BUG_ON(cond)                                                                               \
	do {                                                                                       \
		if (__builtin_expect(!!(cond), 0))                                                 \
			err_bug(__FILE__, __LINE__, #cond);                                        \
	} while (0)
_Noreturn void err_bug(const char *file, int line, const char *what);

#endif
