/* hbctl cells failover: the primary is given up and another member takes over, with nothing lost that
 * anybody was told. The order of the steps, and why each is safe, is docs/cells.md. In short: the
 * record says FAILING first, so that no member that is started meanwhile follows, or acknowledges, the
 * old primary; it is killed if its site can be reached; every member that may have acknowledged stops
 * receiving before the fullest is chosen, after which the old primary, dead or not, can get nothing
 * acknowledged any more; the record names the new one only when that has applied all it had. */
#include "units/args.h"
#include "units/audit.h"
#include "units/choose.h"
#include "units/gtid.h"
#include "units/move.h"
#include "units/site.h"
#include "units/undo.h"

#include "base/clk.h"
#include "base/parse.h"
#include <stdio.h>
#include <string.h>

enum {
	FENCE_MS = 10000,
	FENCE_USUAL_MS = 500,
	LOCK_WAIT_MS = 1500,
	APPLY_MS = 600000,
	APPLY_SAY_MS = 2000,
	LOOK_EVERY_MS = 10,
	BEAT_OLD_MS = 3000,
	WHAT_BYTES = 400,
};

static const char USAGE[] =
	"cells failover CELL --reason TEXT --confirm CELL [--to SITE] [--expect-epoch N] [--force] "
	"[--accept-loss] [--dead SITE,…] [--undo] [--dry-run]";

typedef struct {
	move_t m;
	const char *reason, *confirm, *to, *expect, *dead;
	bool force, accept_loss, undo, dry_run;
	move_member *old;
	unsigned n; /* in-sync members other than the old primary */
	move_member *other[TOPOLOGY_MEMBERS_MAX];
	choose_member can[TOPOLOGY_MEMBERS_MAX];
	site_job fence_old;
	bool old_dead;
} failover;

static bool fresh_heartbeat(db_t *db)
{
	db_rows_t *rows = NULL;
	bool fresh = false;

	if (db_select(db, SQL_HEARTBEAT_AT, DB_NONE, &rows) != ERR_OK)
		return false;
	if (db_rows_next(rows))
		fresh = clk_wall_ms() - db_rows_i(rows, 0) < BEAT_OLD_MS;
	db_rows_free(&rows);
	return fresh;
}

static bool primary_works(failover *f)
{
	const role_view *v = &f->old->view;

	return move_reach(f->old, MOVE_GREET_MS) == ERR_OK && !v->read_only &&
	       (v->semi_sync_clients > 0 || f->m.record.protection == CONTROL_UNPROTECTED) &&
	       fresh_heartbeat(f->old->db);
}

/* What it says now; once it has stopped receiving that is its last word. */
static void judge(failover *f, unsigned i)
{
	const role_view *v = &f->other[i]->view;

	f->can[i] = (choose_member){.known = f->other[i]->db != NULL, .received = v->received};
	if (!f->other[i]->db)
		return;
	f->can[i].known = v->follows || v->stands_by;
	f->can[i].kept =
		v->acknowledges || v->stands_by; /* nothing to lose: it never acknowledged */
	f->can[i].applies = v->applying || gtid_covers(v->slave_pos, v->received);
	if (!gtid_covers(v->received, v->slave_pos)) /* it has not run since its start */
		f->can[i].received = v->slave_pos;
}

/* Without protection nobody else is in sync, and only a loss that is accepted takes one of them. */
static bool counts(const failover *f, const move_member *mm)
{
	return mm != f->old &&
	       (control_in_sync(&f->m.record, mm->at->site) ||
		       (f->accept_loss && f->m.record.protection == CONTROL_UNPROTECTED));
}

static void look_at_others(failover *f)
{
	f->n = 0;
	for (unsigned i = 0; i < f->m.cell->member_count; i++) {
		move_member *mm = &f->m.member[i];

		if (!counts(f, mm))
			continue;
		f->other[f->n] = mm;
		if (move_reach(mm, MOVE_GREET_MS) != ERR_OK)
			move_leave(mm);
		judge(f, f->n++);
	}
}

static const char *doubt_text(const choose_member *c)
{
	if (!c->known)
		return "cannot be reached";
	return c->kept ? "" : "was started again and has not caught up since";
}

/* Says what stands in the way of a failover without loss; true when nothing does. */
static bool say_doubts(const failover *f)
{
	bool none = true;

	for (unsigned i = 0; i < f->n; i++)
		if (!f->can[i].known || !f->can[i].kept) {
			fprintf(stderr,
				"hbctl: %s %s: it may be the only one to hold the last "
				"acknowledged "
				"commits\n",
				f->other[i]->at->site, doubt_text(&f->can[i]));
			none = false;
		}
	return none;
}

