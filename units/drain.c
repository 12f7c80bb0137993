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

enum {
	COVER_MS = 15000,
	FENCE_MS = 10000,
	LOCK_MS = 2000,
	LOOK_EVERY_MS = 20,
	WHAT_BYTES = 200,
};

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

/* How many other replicas that are counted on have received all of `goal`. */
static unsigned copies(move_t *m, const move_member *leaving, const char *goal)
{
	const topology_member *primary = move_primary(m)->at;
	unsigned n = 0;

	for (unsigned i = 0; i < m->cell->member_count; i++) {
		move_member *mm = &m->member[i];

		if (mm != leaving && mm != move_primary(m) &&
			control_in_sync(&m->record, mm->at->site) &&
			move_reach(mm, MOVE_GREET_MS) == ERR_OK && mm->view.acknowledges &&
			role_follows(&mm->view, primary) && gtid_covers(mm->view.received, goal))
			n++;
	}
	return n;
}

static bool another_has(move_t *m, const move_member *leaving, const char *goal)
{
	const int64_t end_ms = clk_mono_ms() + COVER_MS;

	while (copies(m, leaving, goal) == 0) {
		if (clk_mono_ms() > end_ms)
			return false;
		clk_sleep_ms(LOOK_EVERY_MS);
	}
	return true;
}

/* One of the others becomes the primary, when it is that which leaves. */
bool drain_leaves_a_copy(move_t *m, const move_member *mm)
{
	if (copies(m, mm, "") > (mm == move_primary(m) ? 1 : 0))
		return true;
	fprintf(stderr,
		"hbctl: without %s nobody would acknowledge what the primary of cell %s writes\n",
		mm->at->site, m->cell->name);
	return false;
}

/* It receives again, by the record as it is now and with its lock still held: in a failover nobody may
 * come back to the old primary. `code`, unless it stays as it is. */
static int let_go(move_t *m, const move_member *mm, int code)
{
	control_record now;

	if (mm->db && control_get(verb_control(), m->cell->name, &now) == ERR_OK &&
		now.change != CONTROL_FAILING && !strcmp(now.primary, m->record.primary) &&
		control_in_sync(&now, mm->at->site) && role_receive_again(mm->db) == ERR_OK &&
		role_unlock(mm->db) == ERR_OK)
		return code;
	fprintf(stderr,
		"hbctl: %s does not receive now.\nNext: this command again, or hbctl cells readmit "
		"%s %s --reason TEXT\n",
		mm->at->site, m->cell->name, mm->at->site);
	return VERB_PARTLY;
}

/* It acknowledges nothing any more: it has stopped receiving, or is dead. */
static int silence(move_t *m, move_member *mm, bool dead)
{
	err_t e = move_lock(m, mm, LOCK_MS);

	if (e == ERR_CONTROL_CONFLICT || e == ERR_CONTROL_UNAVAILABLE ||
		(e != ERR_OK && mm->db)) /* it lives, and somebody else changes its role */
		return verb_fail(e, "the role of %s", mm->at->site);
	if (e != ERR_OK && (fenced(m, mm) || dead))
		return VERB_DONE;
	if (e != ERR_OK) {
		fprintf(stderr,
			"hbctl: %s cannot be reached, nor fenced: it may acknowledge still.\n"
			"Next: make certain that it is dead, and this command again with --dead\n",
			mm->at->site);
		return VERB_PARTLY;
	}
	e = role_stop_receiving(mm->db);
	if (e == ERR_OK)
		e = role_read(mm->db, &mm->view);
	return e == ERR_OK ? VERB_DONE
			   : let_go(m, mm, verb_fail(e, "%s receives still", mm->at->site));
}

/* What it may have acknowledged alone: what it has received, if it has kept that since its start. Nobody
 * knows what one has acknowledged that has lost its relay log, or cannot be asked; no more than the
 * primary has. */
static err_t last_words(move_t *m, const move_member *mm, const char **goal)
{
	move_member *p = move_primary(m);
	const bool kept = mm->db && mm->view.acknowledges &&
			  gtid_covers(mm->view.received, mm->view.slave_pos);
	err_t e = kept ? ERR_OK : move_reach(p, MOVE_GREET_MS);

	*goal = kept ? mm->view.received : p->view.binlog_pos;
	return e;
}

