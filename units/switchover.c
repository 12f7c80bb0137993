/* hbctl cells switchover and failback: the primary moves on purpose. It stops taking writes, the next one
 * applies the last of them, the record names it, and the old one follows it. What could not be undone
 * happens only after that; until then the old primary is simply opened again. */
#include "units/switchover.h"

#include "units/args.h"
#include "units/audit.h"
#include "units/gtid.h"

#include "base/clk.h"
#include <stdio.h>
#include <string.h>

enum { READY_MS = 10000, LAST_MS = 5000, LOOK_EVERY_MS = 10, WHAT_BYTES = 200 };

static bool wait_applied(move_member *mm, const char *goal, int64_t timeout_ms)
{
	const int64_t end_ms = clk_mono_ms() + timeout_ms;

	while (move_reach(mm, MOVE_GREET_MS) == ERR_OK) {
		if (gtid_covers(mm->view.slave_pos, goal))
			return true;
		if (clk_mono_ms() > end_ms || !mm->view.applying)
			return false;
		clk_sleep_ms(LOOK_EVERY_MS);
	}
	return false;
}

static bool sound(const move_t *m, const move_member *mm)
{
	const topology_member *primary = topology_member_at(m->cell, m->record.primary);
	const role_view *v = &mm->view;

	return mm->db && control_in_sync(&m->record, mm->at->site) && v->acknowledges &&
	       v->receiving && v->applying && role_follows(v, primary);
}

int switchover_refused(const move_t *m, int code)
{
	const char *cell = m->cell->name, *primary = m->record.primary;

	if (m->record.change != CONTROL_SWITCHING) {
		fprintf(stderr, "hbctl: nothing was changed\n");
		return code;
	}
	fprintf(stderr,
		"hbctl: a switchover of cell %s has begun, and %s is closed.\n"
		"Next: this command again once that is mended; or, to open %s again,\n"
		"      hbctl cells failover %s --undo --reason TEXT --confirm %s\n",
		cell, primary, primary, cell, cell);
	return VERB_PARTLY;
}

static int not_sound(const move_t *m, const move_member *to)
{
	fprintf(stderr, "hbctl: %s is not in sync (or does not follow and acknowledge now)\n",
		to->at->site);
	if (m->record.change == CONTROL_STEADY)
		fprintf(stderr, "Next: hbctl cells readmit %s %s --reason TEXT\n", m->cell->name,
			to->at->site);
	return switchover_refused(m, VERB_REFUSED);
}

/* Nothing has been changed yet, but by an hbctl that died. */
static int preflight(move_t *m, move_member *to)
{
	move_member *p = move_primary(m);

	if (m->record.protection == CONTROL_UNPROTECTED) {
		fprintf(stderr, "hbctl: cell %s is UNPROTECTED.\nNext: readmit a member first\n",
			m->cell->name);
		return switchover_refused(m, VERB_REFUSED);
	}
	if (move_reach(p, MOVE_GREET_MS) != ERR_OK || move_reach(to, MOVE_GREET_MS) != ERR_OK) {
		fprintf(stderr, "hbctl: %s cannot be reached\n",
			p->db ? to->at->site : p->at->site);
		return switchover_refused(m, VERB_UNREACHABLE);
	}
	if (!sound(m, to))
		return not_sound(m, to);
	if (!wait_applied(to, p->view.binlog_pos, READY_MS)) {
		fprintf(stderr, "hbctl: %s lags too far behind\n", to->at->site);
		return switchover_refused(m, VERB_REFUSED);
	}
	return VERB_DONE;
}

/* The record says so, and the primary is opened again. Only whoever has its lock, and the record as it was,
 * goes back: another hbctl may have given it up meanwhile. */
static int go_back(move_t *m, const char *why)
{
	control_record want = m->record;

	fprintf(stderr, "hbctl: %s\n", why);
	want.change = CONTROL_STEADY;
	if (move_record(m, want) == ERR_OK && move_open(m) == VERB_DONE) {
		journal_step(m->journal, "undone", "%s takes writes again", m->record.primary);
		return VERB_REFUSED;
	}
	fprintf(stderr,
		"hbctl: %s could not be opened again.\nNext: hbctl cells failover %s "
		"--undo --reason TEXT --confirm %s\n",
		m->record.primary, m->cell->name, m->cell->name);
	return VERB_PARTLY;
}