static int preferred(const failover *f)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->to && !strcmp(f->other[i]->at->site, f->to))
			return (int)i;
	return -1;
}

static int pick(const failover *f)
{
	return f->accept_loss ? choose_with_loss(f->can, f->n, preferred(f))
			      : choose(f->can, f->n, preferred(f));
}

/* The epoch is the first that a primary writes, after all that it took over. A member without it has
 * not seen what its primary had when it became one: part of an older epoch may be missing here, though
 * it lacks nothing of this one. */
static bool has_epoch(const failover *f, const move_member *mm)
{
	uint64_t epoch = 0;

	if (role_epoch(mm->db, &epoch) == ERR_OK && epoch == f->m.record.epoch)
		return true;
	fprintf(stderr,
		"hbctl: %s is at epoch %llu, the cell at %llu: %s took over, but %s never received "
		"what "
		"it had\n",
		mm->at->site, (unsigned long long)epoch, (unsigned long long)f->m.record.epoch,
		f->m.record.primary, mm->at->site);
	return false;
}

/* Of a new primary that died before it was one: whether anybody has what it had. */
static bool somebody_has_epoch(const failover *f)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->other[i]->db && has_epoch(f, f->other[i]))
			return true;
	return false;
}

/* Nothing has been changed yet. */
static int preflight(failover *f)
{
	const control_record *r = &f->m.record;

	if (r->change == CONTROL_STEADY && !f->force && primary_works(f)) {
		fprintf(stderr,
			"hbctl: nothing is wrong with cell %s at %s (epoch %llu): it takes writes "
			"and a "
			"replica acknowledges them.\nNext: hbctl cells switchover %s --to SITE "
			"moves it; "
			"--force gives its primary up all the same\n",
			f->m.cell->name, r->primary, (unsigned long long)r->epoch, f->m.cell->name);
		return VERB_REFUSED;
	}
	if (r->protection == CONTROL_UNPROTECTED && !f->accept_loss) {
		fprintf(stderr,
			"hbctl: cell %s is UNPROTECTED: %s alone has what was written last, every "
			"other "
			"member lags.\nNext: start %s again in place; --accept-loss gives up what "
			"only it "
			"has\n",
			f->m.cell->name, r->primary, r->primary);
		return VERB_REFUSED;
	}
	if (r->change == CONTROL_DRAINED && !f->force) {
		fprintf(stderr,
			"hbctl: cell %s was closed by an operator, and a failover would open it; "
			"nothing was changed.\nNext: hbctl cells drain %s --undo opens it; --force "
			"gives its primary up and opens it elsewhere\n",
			f->m.cell->name, f->m.cell->name);
		return VERB_REFUSED;
	}
	look_at_others(f);
	if (!say_doubts(f) && !f->accept_loss) {
		fprintf(stderr,
			"hbctl: nothing was changed.\nNext: bring it back, or start %s in place; "
			"--accept-loss goes on without\n",
			r->primary);
		return VERB_REFUSED;
	}
	if (r->change == CONTROL_MOVING && !f->accept_loss && !somebody_has_epoch(f)) {
		fprintf(stderr,
			"hbctl: nothing was changed.\nNext: bring %s back, and this command "
			"again\n",
			r->primary);
		return VERB_REFUSED;
	}
	if (pick(f) < 0) {
		fprintf(stderr, "hbctl: no member of cell %s can take over; nothing was changed\n",
			f->m.cell->name);
		return VERB_REFUSED;
	}
	return VERB_DONE;
}

static void fence_begin(failover *f, const move_member *mm, site_job *job)
{
	const topology_site *site = topology_site_named(verb_topology(), mm->at->site);
	const char *const args[] = {f->m.cell->name, NULL};

	site_begin(site, site->fence, args, job);
}

static void say_fenced(failover *f)
{
	f->old_dead = site_end(&f->fence_old, FENCE_MS) || args_listed(f->dead, f->old->at->site);
	journal_step(f->m.journal, "fenced", "%s %s", f->old->at->site,
		f->old_dead ? "is dead"
			    : "could not be fenced: no replica acknowledges it any more");
}

/* Those who cannot be reached may go on acknowledging for an old primary that nobody could kill: then
 * they must be dead as well. */