int drain_member(move_t *m, move_member *mm, bool dead)
{
	control_record want = m->record;
	const char *goal;
	err_t e;
	int code;

	if (!control_in_sync(&m->record, mm->at->site))
		return VERB_DONE;
	code = silence(m, mm, dead);
	if (code != VERB_DONE)
		return code;
	e = last_words(m, mm, &goal);
	if (e != ERR_OK)
		return let_go(m, mm,
			verb_fail(e, "%s alone knows what %s may have acknowledged",
				m->record.primary, mm->at->site));
	if (!another_has(m, mm, goal)) {
		fprintf(stderr,
			"hbctl: no other replica of cell %s has all that %s may have "
			"acknowledged\n",
			m->cell->name, mm->at->site);
		return let_go(m, mm, VERB_REFUSED);
	}
	control_record_drop(&want, mm->at->site);
	e = move_record(m, want);
	if (e == ERR_OUTCOME_UNKNOWN) /* if it counts no more, it must not receive */
		return verb_begun(verb_fail(e, "the control record of cell %s", m->cell->name));
	if (e != ERR_OK)
		return let_go(m, mm, verb_fail(e, "the control record of cell %s", m->cell->name));
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

/* Goes on with what an hbctl that died has begun: a change that has named its new primary, or one that closes
 * the primary which leaves. */
static int primary_leaves(move_t *m, const move_member *mm)
{
	move_member *next;
	int code = VERB_DONE;

	if (m->record.change == CONTROL_MOVING)
		code = switchover_to(m, move_primary(m));
	if (code != VERB_DONE)
		return code;
	if (control_in_sync(&m->record, mm->at->site) && !drain_leaves_a_copy(m, mm))
		return switchover_refused(m, VERB_REFUSED);
	if (mm != move_primary(m))
		return VERB_DONE;
	next = next_primary(m);
	if (next)
		return switchover_to(m, next);
	fprintf(stderr, "hbctl: no other member of cell %s can be its primary\n", m->cell->name);
	return switchover_refused(m, VERB_REFUSED);
}

static bool can_leave(const move_t *m, const move_member *mm)
{
	const control_record *r = &m->record;
	const char *cell = m->cell->name;

	if (r->change == CONTROL_STEADY || r->change == CONTROL_MOVING ||
		(r->change == CONTROL_SWITCHING && !strcmp(r->primary, mm->at->site)))
		return true;
	if (r->change == CONTROL_DRAINED)
		fprintf(stderr,
			"hbctl: cell %s is drained.\nNext: hbctl cells drain %s --undo --reason "
			"TEXT --confirm %s\n",
			cell, cell, cell);
	else
		fprintf(stderr, "hbctl: a change of cell %s is under way.\nNext: finish it first\n",
			cell);
	return false;
}

static int leave_site(move_t *m, move_member *mm, bool dead)
{
	const control_record before = m->record;
	int code;

	if (!can_leave(m, mm))
		return VERB_REFUSED;
	code = primary_leaves(m, mm);
	if (code == VERB_DONE)
		code = drain_member(m, mm, dead);
	if (code != VERB_DONE)
		return m->record.epoch == before.epoch && m->record.change == before.change
			       ? code
			       : verb_begun(code);
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

/* Where the primary is nothing is to be brought back. */
static int one_cell_back(const topology_cell *cell, const char *site, const char *reason)
{
	move_t m;
	int code = move_start(&m, cell, "cells drain", reason);
	const bool primary = code == VERB_DONE && move_at(&m, site) == move_primary(&m);

	move_end(&m);
	return code != VERB_DONE || primary ? code : readmit_member(cell, site, reason);
}

/* All of them, also after one that was refused: it says why, and the same command goes on. */
static int drain_site(const char *site, const char *reason, bool dead, bool undo)
{
	const topology_t *t = verb_topology();
	char what[WHAT_BYTES];
	int bad = VERB_DONE;
	bool changed = false;

	snprintf(what, sizeof(what), "site %s%s%s", site, dead ? ", said to be dead" : "",
		undo ? ", undone" : "");
	if (audit_begin("cells drain", what, reason) != ERR_OK)
		return VERB_FAILED;
	for (unsigned i = 0; i < t->cell_count; i++) {
		int code;

		if (!topology_member_at(&t->cell[i], site))
			continue;
		code = undo ? one_cell_back(&t->cell[i], site, reason)
			    : one_cell_of_site(&t->cell[i], site, reason, dead);
		changed = changed || code == VERB_DONE || code == VERB_PARTLY;
		bad = bad == VERB_DONE ? code : bad;
	}
	if (changed && bad != VERB_DONE)
		bad = VERB_PARTLY;
	return audit_end("cells drain", what, reason, bad);
}

static int open_cell(move_t *m)
{
	control_record want = m->record;
	err_t e = ERR_OK;
	int code;

	want.change = CONTROL_STEADY;
	if (m->record.change != CONTROL_STEADY)
		e = move_record(m, want);
	if (e != ERR_OK)
		return verb_fail(e, "opening cell %s", m->cell->name);
	journal_step(m->journal, "undone", "the record says steady, primary %s", m->record.primary);
	code = move_open(m);
	if (code != VERB_DONE)
		return verb_begun(code);
	journal_step(m->journal, "done", "cell %s takes writes again", m->cell->name);
	return VERB_DONE;
}

/* Drained, or steady again and its primary not open yet: an hbctl that died has begun to open it. */
static bool can_be_opened(move_t *m)
{
	move_member *p = move_primary(m);

	return m->record.change == CONTROL_DRAINED ||
	       (m->record.change == CONTROL_STEADY && move_reach(p, MOVE_GREET_MS) == ERR_OK &&
		       p->view.read_only);
}

static bool can_be_drained(const move_t *m)
{
	return m->record.change == CONTROL_DRAINED || m->record.change == CONTROL_STEADY;
}

static int drain_cell(const topology_cell *cell, const char *reason, bool undo)
{
	char what[WHAT_BYTES];
	move_t m;
	int code = move_start(&m, cell, "cells drain", reason);

	if (code == VERB_DONE && !(undo ? can_be_opened(&m) : can_be_drained(&m))) {
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
