/* probe: a write through the front door, as a user's: the way of a request after a failover. */
#ifndef HB_UNITS_PROBE_H
#define HB_UNITS_PROBE_H

#include "domain/topology.h"

/* Repeats until it is answered with 200, at most for timeout_ms. It leaves a row for a user that there
 * is not, one for each epoch. *status: of the last answer, 0 when there was none. */
bool probe_writes(const topology_cell *cell, uint64_t epoch, int64_t timeout_ms, long *status);

#endif
