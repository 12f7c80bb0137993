/* hbctl cells readmit: a member that was given up, or was rebuilt, becomes one that is counted on. Unless it
 * follows already it is killed and started again, so that it cuts off what nobody was told, and stands by
 * (hbctl member run). The record counts it before it receives anything: from then on it acknowledges, and
 * what only it acknowledged must be looked for there. What it had received without acknowledging would be
 * waited for for ever by a primary that has nobody else (docs/decisions.md 51). It has not caught up then,
 * which does no harm: who takes over is who has received most (units/choose.h). */
#include "units/readmit.h"

#include "units/args.h"
#include "units/audit.h"
#include "units/doors.h"
#include "units/gtid.h"
#include "units/move.h"
#include "units/site.h"

#include "base/clk.h"
#include <stdio.h>
#include <string.h>

enum {
	SITE_MS = 15000,
	FOLLOW_MS = 60000,
	ALONE_MS = 8000,
	CATCH_UP_MS = 600000,
	SAY_MS = 2000,
	LOOK_EVERY_MS = 50,
	LOCK_MS = 2000,
	DIVERGED = 1236, /* the primary has no such position */
};

static const char USAGE[] = "cells readmit CELL SITE --reason TEXT";

typedef struct {
	move_t m;
	const char *reason;
	move_member *it;
	bool begun; /* something was changed */
} readmit;

static bool counted(const readmit *r)
{
	return control_in_sync(&r->m.record, r->it->at->site);
}

static bool follows_well(readmit *r)
{
	const role_view *v = &r->it->view;

	return move_reach(r->it, MOVE_GREET_MS) == ERR_OK && v->read_only && v->applying &&
	       role_follows(v, move_primary(&r->m)->at);
}

static bool site_does(const readmit *r, const char *prefix, const char *const *args)
{
	const topology_site *site = topology_site_named(verb_topology(), r->it->at->site);
	site_job job;

	site_begin(site, prefix, args, &job);
	return site_end(&job, SITE_MS);
}

/* Its programs, and its nginx, learn who is the primary. Only the programs have to: others have doors. */
static bool tell_site(const readmit *r)
{
	const topology_site *site = topology_site_named(verb_topology(), r->it->at->site);
	site_job live;

	site_begin_live(site, r->m.cell->name, &r->m.record, &live);
	doors_reload_at(site->name);
	return site_end(&live, SITE_MS);
}

/* Dead for certain, then told the truth, then started. */
static int start_anew(readmit *r)
{
	const topology_site *site = topology_site_named(verb_topology(), r->it->at->site);
	const char *const fence[] = {r->m.cell->name, NULL};
	const char *const start[] = {"start", r->m.cell->name, NULL};

	move_leave(r->it);
	if (!site_does(r, site->fence, fence)) {
		fprintf(stderr, "hbctl: %s cannot be fenced; nothing was changed\n", site->name);
		return VERB_UNREACHABLE;
	}
	r->begun = true;
	journal_step(r->m.journal, "fenced", "%s is dead", site->name);
	if (!tell_site(r) || !site_does(r, site->run, start)) {
		fprintf(stderr, "hbctl: %s cannot be started.\nNext: this command again\n",
			site->name);
		return VERB_PARTLY;
	}
	journal_step(r->m.journal, "started", "%s is told of epoch %llu and started", site->name,
		(unsigned long long)r->m.record.epoch);
	return VERB_DONE;
}

static int refused(const readmit *r)
{
	const char *cell = r->m.cell->name, *site = r->it->at->site;

	if (r->it->view.receive_error == DIVERGED)
		fprintf(stderr, "hbctl: %s has what %s has not: it cannot follow any more.\n", site,
			r->m.record.primary);
	else
		fprintf(stderr, "hbctl: %s does not follow %s (errors %u, %u; see its log).\n",
			site, r->m.record.primary, r->it->view.receive_error,
			r->it->view.apply_error);
	fprintf(stderr, "Next: hbctl cells replicate %s rebuild %s --reason TEXT --confirm %s\n",
		cell, site, site);
	return VERB_PARTLY;
}

