/* logger: one line of JSON per event, to stderr (runit or journald keep it). A line is written by
 * one write(2), at most 4 KB. No secrets, no amounts of other people. Threads: all safe.
 *
 *   LOG(WARN, "relay.nack", {"queue", LOG_S(queue)}, {"seq", LOG_U(seq)});
 *   →
 * {"ts":"…","level":"warn","program":"hb-worker","cell":"A","instance":1,"epoch":3,"event":"relay.nack","request_id":"…","trace_id":"…","queue":"…","seq":7}
 *
 * request_id and trace_id are those of base/trace.h, when there are any. */
#ifndef HB_BASE_LOGGER_H
#define HB_BASE_LOGGER_H

#include "base/err.h"
#include "base/trace.h"
#include <stdint.h>

typedef enum { LOGGER_DEBUG, LOGGER_INFO, LOGGER_WARN, LOGGER_ERROR } logger_level;

typedef struct {
	enum { LOGGER_STR, LOGGER_I64, LOGGER_U64 } type;
	union {
		const char *s;
		int64_t i;
		uint64_t u;
	};
} logger_val;

#define LOG_S(x) ((logger_val){.type = LOGGER_STR, .s = (x)})
#define LOG_I(x) ((logger_val){.type = LOGGER_I64, .i = (int64_t)(x)})
#define LOG_U(x) ((logger_val){.type = LOGGER_U64, .u = (uint64_t)(x)})
#define LOG_E(e) LOG_S(err_code(e))

typedef struct {
	const char *key;
	logger_val val;
} logger_field;

/* Fields are written {"key", LOG_S(value)}. */
#define LOG(level, event, ...)                                                                     \
	logger_write(LOGGER_##level, event, (const logger_field[]){__VA_ARGS__},                   \
		sizeof((const logger_field[]){__VA_ARGS__}) / sizeof(logger_field))
/* What is worth a line of a trace that is followed; of others with log.level debug only. */
#define LOG_STEP(event, ...)                                                                       \
	logger_write(trace_followed() ? LOGGER_INFO : LOGGER_DEBUG, event,                         \
		(const logger_field[]){__VA_ARGS__},                                               \
		sizeof((const logger_field[]){__VA_ARGS__}) / sizeof(logger_field))
#define LOG0(level, event) logger_write(LOGGER_##level, event, 0, 0)

/* Once at start; strings are copied. `cell` may be "". */
void logger_init(const char *program, const char *cell, int instance, logger_level least);
/* Of the cell, as the program was given it; 0: none, and not shown. Before there are threads. */
void logger_set_epoch(uint64_t epoch);
void logger_write(logger_level level, const char *event, const logger_field *f, unsigned n);

#endif
