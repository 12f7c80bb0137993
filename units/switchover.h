/* switchover: the parts of it that `hbctl cells drain` uses as well. */
#ifndef HB_UNITS_SWITCHOVER_H
#define HB_UNITS_SWITCHOVER_H

#include "units/move.h"

/* All of it, audited, with m->journal open; a verb's exit code. A change that has named another primary than
 * `to` is finished, and then it is VERB_PARTLY. */
int switchover_to(move_t *m, move_member *to);
/* The exit code of one that cannot begin: `code`, unless an hbctl that died has begun it and left the primary
 * closed. Says which. */
int switchover_refused(const move_t *m, int code);
/* The primary takes no more writes, and the record says `as`: its role lock is held afterwards.
 * VERB_REFUSED when that cannot be now, and everything is as before. */
int switchover_pause(move_t *m, control_change as);

#endif
