/* hbctl cells replicate: a cell's copies. `rebuild` takes a fresh copy from a replica that is counted on (or
 * from the primary, when there is none) while it runs, puts it in the place of a member that cannot follow
 * any more, and readmits that. The copying itself is done by the sites' own commands (units/local/site.sh:
 * backup, restore), one writing into the other. */
#include "units/args.h"
#include "units/audit.h"
#include "units/drain.h"
#include "units/gtid.h"
#include "units/move.h"
#include "units/readmit.h"
#include "units/site.h"
#include "units/verify.h"

#include <stdio.h>
#include <string.h>

enum { VERIFY_IO_MS = 60000, FENCE_MS = 10000, COPY_MS = 6 * 3600 * 1000, WHAT_BYTES = 200 };

static const char USAGE[] =
	"cells replicate CELL status | CELL rebuild SITE --reason TEXT --confirm SITE "
	"[--dead] | CELL verify [SITE]";

static int status(move_t *m)
{
	move_member *p = move_primary(m);
	const bool known = move_reach(p, MOVE_GREET_MS) == ERR_OK;

	printf("%-8s  %-11s  %-9s  %-8s  %-12s  %6s  %6s  %s\n", "SITE", "COUNTED ON", "RECEIVES",
		"APPLIES", "ACKNOWLEDGES", "MISSES", "ERROR", "APPLIED");
	for (unsigned i = 0; i < m->cell->member_count; i++) {
		move_member *mm = &m->member[i];
		const role_view *v = &mm->view;
		char misses[24] = "-";

		if (mm == p)
			continue;
		if (move_reach(mm, MOVE_GREET_MS) != ERR_OK) {
			printf("%-8s  %-11s  unreachable\n", mm->at->site,
				control_in_sync(&m->record, mm->at->site) ? "yes" : "no");
			continue;
		}
		if (known)
			snprintf(misses, sizeof(misses), "%llu",
				(unsigned long long)gtid_missing(v->slave_pos, p->view.binlog_pos));
		printf("%-8s  %-11s  %-9s  %-8s  %-12s  %6s  %6u  %s\n", mm->at->site,
			control_in_sync(&m->record, mm->at->site) ? "yes" : "no",
			v->receiving ? "yes" : "no", v->applying ? "yes" : "no",
			v->acknowledges ? "yes" : "no", misses,
			v->receive_error ? v->receive_error : v->apply_error, v->slave_pos);
	}
	return known ? VERB_DONE : VERB_UNREACHABLE;
}

static void found(void *ctx, const char *table, const char *from, const char *to,
	uint64_t primary_rows, uint64_t replica_rows)
{
	printf("%s: %s differs behind key %s up to %s: %llu rows at the primary, %llu here\n",
		(const char *)ctx, table, *from ? from : "(first)", *to ? to : "(last)",
		(unsigned long long)primary_rows, (unsigned long long)replica_rows);
}

static int verify_one(move_t *m, const topology_member *at)
{
	db_t *primary = NULL, *replica = NULL;
	verify_sum sum = {0};
	err_t e = role_open(move_primary(m)->at, MOVE_GREET_MS, VERIFY_IO_MS, &primary);

	if (e == ERR_OK)
		e = role_open(at, MOVE_GREET_MS, VERIFY_IO_MS, &replica);
	if (e == ERR_OK)
		e = verify_members(primary, replica, found, (void *)(uintptr_t)at->site, &sum);
	db_close(&primary);
	db_close(&replica);
	if (e != ERR_OK)
		return verb_fail(e, "comparing %s with %s", at->site, m->record.primary);
	printf("%s: %llu tables, %llu rows in %llu chunks, %llu of them looked at again; %llu "
	       "differ\n",
		at->site, (unsigned long long)sum.tables, (unsigned long long)sum.rows,
		(unsigned long long)sum.chunks, (unsigned long long)sum.again,
		(unsigned long long)sum.different);
	return sum.different ? VERB_DIFFERENCES : VERB_DONE;
}

static int verify(move_t *m, const char *site)
{
	int worst = VERB_DONE;

	for (unsigned i = 0; i < m->cell->member_count; i++) {
		const topology_member *at = m->member[i].at;

		if (&m->member[i] == move_primary(m) || (site && strcmp(site, at->site) != 0))
			continue;
		int code = verify_one(m, at);
		if (code != VERB_DONE && worst != VERB_DIFFERENCES)
			worst = code;
	}
	return worst;
}