static bool lost_are_dead(failover *f)
{
	site_job fence[TOPOLOGY_MEMBERS_MAX];
	bool dead = true;

	for (unsigned i = 0; i < f->n; i++)
		if (!f->can[i].known)
			fence_begin(f, f->other[i], &fence[i]);
	for (unsigned i = 0; i < f->n; i++)
		if (!f->can[i].known && !site_end(&fence[i], FENCE_MS) &&
			!args_listed(f->dead, f->other[i]->at->site))
			dead = false;
	return dead;
}

/* Only one may write from here on: the old primary is dead, or nobody is left to acknowledge it. While
 * all who could have stopped, its death is waited for just as long as it usually takes. Nobody else is
 * killed but where a loss is accepted: a member that does not answer now may be the only one to hold
 * the last commits, and its relay log does not outlive its server. */
static bool one_writer(failover *f)
{
	bool others_stopped = true;

	for (unsigned i = 0; i < f->n; i++)
		if (!f->can[i].known)
			others_stopped = false;
	if (others_stopped && !site_ended(&f->fence_old, FENCE_USUAL_MS))
		return true;
	say_fenced(f);
	return f->old_dead || others_stopped || (f->accept_loss && lost_are_dead(f));
}

/* Fails only when nothing may be done any more: by somebody else's record, or because there is none to read. */
static err_t stop_receiving(failover *f, unsigned i)
{
	move_member *mm = f->other[i];
	err_t e = move_lock(&f->m, mm, LOCK_WAIT_MS);

	if (e == ERR_CONTROL_CONFLICT || e == ERR_CONTROL_UNAVAILABLE)
		return e;
	if (e == ERR_OK)
		e = role_stop_receiving(mm->db);
	if (e == ERR_OK)
		e = role_read(mm->db, &mm->view);
	if (e == ERR_OK && mm->view.receiving)
		e = ERR_DB_FAILED;
	if (e == ERR_OK)
		e = role_unlock(mm->db);
	if (e != ERR_OK)
		move_leave(mm);
	judge(f, i);
	if (mm->db)
		journal_step(f->m.journal, "stopped", "%s received up to %s, applied %s",
			mm->at->site, mm->view.received, mm->view.slave_pos);
	else
		journal_step(f->m.journal, "lost", "%s cannot be reached", mm->at->site);
	return ERR_OK;
}

static int partly(const failover *f, const char *why)
{
	fprintf(stderr,
		"hbctl: %s. Cell %s takes no writes until this is finished.\n"
		"Next: this command again once that is mended, or with --accept-loss; or, to go "
		"back to %s,\n"
		"      hbctl cells failover %s --undo --reason TEXT --confirm %s\n",
		why, f->m.cell->name, f->old->at->site, f->m.cell->name, f->m.cell->name);
	return VERB_PARTLY;
}

/* Somebody else has changed the record, or nobody can read it. */
static int stopped(const failover *f, err_t e)
{
	verb_fail(e, "the control record of cell %s", f->m.cell->name);
	fprintf(stderr, "hbctl: this one stops here.\nNext: hbctl cells status, and this command "
			"again if it still shows the need\n");
	return VERB_PARTLY;
}

static err_t wait_applied(failover *f, move_member *mm)
{
	const int64_t began_ms = clk_mono_ms();
	int64_t said_ms = began_ms;

	for (;;) {
		err_t e = role_read(mm->db, &mm->view);

		if (e != ERR_OK)
			return e;
		if (gtid_covers(mm->view.slave_pos, mm->view.received))
			return ERR_OK;
		if (!mm->view.applying || clk_mono_ms() - began_ms > APPLY_MS)
			return ERR_DB_FAILED;
		if (clk_mono_ms() - said_ms > APPLY_SAY_MS) {
			said_ms = clk_mono_ms();
			journal_step(f->m.journal, "applying", "%s has applied %s of %s",
				mm->at->site, mm->view.slave_pos, mm->view.received);
		}
		clk_sleep_ms(LOOK_EVERY_MS);
	}
}

