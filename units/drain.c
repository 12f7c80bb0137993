/* hbctl cells drain. A site: every cell whose primary is there moves to another, and its members there are
 * counted on no more and stopped, so that the site may be switched off. A cell: it takes no writes until
 * it is opened again, and stands still on all its members. --undo: the other way round. */
#include "units/drain.h"

#include "units/args.h"
#include "units/audit.h"
#include "units/gtid.h"
#include "units/readmit.h"
#include "units/site.h"
#include "units/switchover.h"

#include "base/clk.h"
#include <stdio.h>
#include <string.h>

enum { COVER_MS = 15000, FENCE_MS = 10000, LOOK_EVERY_MS = 20, WHAT_BYTES = 200 };

static const char USAGE[] =
	"cells drain CELL|SITE --reason TEXT --confirm CELL|SITE [--dead] [--undo]";

static bool fenced(const move_t *m, const move_member *mm)
{
	const topology_site *site = topology_site_named(verb_topology(), mm->at->site);
	const char *const args[] = {m->cell->name, NULL};
	site_job job;

	site_begin(site, site->fence, args, &job);
	return site_end(&job, FENCE_MS);
}

/* Some other replica that is counted on has received all of `goal`. */
static bool another_has(move_t *m, const move_member *leaving, const char *goal)
{
	const int64_t end_ms = clk_mono_ms() + COVER_MS;

	do {
		for (unsigned i = 0; i < m->cell->member_count; i++) {
			move_member *mm = &m->member[i];

			if (mm != leaving && mm != move_primary(m) &&
				control_in_sync(&m->record, mm->at->site) &&
				move_reach(mm, MOVE_GREET_MS) == ERR_OK && mm->view.acknowledges &&
				gtid_covers(mm->view.received, goal))
				return true;
		}
		clk_sleep_ms(LOOK_EVERY_MS);
	} while (clk_mono_ms() < end_ms);
	return false;
}

/* What it may have acknowledged alone, once it can acknowledge no more: what it has received, or, when
 * nobody can ask it, all that the primary has. */
static err_t last_words(move_t *m, move_member *mm, bool dead, const char **goal)
{
	move_member *p = move_primary(m);
	err_t e = move_reach_locked(mm, 2000);

	if (e == ERR_OK) {
		e = role_stop_receiving(mm->db);
		if (e == ERR_OK)
			e = role_read(mm->db, &mm->view);
		*goal = mm->view.received;
		return e;
	}
	if (!fenced(m, mm) && !dead)
		return ERR_CELL_UNAVAILABLE;
	e = move_reach(p, MOVE_GREET_MS);
	*goal = p->view.binlog_pos;
	return e;
}

int drain_member(move_t *m, move_member *mm, bool dead)
{
	control_record want = m->record;
	const char *goal;
	err_t e;

	if (!control_in_sync(&m->record, mm->at->site))
		return VERB_DONE;
	e = last_words(m, mm, dead, &goal);
	if (e != ERR_OK) {
		fprintf(stderr,
			"hbctl: %s cannot be reached, nor fenced: it may acknowledge still.\nNext: "
			"make "
			"certain that it is dead, and this command again with --dead\n",
			mm->at->site);
		return VERB_REFUSED;
	}
	if (!another_has(m, mm, goal)) {
		if (mm->db && role_receive_again(mm->db) != ERR_OK)
			fprintf(stderr, "hbctl: %s does not receive now\n", mm->at->site);
		fprintf(stderr,
			"hbctl: no other replica of cell %s has all that %s may have "
			"acknowledged\n",
			m->cell->name, mm->at->site);
		return VERB_REFUSED;
	}
	control_record_drop(&want, mm->at->site);
	e = move_record(m, want);
	if (e != ERR_OK)
		return verb_fail(e, "the control record of cell %s", m->cell->name);
	journal_step(m->journal, "dropped", "%s is not counted on any more", mm->at->site);
	return VERB_DONE;
}

/* The first other member that may be the primary. */
static move_member *next_primary(move_t *m)
{
	for (unsigned i = 0; i < m->cell->member_count; i++) {
		move_member *mm = &m->member[i];

		if (mm != move_primary(m) && control_in_sync(&m->record, mm->at->site) &&
			move_reach(mm, MOVE_GREET_MS) == ERR_OK && mm->view.acknowledges &&
			mm->view.receiving && mm->view.applying)
			return mm;
	}
	return NULL;
}