/* A replica, so that the primary need not carry the copying; its own position is in its copy either way. */
static move_member *source_of(move_t *m, const move_member *target)
{
	for (unsigned i = 0; i < m->cell->member_count; i++) {
		move_member *mm = &m->member[i];

		if (mm != target && mm != move_primary(m) &&
			control_in_sync(&m->record, mm->at->site) &&
			move_reach(mm, MOVE_GREET_MS) == ERR_OK && mm->view.applying)
			return mm;
	}
	return move_reach(move_primary(m), MOVE_GREET_MS) == ERR_OK ? move_primary(m) : NULL;
}

static int copy(move_t *m, const move_member *source, const move_member *target)
{
	const topology_site *from = topology_site_named(verb_topology(), source->at->site);
	const topology_site *to = topology_site_named(verb_topology(), target->at->site);
	const char *const fence[] = {m->cell->name, NULL};
	site_job job;

	site_begin(to, to->fence, fence, &job);
	if (!site_end(&job, FENCE_MS)) {
		fprintf(stderr, "hbctl: %s cannot be stopped; its data was not touched\n",
			to->name);
		return VERB_PARTLY;
	}
	journal_step(m->journal, "fenced", "%s is dead", to->name);
	if (!site_copy(from, to, m->cell->name, COPY_MS)) {
		fprintf(stderr, "hbctl: copying from %s to %s failed.\nNext: this command again\n",
			from->name, to->name);
		return VERB_PARTLY;
	}
	journal_step(m->journal, "copied", "from %s", from->name);
	return VERB_DONE;
}

static int rebuild(move_t *m, const char *site, bool dead)
{
	move_member *target = move_at(m, site), *source;
	int code = VERB_DONE;

	if (m->record.change != CONTROL_STEADY || target == move_primary(m)) {
		fprintf(stderr, "hbctl: %s; nothing was changed\n",
			target == move_primary(m) ? "that is the primary"
						  : "a change of the cell is under way");
		return VERB_REFUSED;
	}
	source = source_of(m, target);
	if (!source) {
		fprintf(stderr, "hbctl: no member of cell %s can be copied\n", m->cell->name);
		return VERB_UNREACHABLE;
	}
	if (control_in_sync(&m->record, site))
		code = drain_leaves_a_copy(m, target) ? drain_member(m, target, dead)
						      : VERB_REFUSED;
	move_leave(target);
	return code == VERB_DONE ? copy(m, source, target) : code;
}

static int run_rebuild(move_t *m, const char *site, const char *reason, bool dead)
{
	const topology_cell *cell = m->cell;
	char what[WHAT_BYTES];
	int code;

	if (journal_open(cell->name, "rebuild", m->record.epoch, &m->journal) != ERR_OK)
		return VERB_REFUSED;
	snprintf(what, sizeof(what), "cell %s: a new copy at %s", cell->name, site);
	if (audit_begin("cells replicate", what, reason) != ERR_OK)
		return VERB_FAILED;
	code = rebuild(m, site, dead);
	move_end(m); /* readmit has a journal of its own */
	if (code == VERB_DONE)
		code = verb_begun(readmit_member(cell, site, reason));
	return audit_end("cells replicate", what, reason, code);
}

int replicate_verb(int argc, char **argv)
{
	const char *reason = NULL, *confirm = NULL;
	bool dead = false;
	const args_row rows[] = {
		{"reason", &reason, NULL}, {"confirm", &confirm, NULL}, {"dead", NULL, &dead}};
	const int words = args_take(argc, argv, rows, 3);
	const char *site = words == 3 ? argv[3] : NULL;
	move_t m;

	if (words < 2 || words > 3)
		return verb_usage(USAGE);
	const topology_cell *cell = verb_cell(argv[1]);
	if (site && !topology_member_at(cell, site)) {
		fprintf(stderr, "hbctl: cell %s has no member at \"%s\"\n", cell->name, site);
		return VERB_USAGE;
	}
	int code = move_start(&m, cell, "cells replicate", reason);
	if (code != VERB_DONE)
		return code;
	if (!strcmp(argv[2], "status") && !site)
		code = status(&m);
	else if (!strcmp(argv[2], "verify"))
		code = verify(&m, site);
	else if (!strcmp(argv[2], "rebuild") && site && reason && confirm && !strcmp(confirm, site))
		code = run_rebuild(&m, site, reason, dead);
	else
		code = verb_usage(USAGE);
	move_end(&m);
	return code;
}
