/* switchover: the parts of it that `hbctl cells drain` uses as well. */
#ifndef HB_UNITS_SWITCHOVER_H
#define HB_UNITS_SWITCHOVER_H

#include "units/move.h"

/* All of it, audited, with m->journal open; a verb's exit code. */
int switchover_to(move_t *m, move_member *to);
/* The primary takes no more writes, and the record says `as`: its role lock is held afterwards.
 * VERB_REFUSED when that cannot be now, and everything is as before. */
int switchover_pause(move_t *m, control_change as);

#endif