/* Nobody has touched it: somebody else is changing its role, or it does not answer. */
static int not_locked(const move_t *m, err_t e)
{
	const char *primary = m->record.primary;

	verb_fail(e, "the role of %s", primary);
	if (m->record.change == CONTROL_STEADY) {
		fprintf(stderr, "hbctl: nothing was changed\n");
		return e == ERR_CELL_UNAVAILABLE ? VERB_UNREACHABLE : VERB_REFUSED;
	}
	fprintf(stderr, "Next: this command again, or hbctl cells failover\n");
	return VERB_PARTLY;
}

int switchover_pause(move_t *m, control_change as)
{
	move_member *p = move_primary(m);
	control_record want = m->record;
	err_t e;

	e = move_lock(m, p, LAST_MS);
	if (e != ERR_OK)
		return not_locked(m, e);
	want.change = as;
	e = m->record.change == as ? ERR_OK : move_record(m, want);
	if (e != ERR_OK)
		return verb_fail(e, "the control record of cell %s", m->cell->name);
	journal_step(m->journal, "begun", "the record says that %s is being closed", p->at->site);
	e = db_exec(p->db, SQL_UNITS_READ_ONLY_BOUND, DB_NONE, NULL);
	if (e == ERR_OK)
		e = db_exec(p->db, SQL_UNITS_READ_ONLY, DB_NONE, NULL);
	if (e == ERR_OK)
		e = role_read(p->db, &p->view);
	if (e == ERR_OK) {
		journal_step(m->journal, "paused", "%s takes no more writes, at %s", p->at->site,
			p->view.binlog_pos);
		return VERB_DONE;
	}
	if (p->db && db_alive(p->db))
		return go_back(
			m, "commits wait for an acknowledgement, so it cannot be closed now");
	fprintf(stderr,
		"hbctl: %s does not answer.\nNext: this command again, or hbctl cells failover\n",
		p->at->site);
	return VERB_PARTLY;
}

/* The connection that closed it still stands and it is still closed: it was not started again since. */
static bool still_closed(move_t *m, const char *at)
{
	move_member *p = move_primary(m);

	return db_alive(p->db) && role_read(p->db, &p->view) == ERR_OK && p->view.read_only &&
	       !strcmp(p->view.binlog_pos, at);
}

static int hand_over(move_t *m, move_member *to)
{
	move_member *p = move_primary(m);
	char last[ROLE_POSITION_BYTES];
	control_record want;
	err_t e;

	int code = switchover_pause(m, CONTROL_SWITCHING);
	if (code != VERB_DONE)
		return code;
	snprintf(last, sizeof(last), "%s", p->view.binlog_pos);
	if (!wait_applied(to, last, LAST_MS))
		return go_back(m, "the next primary did not apply the last writes in time");
	journal_step(
		m->journal, "applied", "%s has applied all, %s", to->at->site, to->view.slave_pos);
	if (!still_closed(m, last)) {
		fprintf(stderr,
			"hbctl: %s was started again meanwhile.\nNext: this command again\n",
			p->at->site);
		return VERB_PARTLY;
	}
	want = m->record;
	want.epoch++;
	want.change = CONTROL_MOVING;
	snprintf(want.primary, sizeof(want.primary), "%s", to->at->site);
	e = move_record(m, want);
	if (e != ERR_OK)
		return verb_begun(verb_fail(e, "the control record of cell %s", m->cell->name));
	journal_step(m->journal, "recorded", "epoch %llu, primary %s",
		(unsigned long long)want.epoch, want.primary);
	move_leave(p); /* and its lock with it */
	return move_finish(m);
}