static int take(failover *f, move_member *chosen)
{
	control_record want = f->m.record;
	err_t e = wait_applied(f, chosen);

	if (e != ERR_OK) {
		verb_fail(e, "%s cannot apply what it has received", chosen->at->site);
		return partly(f, "the chosen member cannot apply what it has");
	}
	journal_step(f->m.journal, "applied", "%s has applied all it received, %s",
		chosen->at->site, chosen->view.slave_pos);
	if (!has_epoch(f, chosen) && !f->accept_loss)
		return partly(f, "the chosen member may lack acknowledged commits");
	want.epoch++;
	want.change = CONTROL_MOVING;
	want.protection = CONTROL_PROTECTED;
	snprintf(want.primary, sizeof(want.primary), "%s", chosen->at->site);
	want.in_sync_count = 0;
	control_record_add(&want, chosen->at->site);
	for (unsigned i = 0; i < f->n; i++)
		if (f->other[i] != chosen && f->can[i].known && f->can[i].applies)
			control_record_add(&want, f->other[i]->at->site);
	e = move_record(&f->m, want);
	if (e != ERR_OK)
		return verb_begun(verb_fail(e, "the control record of cell %s", f->m.cell->name));
	journal_step(f->m.journal, "recorded", "epoch %llu, primary %s",
		(unsigned long long)want.epoch, want.primary);
	return move_finish(&f->m);
}

static int give_up_primary(failover *f)
{
	control_record want = f->m.record;
	bool alone;
	err_t e = ERR_OK;
	int at, code;

	want.change = CONTROL_FAILING;
	if (f->m.record.change != CONTROL_FAILING)
		e = move_record(&f->m, want);
	if (e != ERR_OK)
		return verb_fail(e, "the control record of cell %s; %s", f->m.cell->name,
			e == ERR_OUTCOME_UNKNOWN ? "this command again tells"
						 : "nothing was changed");
	journal_step(f->m.journal, "begun", "the record says failing: nobody follows %s anew",
		f->old->at->site);
	fence_begin(f, f->old, &f->fence_old);
	for (unsigned i = 0; i < f->n && e == ERR_OK; i++)
		e = stop_receiving(f, i);
	if (e != ERR_OK) {
		say_fenced(f);
		return stopped(f, e);
	}
	alone = one_writer(f);
	if (!say_doubts(f) && !f->accept_loss)
		return partly(f, "a member that may have acknowledged cannot be asked");
	if (!alone)
		return partly(f,
			"the old primary may still write with a member that cannot be reached: "
			"make certain that one of them is dead and say --dead SITE");
	at = pick(f);
	if (at < 0)
		return partly(f, "no member can take over");
	if (f->to && strcmp(f->other[at]->at->site, f->to) != 0)
		fprintf(stderr,
			"hbctl: %s has more than %s, so it takes over; switchover moves it on\n",
			f->other[at]->at->site, f->to);
	journal_step(
		f->m.journal, "chosen", "%s, with %s", f->other[at]->at->site, f->can[at].received);
	code = take(f, f->other[at]);
	if (f->fence_old.pid)
		say_fenced(f);
	return code;
}

static bool resumes(const failover *f)
{
	return f->m.record.change == CONTROL_MOVING && role_greets(f->old->at, MOVE_GREET_MS);
}

/* The rest of one that has named its new primary. When that answers and cannot be opened all the same, --force
 * gives it up like any other; not where one epoch more would be more than was asked for. */
static int finish(failover *f)
{
	int code = move_finish(&f->m);

	if (code == VERB_DONE || !f->force || f->expect ||
		(move_reach(f->old, MOVE_GREET_MS) == ERR_OK && !f->old->view.read_only))
		return code;
	return preflight(f) == VERB_DONE ? give_up_primary(f) : code;
}

/* Of one that has begun, nobody has looked yet whether it can go on. */
static int dry_run(const failover *f)
{
	const char *cell = f->m.cell->name, *old = f->old->at->site;
	const int at = pick(f);

	if (f->undo) {
		printf("cell %s: the record would say steady, and %s, its primary, take writes "
		       "again\n",
			cell, old);
		return VERB_DONE;
	}
	if (resumes(f)) {
		printf("cell %s: %s has been named already (epoch %llu); the rest would be done\n",
			cell, old, (unsigned long long)f->m.record.epoch);
		return VERB_DONE;
	}
	if (f->m.record.change == CONTROL_FAILING &&
		((!say_doubts(f) && !f->accept_loss) || at < 0)) {
		fprintf(stderr, "hbctl: as things are, no member of cell %s could take over\n",
			cell);
		return VERB_REFUSED;
	}
	printf("cell %s, epoch %llu at %s. This would be done:\n", cell,
		(unsigned long long)f->m.record.epoch, old);
	printf("  1 record: failing\n  2 fence %s\n", old);
	for (unsigned i = 0; i < f->n; i++)
		printf("  3 stop receiving at %s (now at %s)\n", f->other[i]->at->site,
			f->can[i].received);
	printf("  4 choose who received most (now %s) and let it apply all\n",
		f->other[at]->at->site);
	printf("  5 record: epoch %llu, that one primary\n  6 it takes over, the others follow it\n"
	       "  7 go-live files, nginx\n  8 a write through the front door\n",
		(unsigned long long)f->m.record.epoch + 1);
	return VERB_DONE;
}

