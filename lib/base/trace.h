/* trace: for which request this thread works now: its id, and its trace as W3C Trace Context writes it,
 * "00-<32 hex: trace id>-<16 hex: parent id>-<2 hex: flags>". Every line of the logger carries both. What
 * goes on to other programs is the traceparent as it came; nobody here makes spans of their own.
 *
 * A trace with the flag "sampled" is followed: it goes with the outbox's events through RabbitMQ to the
 * workers, and each step writes a line (LOG_STEP). The gate makes a traceparent, not sampled, where none
 * comes. Threads: each has its own. */
#ifndef HB_BASE_TRACE_H
#define HB_BASE_TRACE_H

#include <stdbool.h>

enum { TRACE_TEXT_BYTES = 56, TRACE_ID_CHARS = 32, TRACE_ID_AT = 3 };

/* Version 00, lower case, neither id all zero. */
bool trace_ok(const char *text);
bool trace_sampled(const char *traceparent);
/* One of our own, not sampled: the request's id is its trace id where it has the form of one. */
void trace_make(const char *request_id, char out[TRACE_TEXT_BYTES]);

/* Until trace_end, or begun anew. Not copied; each may be NULL, and `traceparent` is trace_ok. */
void trace_begin(const char *request_id, const char *traceparent);
void trace_end(void);
const char *trace_request(void); /* NULL: for none */
const char *trace_parent(void);
/* trace_parent, if it is followed; else NULL. */
const char *trace_followed(void);

#endif
