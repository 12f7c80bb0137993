/* control: the control record of a cell in etcd (v3, JSON gateway), changed only by
 * compare-and-set. The value is {"epoch":7,"primary":"east","in_sync":["east","west"],"protection":
 * "protected"} under "<prefix>cells/<cell>", and "change":"failing" while one is under way. A
 * control_t belongs to one thread. */
#ifndef HB_STORE_CONTROL_H
#define HB_STORE_CONTROL_H

#include "base/err.h"
#include <stdint.h>

enum { CONTROL_MEMBERS_MAX = 8 };
typedef enum { CONTROL_PROTECTED = 1, CONTROL_UNPROTECTED = 2 } control_protection;
/* A change of the primary that is under way; whoever runs hbctl next finishes it. */
typedef enum {
	CONTROL_STEADY,
	CONTROL_SWITCHING, /* the primary hands over: it is not made writable */
	CONTROL_FAILING, /* the primary is given up: nobody may follow it anew, or acknowledge it */
	CONTROL_DRAINED, /* closed by an operator, until it is opened again */
	CONTROL_MOVING, /* `primary` is the new one; it may not be writable, or known everywhere, yet */
} control_change;

typedef struct {
	uint64_t epoch;
	char primary[16];                      /* site */
	char in_sync[CONTROL_MEMBERS_MAX][16]; /* sites whose member may have acknowledged */
	unsigned in_sync_count;
	control_protection protection;
	control_change change;
	int64_t revision; /* of etcd when read; 0: does not exist */
} control_record;

bool control_in_sync(const control_record *r, const char *site);

typedef struct control control_t;

/* `endpoints`: "http://127.0.0.1:2379" or several separated by commas; tried in turn. `prefix`,
 * e.g. "/hongbao/". A reading takes timeout_ms at most, all endpoints together; so does a writing
 * (of which only one is asked, unless it cannot have been reached). */
err_t control_new(
	const char *endpoints, const char *prefix, int64_t timeout_ms, control_t **out) MUST_CHECK;
void control_free(control_t **c);
/* Reads what a majority holds. ERR_NOT_FOUND (no record), ERR_CONTROL_UNAVAILABLE (also for a
 * record that cannot be read; logged). */
err_t control_get(control_t *c, const char *cell, control_record *out) MUST_CHECK;
/* Writes only if the record's revision is still rec->revision (0: only if there is none); sets the
 * new revision. ERR_CONTROL_CONFLICT when it is not; ERR_OUTCOME_UNKNOWN when the answer was lost
 * (read again). */
err_t control_put(control_t *c, const char *cell, control_record *rec) MUST_CHECK;

#endif
