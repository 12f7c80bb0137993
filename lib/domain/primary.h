/* primary: the member of a cell whose word counts, as the control record has it. A cell's own programs are
 * told by their go-live file (live.h); this is for who looks into another cell. */
#ifndef HB_DOMAIN_PRIMARY_H
#define HB_DOMAIN_PRIMARY_H

#include "domain/topology.h"
#include "store/control.h"

/* ERR_CELL_UNAVAILABLE while a change of the primary is under way: who is being given up may be behind what
 * it told others. ERR_CONFIG_INVALID: its site is not in the topology. */
err_t primary_of(
	control_t *control, const topology_cell *cell, const topology_member **out) MUST_CHECK;

#endif