static int silent(const readmit *r)
{
	fprintf(stderr, "hbctl: %s does not answer.\nNext: this command again\n", r->it->at->site);
	return VERB_PARTLY;
}

/* After its start: its settler has given it a role. One that is up and is given none must be rebuilt
 * (units/member.c). */
static int wait_settled(readmit *r)
{
	const int64_t end_ms = clk_mono_ms() + FOLLOW_MS;
	int64_t up_since_ms = INT64_MAX;

	for (;;) {
		if (move_reach(r->it, MOVE_GREET_MS) != ERR_OK)
			up_since_ms = INT64_MAX;
		else if (counted(r) ? follows_well(r) : r->it->view.stands_by)
			return VERB_DONE;
		else if (up_since_ms == INT64_MAX)
			up_since_ms = clk_mono_ms();
		else if (!r->it->view.follows && clk_mono_ms() - up_since_ms > ALONE_MS)
			return refused(r);
		if (clk_mono_ms() > end_ms)
			return r->it->db ? refused(r) : silent(r);
		clk_sleep_ms(LOOK_EVERY_MS);
	}
}

static int wait_following(readmit *r)
{
	const int64_t end_ms = clk_mono_ms() + FOLLOW_MS;

	while (!follows_well(r) || !r->it->view.receiving) {
		if ((r->it->db && r->it->view.receive_error == DIVERGED) || clk_mono_ms() > end_ms)
			return r->it->db ? refused(r) : silent(r);
		clk_sleep_ms(LOOK_EVERY_MS);
	}
	journal_step(r->m.journal, "follows", "%s follows %s from %s", r->it->at->site,
		r->m.record.primary, r->it->view.slave_pos);
	return VERB_DONE;
}

/* Until it has applied what the primary had when it was last asked. It is asked before the primary, so
 * that what it has beyond is no matter of time. */
static int catch_up(readmit *r)
{
	const int64_t end_ms = clk_mono_ms() + CATCH_UP_MS;
	move_member *p = move_primary(&r->m);
	char goal[ROLE_POSITION_BYTES] = "";
	int64_t said_ms = clk_mono_ms();
	bool known = false;

	for (;;) {
		err_t e = move_reach(r->it, MOVE_GREET_MS);

		if (e == ERR_OK && known && gtid_covers(r->it->view.slave_pos, goal))
			break;
		if (e == ERR_OK && r->it->view.receive_error == DIVERGED)
			return refused(r);
		if (e == ERR_OK)
			e = move_reach(p, MOVE_GREET_MS);
		if (e == ERR_OK && !known)
			known = snprintf(goal, sizeof(goal), "%s", p->view.binlog_pos) > 0;
		if (e == ERR_OK && !gtid_covers(p->view.binlog_pos, r->it->view.slave_pos))
			return refused(r);
		if (clk_mono_ms() > end_ms || (e == ERR_OK && !r->it->view.applying))
			return e == ERR_OK ? refused(r) : verb_fail(e, "catching up");
		if (clk_mono_ms() - said_ms > SAY_MS) {
			said_ms = clk_mono_ms();
			journal_step(r->m.journal, "applying", "%s has applied %s of %s",
				r->it->at->site, r->it->view.slave_pos, goal);
		}
		clk_sleep_ms(LOOK_EVERY_MS);
	}
	journal_step(r->m.journal, "caught-up", "%s has applied %s", r->it->at->site,
		r->it->view.slave_pos);
	return VERB_DONE;
}

/* What it has beyond the primary is no matter of time, and nothing that anybody was told. */
static bool has_more(readmit *r)
{
	move_member *p = move_primary(&r->m);

	return move_reach(p, MOVE_GREET_MS) == ERR_OK &&
	       !gtid_covers(p->view.binlog_pos, r->it->view.slave_pos);
}