static int run(failover *f)
{
	char what[WHAT_BYTES];
	const bool resume = resumes(f);
	int code = f->undo ? undo_refused(&f->m) : VERB_DONE;

	if (!resume && !f->undo && f->m.record.change != CONTROL_FAILING)
		code = preflight(f);
	else if (!resume && !f->undo)
		look_at_others(f);
	if (code != VERB_DONE || f->dry_run)
		return code == VERB_DONE ? dry_run(f) : code;
	snprintf(what, sizeof(what), "cell %s: epoch %llu at %s%s%s%s%s%s", f->m.cell->name,
		(unsigned long long)f->m.record.epoch, f->m.record.primary,
		resume ? ", goes on" : "", f->undo ? ", undone" : "",
		f->accept_loss ? ", loss accepted" : "", f->dead ? ", said to be dead: " : "",
		f->dead ? f->dead : "");
	if (audit_begin("cells failover", what, f->reason) != ERR_OK)
		return VERB_FAILED;
	code = f->undo ? undo_failover(&f->m) : resume ? finish(f) : give_up_primary(f);
	snprintf(what, sizeof(what), "cell %s: epoch %llu at %s", f->m.cell->name,
		(unsigned long long)f->m.record.epoch, f->m.record.primary);
	return audit_end("cells failover", what, f->reason, code);
}

/* The epoch that an operation leads to: one more, unless that is recorded already. */
static uint64_t goal(const failover *f)
{
	return f->m.record.epoch + (f->m.record.change == CONTROL_MOVING ? 0 : 1);
}

static int with_journal(failover *f)
{
	uint64_t expected;
	bool done;

	if (f->expect && !parse_u64(f->expect, UINT64_MAX - 1, &expected))
		return verb_usage(USAGE);
	done = f->m.record.change == CONTROL_STEADY && f->expect &&
	       expected + 1 == f->m.record.epoch;
	if (f->expect && expected + 1 != goal(f) && !done) {
		fprintf(stderr, "hbctl: cell %s is at epoch %llu, not %s; nothing was changed\n",
			f->m.cell->name, (unsigned long long)f->m.record.epoch, f->expect);
		return VERB_REFUSED;
	}
	if (done) {
		fprintf(stderr,
			"hbctl: cell %s is at %s, epoch %llu, since a failover from epoch %s\n",
			f->m.cell->name, f->m.record.primary, (unsigned long long)f->m.record.epoch,
			f->expect);
		return VERB_DONE;
	}
	if (journal_open(f->m.cell->name, "failover", goal(f), &f->m.journal) != ERR_OK)
		return VERB_REFUSED;
	return run(f);
}

int failover_verb(int argc, char **argv)
{
	failover f = {0};
	const args_row rows[] = {{"reason", &f.reason, NULL}, {"confirm", &f.confirm, NULL},
		{"to", &f.to, NULL}, {"expect-epoch", &f.expect, NULL}, {"dead", &f.dead, NULL},
		{"force", NULL, &f.force}, {"accept-loss", NULL, &f.accept_loss},
		{"undo", NULL, &f.undo}, {"dry-run", NULL, &f.dry_run}};
	int code;

	if (args_take(argc, argv, rows, sizeof(rows) / sizeof(rows[0])) != 1 ||
		(!f.dry_run && (!f.reason || !f.confirm || strcmp(f.confirm, argv[1]) != 0)))
		return verb_usage(USAGE);
	const topology_cell *cell = verb_cell(argv[1]);
	if (f.to && !topology_member_at(cell, f.to)) {
		fprintf(stderr, "hbctl: cell %s has no member at \"%s\"\n", cell->name, f.to);
		return VERB_USAGE;
	}
	code = move_start(&f.m, cell, "failover", f.reason);
	if (code == VERB_DONE) {
		f.old = move_primary(&f.m);
		code = with_journal(&f);
	}
	move_end(&f.m);
	return code;
}
