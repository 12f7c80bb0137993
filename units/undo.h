/* undo: a failover or a switchover that has begun and named nobody yet is given up, and the primary stays what it
 * was. */
#ifndef HB_UNITS_UNDO_H
#define HB_UNITS_UNDO_H

#include "units/move.h"

/* VERB_DONE: there is one that can be undone; else it says that there is none. Once the record says steady again
 * the primary may still be down, or closed, and the same command goes on. */
int undo_refused(move_t *m);
/* All of it, with m->journal open; a verb's exit code. */
int undo_failover(move_t *m);

#endif
