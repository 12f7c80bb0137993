/* drain: a member that is to be counted on no more; also for `hbctl cells replicate rebuild`. */
#ifndef HB_UNITS_DRAIN_H
#define HB_UNITS_DRAIN_H

#include "units/move.h"

/* Whether a copy of the cell is left without it; says so when not. */
bool drain_leaves_a_copy(move_t *m, const move_member *mm);

/* Takes a member out of the record, after another replica has all that it may have acknowledged alone.
 * `dead`: an operator says that it is. It does not receive afterwards; a verb's exit code, and when that is
 * neither VERB_DONE nor VERB_PARTLY, all is as before. */
int drain_member(move_t *m, move_member *mm, bool dead);

#endif
