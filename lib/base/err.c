/* The rows of errors.def become two arrays indexed by err_t. An inside error is one without a text
 * for users; what a client sees instead follows from its status: "busy" for 503, "our fault" for
 * the rest. */
#include "base/err.h"
#include "base/logger.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
	const char *code, *title, *zh, *en;
	int http;
	bool retry;
} err_row;

static const err_row err_table[ERR_COUNT] = {
	[ERR_OK] = {"OK", "Done", "完成", "Done.", 200, false},
#define ERR(name, status, again, text, chinese, english)                                           \
	[ERR_##name] = {#name, text, chinese, english, status, again},
#include "errors.def"
#undef ERR
};

static const err_row *err_row_of(err_t e)
{
	BUG_ON((unsigned)e >= ERR_COUNT);
	return &err_table[e];
}

const char *err_code(err_t e)
{
	return err_row_of(e)->code;
}

err_t err_named(const char *code)
{
	for (unsigned e = 1; e < ERR_COUNT; e++)
		if (strcmp(err_table[e].code, code) == 0)
			return (err_t)e;
	return ERR_INTERNAL;
}

int err_http(err_t e)
{
	return err_row_of(e)->http;
}

bool err_retryable(err_t e)
{
	return err_row_of(e)->retry;
}

const char *err_title(err_t e)
{
	return err_row_of(e)->title;
}

const char *err_user_message(err_t e, bool zh)
{
	const err_row *r = err_row_of(e);

	return zh ? r->zh : r->en;
}

err_t err_public(err_t e)
{
	const err_row *r = err_row_of(e);

	if (*r->en)
		return e;
	return r->http == 503 ? ERR_CELL_UNAVAILABLE : ERR_INTERNAL;
}

_Noreturn void err_bug(const char *file, int line, const char *what)
{
	static _Thread_local bool entered; /* the logger itself may be what is broken */

	if (!entered) {
		entered = true;
		LOG(ERROR, "bug", {"file", LOG_S(file)}, {"line", LOG_I(line)},
			{"what", LOG_S(what)});
	}
	abort();
}
