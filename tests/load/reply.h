/* reply: what the driver reads of an HTTP/1.1 answer: its status, its length, and the outcome of a
 * claim or a draw. */
#ifndef HB_LOAD_REPLY_H
#define HB_LOAD_REPLY_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
	REPLY_CLAIMED,
	REPLY_ALREADY,
	REPLY_EXHAUSTED,
	REPLY_EXPIRED,
	REPLY_NOT_OPEN,
	REPLY_NOT_ELIGIBLE,
	REPLY_WON,
	REPLY_LIMIT,
	REPLY_SPENT,
	REPLY_NOT_STARTED,
	REPLY_NO_OUTCOME, /* a draw that does not win, or an answer of 200 with another body */
	REPLY_OUTCOMES
} reply_outcome;
extern const char *const reply_names[REPLY_OUTCOMES];

typedef struct {
	int status;
	reply_outcome outcome; /* with status 200 */
	bool closes;           /* the server ends the connection after it */
} reply_t;

/* Bytes of one whole answer at `buf`; 0 when more must come; -1 when it is no answer of ours
 * (no Content-Length, chunked). `buf[n]` must be readable and is set to zero meanwhile. */
long reply_read(char *buf, size_t n, reply_t *out);

#endif
