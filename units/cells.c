/* hbctl cells init: the control records that are missing, and the go-live files. */
#include "units/site.h"
#include "units/verb.h"

#include <stdio.h>
#include <string.h>

enum { LIVE_MS = 10000 };

static void first_record(const topology_cell *cell, control_record *r)
{
	*r = (control_record){.epoch = 1, .protection = CONTROL_PROTECTED};
	snprintf(r->primary, sizeof(r->primary), "%s", cell->active);
	for (unsigned i = 0; i < cell->member_count && i < CONTROL_MEMBERS_MAX; i++)
		snprintf(r->in_sync[r->in_sync_count++], sizeof(r->in_sync[0]), "%s",
			cell->member[i].site);
}

/* The record that rules, made if there is none. Whoever else makes it meanwhile, and a lost answer,
 * are settled by reading it again. */
static err_t record_of(const topology_cell *cell, control_record *r)
{
	err_t e = control_get(verb_control(), cell->name, r);

	if (e != ERR_NOT_FOUND)
		return e;
	first_record(cell, r);
	e = control_put(verb_control(), cell->name, r);
	if (e == ERR_CONTROL_CONFLICT || e == ERR_OUTCOME_UNKNOWN)
		e = control_get(verb_control(), cell->name, r);
	return e;
}

/* At every site where the cell has a member; those that cannot be reached are told of. */
static bool write_live(const topology_cell *cell, const control_record *r)
{
	site_job jobs[TOPOLOGY_MEMBERS_MAX];
	bool all = true;

	for (unsigned i = 0; i < cell->member_count; i++)
		site_begin_live(topology_site_named(verb_topology(), cell->member[i].site),
			cell->name, r, &jobs[i]);
	for (unsigned i = 0; i < cell->member_count; i++)
		if (!site_end(&jobs[i], LIVE_MS)) {
			fprintf(stderr,
				"hbctl: site %s was not told of cell %s.\nNext: this command "
				"again, "
				"once it can be reached\n",
				cell->member[i].site, cell->name);
			all = false;
		}
	return all;
}

static int init(void)
{
	const topology_t *t = verb_topology();
	bool all = true;

	for (unsigned i = 0; i < t->cell_count; i++) {
		control_record r;
		err_t e = record_of(&t->cell[i], &r);

		if (e != ERR_OK)
			return verb_fail(e, "cell %s", t->cell[i].name);
		all = write_live(&t->cell[i], &r) && all;
		printf("cell %s: epoch %llu, primary %s\n", t->cell[i].name,
			(unsigned long long)r.epoch, r.primary);
	}
	return all ? VERB_DONE : VERB_PARTLY;
}

int cells_verb(int argc, char **argv)
{
	(void)argv;
	return argc == 1 ? init() : verb_usage("cells init");
}
