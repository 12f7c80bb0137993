/* A line is composed on the stack and written by one write(2) of at most PIPE_BUF bytes, so that
 * lines of threads and processes that share a pipe never mix, without any lock. */
#include "base/logger.h"
#include "base/clk.h"
#include "base/jw.h"
#include "base/parse.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOGGER_LINE_BYTES = 4096, LOGGER_STRING_BYTES = 1024 };

static struct {
	char program[32], cell[8];
	int instance;
	_Atomic uint64_t epoch;
	logger_level least;
} logger = {.program = "?", .least = LOGGER_INFO};

void logger_init(const char *program, const char *cell, int instance, logger_level least)
{
	snprintf(logger.program, sizeof(logger.program), "%s", program);
	snprintf(logger.cell, sizeof(logger.cell), "%s", cell);
	logger.instance = instance;
	logger.least = least;
}

void logger_set_epoch(uint64_t epoch)
{
	logger.epoch = epoch;
}

static void logger_head(jw_t *w, logger_level level, const char *event)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	jw_obj(w, NULL);
	jw_time(w, "ts", clk_wall_ms());
	jw_str(w, "level", names[level]);
	jw_str(w, "program", logger.program);
	if (*logger.cell)
		jw_str(w, "cell", logger.cell);
	jw_i64(w, "instance", logger.instance);
	const uint64_t epoch = logger.epoch;
	if (epoch)
		jw_i64(w, "epoch", (int64_t)epoch);
	jw_str(w, "event", event);
	if (trace_request())
		jw_strn(w, "request_id", trace_request(), strnlen(trace_request(), 128));
	if (trace_parent())
		jw_strn(w, "trace_id", trace_parent() + TRACE_ID_AT, TRACE_ID_CHARS);
}

static void logger_put(jw_t *w, const logger_field *f)
{
	char text[PARSE_DECIMAL_BYTES];

	switch (f->val.type) {
	case LOGGER_STR:
		if (f->val.s)
			jw_strn(w, f->key, f->val.s, strnlen(f->val.s, LOGGER_STRING_BYTES));
		else
			jw_null(w, f->key);
		break;
	case LOGGER_I64:
		jw_i64(w, f->key, f->val.i);
		break;
	case LOGGER_U64:
		jw_raw(w, f->key, text, parse_to_decimal(f->val.u, text));
		break;
	}
}

void logger_write(logger_level level, const char *event, const logger_field *f, unsigned n)
{
	char line[LOGGER_LINE_BYTES];
	size_t len;
	jw_t w;

	if (level < logger.least)
		return;
	jw_start_fixed(&w, line, sizeof(line) - 1);
	logger_head(&w, level, event);
	for (unsigned i = 0; i < n; i++)
		logger_put(&w, &f[i]);
	jw_obj_end(&w);
	len = jw_end(&w);
	if (!len) { /* too long: what happened matters more than the fields */
		jw_start_fixed(&w, line, sizeof(line) - 1);
		logger_head(&w, level, event);
		jw_bool(&w, "cut", true);
		jw_obj_end(&w);
		len = jw_end(&w);
	}
	line[len] = '\n';
	while (write(STDERR_FILENO, line, len + 1) < 0 && errno == EINTR)
		;
}
