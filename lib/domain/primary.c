/* Never the topology's `active`, which is where a cell starts its life: after a failover that member is dead, or
 * up again with what it had before. */
#include "domain/primary.h"

err_t primary_of(control_t *control, const topology_cell *cell, const topology_member **out)
{
	control_record r;
	err_t err = control_get(control, cell->name, &r);
	if (err != ERR_OK)
		return err;
	if (r.change != CONTROL_STEADY)
		return ERR_CELL_UNAVAILABLE;
	*out = topology_member_at(cell, r.primary);
	return *out ? ERR_OK : ERR_CONFIG_INVALID;
}
