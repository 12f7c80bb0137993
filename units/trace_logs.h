/* trace_logs: the lines of this machine's logs, as far back as they are kept. */
#ifndef HB_UNITS_TRACE_LOGS_H
#define HB_UNITS_TRACE_LOGS_H

#include <stdbool.h>

typedef void (*trace_logs_line)(void *ctx, const char *line);

/* Calls `each` for every line of JSON: svlogd's files, nginx's, rotated ones too, and the journal's of our
 * units. Not in the order of time. False: the journal has more than is read. */
bool trace_logs_each(trace_logs_line each, void *ctx);

#endif