/* What was under way led to another primary than the one that is wanted. */
static int elsewhere(const move_t *m, const move_member *to)
{
	if (!strcmp(m->record.primary, to->at->site))
		return VERB_DONE;
	fprintf(stderr,
		"hbctl: what had begun is finished: cell %s is at %s.\nNext: this command again "
		"moves "
		"it to %s\n",
		m->cell->name, m->record.primary, to->at->site);
	return VERB_PARTLY;
}

int switchover_to(move_t *m, move_member *to)
{
	const bool resume = m->record.change == CONTROL_MOVING;
	char what[WHAT_BYTES];
	int code = VERB_DONE;

	if (m->record.change == CONTROL_FAILING || m->record.change == CONTROL_DRAINED) {
		fprintf(stderr, "hbctl: cell %s is %s; nothing was changed\n", m->cell->name,
			m->record.change == CONTROL_DRAINED ? "drained" : "in a failover");
		return VERB_REFUSED;
	}
	if (!resume && to == move_primary(m)) {
		printf("cell %s is at %s already, epoch %llu\n", m->cell->name, to->at->site,
			(unsigned long long)m->record.epoch);
		return VERB_DONE;
	}
	if (!resume)
		code = preflight(m, to);
	if (code != VERB_DONE)
		return code;
	snprintf(what, sizeof(what), "cell %s: epoch %llu at %s, to %s", m->cell->name,
		(unsigned long long)m->record.epoch, m->record.primary, to->at->site);
	if (audit_begin(m->verb, what, m->reason) != ERR_OK)
		return VERB_FAILED;
	code = resume ? move_finish(m) : hand_over(m, to);
	if (code == VERB_DONE)
		code = elsewhere(m, to);
	snprintf(what, sizeof(what), "cell %s: epoch %llu at %s", m->cell->name,
		(unsigned long long)m->record.epoch, m->record.primary);
	return audit_end(m->verb, what, m->reason, code);
}

/* A printed plan; nothing is asked of anybody but the record. */
static int dry_run(move_t *m, const move_member *to)
{
	printf("cell %s, epoch %llu at %s. This would be done:\n"
	       "  1 record: switching\n  2 %s takes no more writes\n  3 %s applies the last of "
	       "them\n"
	       "  4 record: epoch %llu, primary %s\n  5 it takes over, the others and %s follow "
	       "it\n"
	       "  6 go-live files, nginx\n  7 a write through the front door\n",
		m->cell->name, (unsigned long long)m->record.epoch, m->record.primary,
		m->record.primary, to->at->site, (unsigned long long)m->record.epoch + 1,
		to->at->site, m->record.primary);
	return VERB_DONE;
}

static int with_journal(move_t *m, move_member *to, bool dry)
{
	if (dry)
		return dry_run(m, to);
	if (journal_open(m->cell->name, "switchover",
		    m->record.epoch + (m->record.change == CONTROL_MOVING ? 0 : 1),
		    &m->journal) != ERR_OK)
		return VERB_REFUSED;
	return switchover_to(m, to);
}

int switchover_verb(int argc, char **argv)
{
	const bool back = !strcmp(argv[0], "failback");
	const char *reason = NULL, *to = NULL;
	bool dry = false;
	const args_row rows[] = {
		{"reason", &reason, NULL}, {"dry-run", NULL, &dry}, {"to", &to, NULL}};
	move_t m;
	int code;

	if (args_take(argc, argv, rows, back ? 2 : 3) != 1 || (!reason && !dry) || (!back && !to))
		return verb_usage(
			back ? "cells failback CELL --reason TEXT [--dry-run]"
			     : "cells switchover CELL --to SITE --reason TEXT [--dry-run]");
	const topology_cell *cell = verb_cell(argv[1]);
	if (back)
		to = cell->active;
	code = move_start(&m, cell, back ? "cells failback" : "cells switchover", reason);
	if (code == VERB_DONE && !move_at(&m, to)) {
		fprintf(stderr, "hbctl: cell %s has no member at \"%s\"\n", cell->name, to);
		code = VERB_USAGE;
	}
	if (code == VERB_DONE)
		code = with_journal(&m, move_at(&m, to), dry);
	move_end(&m);
	return code;
}
