/* readmit: a member becomes one that is counted on; also for drain --undo and rebuild. */
#ifndef HB_UNITS_READMIT_H
#define HB_UNITS_READMIT_H

#include "domain/topology.h"

/* All of it, audited and journalled; a verb's exit code. */
int readmit_member(const topology_cell *cell, const char *site, const char *reason);

#endif