/* It stands by, and its lock is held from reading its view to its following. */
static err_t count_it(readmit *r)
{
	control_record want = r->m.record;
	err_t e = move_reach_locked(r->it, LOCK_MS);

	if (e == ERR_OK && !r->it->view.stands_by)
		e = ERR_DB_RETRY; /* it was started again */
	if (e != ERR_OK)
		return e;
	control_record_add(&want, r->it->at->site);
	e = move_record(&r->m, want);
	if (e != ERR_OK)
		return e;
	r->begun = true;
	journal_step(r->m.journal, "recorded", "%s is counted on", r->it->at->site);
	e = role_follow(r->it->db, move_primary(&r->m)->at);
	return e == ERR_OK ? role_unlock(r->it->db) : e;
}

/* Could not follow: as long as it has received nothing it has acknowledged nothing, and need not be counted
 * on. `from`: what it had when it was counted. */
static err_t uncount_it(readmit *r, const char *from)
{
	control_record want = r->m.record;
	err_t e = move_reach_locked(r->it, LOCK_MS);

	if (e == ERR_OK)
		e = role_stop_receiving(r->it->db);
	if (e == ERR_OK)
		e = role_read(r->it->db, &r->it->view);
	if (e == ERR_OK && !gtid_covers(from, r->it->view.received)) {
		e = role_receive_again(r->it->db);
		return e == ERR_OK ? ERR_OUTCOME_UNKNOWN : e;
	}
	control_record_drop(&want, r->it->at->site);
	if (e == ERR_OK)
		e = move_record(&r->m, want);
	if (e == ERR_OK)
		e = role_stand_by(r->it->db);
	if (e == ERR_OK)
		journal_step(r->m.journal, "dropped", "%s is not counted on", r->it->at->site);
	return e == ERR_OK ? role_unlock(r->it->db) : e;
}

static int count_and_follow(readmit *r)
{
	char from[ROLE_POSITION_BYTES];
	err_t e;
	int code;

	if (has_more(r))
		return refused(r);
	snprintf(from, sizeof(from), "%s", r->it->view.slave_pos);
	e = count_it(r);
	if (e != ERR_OK)
		return verb_fail(e, "counting on %s", r->it->at->site);
	code = wait_following(r);
	if (code == VERB_DONE)
		code = catch_up(r);
	if (code != VERB_DONE && uncount_it(r, from) != ERR_OK)
		fprintf(stderr, "hbctl: %s stays counted on: it may have acknowledged\n",
			r->it->at->site);
	return code;
}

/* What was written alone is nowhere else before the primary waits again and the member has all of it;
 * only then the record may promise two copies. */
static int protect(readmit *r)
{
	move_member *p = move_primary(&r->m);
	control_record want = r->m.record;
	err_t e;
	int code;

	if (r->m.record.protection == CONTROL_PROTECTED)
		return VERB_DONE;
	e = move_reach_locked(p, LOCK_MS);
	if (e == ERR_OK)
		e = db_exec(p->db, SQL_UNITS_SEMI_SYNC_MASTER_ON, DB_NONE, NULL);
	if (e == ERR_OK)
		e = role_unlock(p->db);
	if (e != ERR_OK)
		return verb_fail(e, "%s does not wait for acknowledgements", p->at->site);
	r->begun = true;
	code = catch_up(r);
	if (code != VERB_DONE)
		return code;
	want.protection = CONTROL_PROTECTED;
	e = move_record(&r->m, want);
	if (e != ERR_OK)
		return verb_fail(e, "the control record of cell %s", r->m.cell->name);
	journal_step(r->m.journal, "protected", "cell %s has two copies again", r->m.cell->name);
	return VERB_DONE;
}