static int leave_site(move_t *m, move_member *mm, bool dead)
{
	move_member *next;
	int code = VERB_DONE;

	if (m->record.change != CONTROL_STEADY) {
		fprintf(stderr, "hbctl: a change of cell %s is under way.\nNext: finish it first\n",
			m->cell->name);
		return VERB_REFUSED;
	}
	next = mm == move_primary(m) ? next_primary(m) : NULL;
	if (mm == move_primary(m) && !next) {
		fprintf(stderr, "hbctl: no other member of cell %s can be its primary\n",
			m->cell->name);
		return VERB_REFUSED;
	}
	if (next)
		code = switchover_to(m, next);
	if (code == VERB_DONE)
		code = drain_member(m, mm, dead);
	if (code != VERB_DONE)
		return code;
	move_leave(mm);
	if (!fenced(m, mm) && !dead) {
		fprintf(stderr, "hbctl: %s does not stop.\nNext: this command again\n",
			mm->at->site);
		return VERB_PARTLY;
	}
	journal_step(
		m->journal, "done", "nothing of cell %s runs at %s", m->cell->name, mm->at->site);
	return VERB_DONE;
}

static int one_cell_of_site(
	const topology_cell *cell, const char *site, const char *reason, bool dead)
{
	move_t m;
	int code = move_start(&m, cell, "cells drain", reason);

	if (code == VERB_DONE &&
		journal_open(cell->name, "drain", m.record.epoch, &m.journal) != ERR_OK)
		code = VERB_REFUSED;
	if (code == VERB_DONE)
		code = leave_site(&m, move_at(&m, site), dead);
	move_end(&m);
	return code;
}

/* All of them, also after one that was refused: it says why, and the same command goes on. */
static int drain_site(const char *site, const char *reason, bool dead, bool undo)
{
	const topology_t *t = verb_topology();
	char what[WHAT_BYTES];
	int worst = VERB_DONE;

	snprintf(what, sizeof(what), "site %s%s%s", site, dead ? ", said to be dead" : "",
		undo ? ", undone" : "");
	if (audit_begin("cells drain", what, reason) != ERR_OK)
		return VERB_FAILED;
	for (unsigned i = 0; i < t->cell_count; i++) {
		int code = VERB_DONE;

		if (topology_member_at(&t->cell[i], site))
			code = undo ? readmit_member(&t->cell[i], site, reason)
				    : one_cell_of_site(&t->cell[i], site, reason, dead);
		if (code != VERB_DONE)
			worst = worst == VERB_DONE && i == 0 ? code : VERB_PARTLY;
	}
	return audit_end("cells drain", what, reason, worst);
}

static int open_cell(move_t *m)
{
	control_record want = m->record;
	err_t e;
	int code;

	want.change = CONTROL_STEADY;
	e = move_record(m, want);
	if (e != ERR_OK)
		return verb_fail(e, "opening cell %s", m->cell->name);
	code = move_open(m);
	if (code != VERB_DONE)
		return code;
	journal_step(m->journal, "done", "cell %s takes writes again", m->cell->name);
	return VERB_DONE;
}

static int drain_cell(const topology_cell *cell, const char *reason, bool undo)
{
	char what[WHAT_BYTES];
	move_t m;
	int code = move_start(&m, cell, "cells drain", reason);

	if (code == VERB_DONE && m.record.change != CONTROL_DRAINED &&
		(undo || m.record.change != CONTROL_STEADY)) {
		fprintf(stderr, "hbctl: cell %s is not %s; nothing was changed\n", cell->name,
			undo ? "drained" : "steady");
		code = VERB_REFUSED;
	}
	if (code == VERB_DONE &&
		journal_open(cell->name, "drain", m.record.epoch, &m.journal) != ERR_OK)
		code = VERB_REFUSED;
	snprintf(what, sizeof(what), "cell %s%s", cell->name, undo ? ", undone" : "");
	if (code == VERB_DONE && audit_begin("cells drain", what, reason) == ERR_OK) {
		code = undo ? open_cell(&m) : switchover_pause(&m, CONTROL_DRAINED);
		code = audit_end("cells drain", what, reason, code);
	}
	move_end(&m);
	return code;
}

int drain_verb(int argc, char **argv)
{
	const char *reason = NULL, *confirm = NULL;
	bool dead = false, undo = false;
	const args_row rows[] = {{"reason", &reason, NULL}, {"confirm", &confirm, NULL},
		{"dead", NULL, &dead}, {"undo", NULL, &undo}};

	if (args_take(argc, argv, rows, 4) != 1 || !reason || !confirm ||
		strcmp(confirm, argv[1]) != 0)
		return verb_usage(USAGE);
	if (topology_site_named(verb_topology(), argv[1]))
		return drain_site(argv[1], reason, dead, undo);
	return drain_cell(verb_cell(argv[1]), reason, undo);
}
