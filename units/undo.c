/* hbctl cells failover --undo. The record says steady first: a primary that is down comes up by its own rules
 * then, and replicas that were started meanwhile follow it again. One that runs has no settler any more and
 * is opened here, like any other only once what it has is acknowledged. */
#include "units/undo.h"

#include "units/site.h"

#include <stdio.h>

enum { SITE_MS = 10000, LOCK_WAIT_MS = 1500 };

int undo_refused(move_t *m)
{
	const control_change change = m->record.change;
	move_member *p = move_primary(m);

	if (change == CONTROL_FAILING || change == CONTROL_SWITCHING ||
		(change == CONTROL_STEADY &&
			(move_reach(p, MOVE_GREET_MS) != ERR_OK || p->view.read_only)))
		return VERB_DONE;
	fprintf(stderr, "hbctl: no failover of cell %s is under way that could be undone\n",
		m->cell->name);
	return VERB_REFUSED;
}

static void receive_again(move_t *m, move_member *mm)
{
	err_t e = move_lock(m, mm, LOCK_WAIT_MS);

	if (e == ERR_OK && mm->view.acknowledges)
		e = role_receive_again(mm->db);
	if (e == ERR_OK)
		e = role_unlock(mm->db);
	if (e != ERR_OK)
		fprintf(stderr, "hbctl: %s does not receive yet\n", mm->at->site);
}

/* Its programs are told (a fence has taken their file away), and it is kept running. */
static bool start_primary(const move_t *m)
{
	const topology_site *site = topology_site_named(verb_topology(), m->record.primary);
	const char *const args[] = {"start", m->cell->name, NULL};
	site_job job;
	bool told;

	site_begin_live(site, m->cell->name, &m->record, &job);
	told = site_end(&job, SITE_MS);
	site_begin(site, site->run, args, &job);
	return site_end(&job, SITE_MS) && told;
}

int undo_failover(move_t *m)
{
	const bool runs = move_reach(move_primary(m), MOVE_GREET_MS) == ERR_OK;
	control_record want = m->record;
	bool started;
	int code;
	err_t e = ERR_OK;

	want.change = CONTROL_STEADY;
	if (m->record.change != CONTROL_STEADY)
		e = move_record(m, want);
	if (e != ERR_OK)
		return verb_fail(e, "the control record of cell %s", m->cell->name);
	journal_step(m->journal, "undone", "the record says steady, primary %s", want.primary);
	for (unsigned i = 0; i < m->cell->member_count; i++)
		if (&m->member[i] != move_primary(m) &&
			control_in_sync(&m->record, m->member[i].at->site))
			receive_again(m, &m->member[i]);
	code = runs ? move_open(m) : VERB_DONE;
	started = start_primary(m);
	if (!started)
		fprintf(stderr, "hbctl: %s could not be started.\nNext: this command again\n",
			want.primary);
	if (!started || code != VERB_DONE)
		return VERB_PARTLY;
	journal_step(
		m->journal, "done", "%s %s", want.primary, runs ? "goes on" : "is being started");
	return VERB_DONE;
}