static int acknowledged(readmit *r)
{
	const int64_t end_ms = clk_mono_ms() + FOLLOW_MS;

	while (move_reach(r->it, MOVE_GREET_MS) != ERR_OK || !r->it->view.receiving ||
		!r->it->view.acknowledges)
		if (clk_mono_ms() > end_ms)
			return refused(r);
		else
			clk_sleep_ms(LOOK_EVERY_MS);
	journal_step(r->m.journal, "done", "%s follows %s and acknowledges", r->it->at->site,
		r->m.record.primary);
	return VERB_DONE;
}

/* It runs, and what it may have acknowledged is in it still; an hbctl that was killed may have left it not
 * receiving. */
static int go_on(readmit *r)
{
	int code;
	err_t e = r->it->view.acknowledges && !r->it->view.receiving ? role_receive_again(r->it->db)
								     : ERR_OK;

	if (e != ERR_OK)
		return verb_fail(e, "%s does not receive", r->it->at->site);
	code = wait_following(r);
	return code == VERB_DONE ? catch_up(r) : code;
}

static int bring_back(readmit *r)
{
	const bool reached = move_reach(r->it, MOVE_GREET_MS) == ERR_OK;
	const bool runs = counted(r) ? follows_well(r) : reached && r->it->view.stands_by;
	int code = VERB_DONE;

	if (!runs)
		code = start_anew(r);
	else if (!tell_site(r))
		fprintf(stderr, "hbctl: the programs at %s could not be told\n", r->it->at->site);
	if (code == VERB_DONE && !runs)
		code = wait_settled(r);
	if (code == VERB_DONE)
		code = counted(r) ? go_on(r) : count_and_follow(r);
	if (code == VERB_DONE)
		code = protect(r);
	return code == VERB_DONE ? acknowledged(r) : code;
}

static int run(readmit *r)
{
	char what[200];
	int code;

	/* A new primary that nobody acknowledges yet needs a member before it can be opened. */
	if (r->m.record.change != CONTROL_STEADY && r->m.record.change != CONTROL_MOVING) {
		fprintf(stderr, "hbctl: a change of cell %s is under way.\nNext: finish it first\n",
			r->m.cell->name);
		return VERB_REFUSED;
	}
	if (r->it == move_primary(&r->m)) {
		fprintf(stderr, "hbctl: %s is the primary of cell %s\n", r->it->at->site,
			r->m.cell->name);
		return VERB_REFUSED;
	}
	if (journal_open(r->m.cell->name, "readmit", r->m.record.epoch, &r->m.journal) != ERR_OK)
		return VERB_REFUSED;
	snprintf(what, sizeof(what), "cell %s: %s, which was %scounted on", r->m.cell->name,
		r->it->at->site, counted(r) ? "" : "not ");
	if (audit_begin("cells readmit", what, r->reason) != ERR_OK)
		return VERB_FAILED;
	code = bring_back(r);
	if (r->begun)
		code = verb_begun(code);
	snprintf(what, sizeof(what), "cell %s: %s is %scounted on", r->m.cell->name,
		r->it->at->site, counted(r) ? "" : "not ");
	return audit_end("cells readmit", what, r->reason, code);
}

int readmit_member(const topology_cell *cell, const char *site, const char *reason)
{
	readmit r = {.reason = reason};
	int code = move_start(&r.m, cell, "readmit", reason);

	r.it = move_at(&r.m, site);
	if (code == VERB_DONE)
		code = run(&r);
	move_end(&r.m);
	return code;
}

int readmit_verb(int argc, char **argv)
{
	const char *reason = NULL;
	const args_row rows[] = {{"reason", &reason, NULL}};

	if (args_take(argc, argv, rows, 1) != 2 || !reason)
		return verb_usage(USAGE);
	const topology_cell *cell = verb_cell(argv[1]);
	if (topology_member_at(cell, argv[2]))
		return readmit_member(cell, argv[2], reason);
	fprintf(stderr, "hbctl: cell %s has no member at \"%s\"\n", cell->name, argv[2]);
	return VERB_USAGE;
}
