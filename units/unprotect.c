/* hbctl cells unprotect: when no replica is left, a primary's commits wait for ever; this lets it go on
 * alone. The members that are lost are dead for certain first, and the record says UNPROTECTED and counts
 * on nobody else before the primary stops waiting, so that none of them is ever promoted for what it
 * lacks. Only `rpl_semi_sync_master_enabled = OFF` releases the commits that wait already; measured:
 * `rpl_semi_sync_master_wait_no_slave = OFF` does not. */
#include "units/args.h"
#include "units/audit.h"
#include "units/move.h"
#include "units/site.h"

#include "domain/alert.h"
#include <stdio.h>
#include <string.h>

enum { FENCE_MS = 10000, WHAT_BYTES = 200 };

static const char USAGE[] = "cells unprotect CELL --reason TEXT --confirm CELL [--dead SITE,…]";

static bool fence_others(move_t *m, const char *dead)
{
	const char *const args[] = {m->cell->name, NULL};
	bool all = true;

	for (unsigned i = 0; i < m->cell->member_count; i++) {
		const topology_site *site =
			topology_site_named(verb_topology(), m->member[i].at->site);
		site_job job;

		if (!control_in_sync(&m->record, site->name) || &m->member[i] == move_primary(m))
			continue;
		site_begin(site, site->fence, args, &job);
		if (site_end(&job, FENCE_MS) || args_listed(dead, site->name)) {
			journal_step(m->journal, "fenced", "%s is dead", site->name);
			continue;
		}
		fprintf(stderr,
			"hbctl: %s cannot be fenced.\nNext: make certain that it is dead, and "
			"this command again with --dead %s\n",
			site->name, site->name);
		all = false;
	}
	return all;
}

/* A person must know, whoever runs this. */
static void alert(const move_t *m)
{
	webhook_target t;
	char text[300];
	webhook_t *hook;
	bool said;

	snprintf(text, sizeof(text),
		"hongbao: cell %s is UNPROTECTED: %s alone has what is written from now on. Reason "
		"given: "
		"%.120s",
		m->cell->name, m->record.primary, m->reason);
	if (alert_target(verb_conf(), &t) != ERR_OK || !*t.url) {
		fprintf(stderr, "hbctl: nobody was alerted (alert.url): %s\n", text);
		return;
	}
	hook = webhook_new(&t);
	said = webhook_say(hook, text) == ERR_OK;
	webhook_free(&hook);
	journal_step(m->journal, "alerted", "%s", said ? "people are told" : "the webhook failed");
}

/* Its own settler opens it as well when it was just started; both do the same, one after the other. */
static int go_alone(move_t *m)
{
	move_member *p = move_primary(m);
	control_record want = m->record;
	int code;
	err_t e;

	want.protection = CONTROL_UNPROTECTED;
	want.in_sync_count = 0;
	control_record_add(&want, p->at->site);
	e = move_record(m, want);
	if (e != ERR_OK)
		return verb_fail(e, "the control record of cell %s", m->cell->name);
	journal_step(m->journal, "recorded", "UNPROTECTED: only %s is counted on", p->at->site);
	alert(m);
	if (m->record.change == CONTROL_MOVING)
		return move_finish(m);
	code = move_open(m);
	if (code != VERB_DONE)
		return code;
	journal_step(m->journal, "done",
		"%s takes writes alone.\nNext: hbctl cells readmit %s SITE, soon", p->at->site,
		m->cell->name);
	return VERB_DONE;
}

static int preflight(move_t *m)
{
	move_member *p = move_primary(m);

	if (m->record.change != CONTROL_STEADY && m->record.change != CONTROL_MOVING) {
		fprintf(stderr, "hbctl: a change of cell %s is under way.\nNext: finish it first\n",
			m->cell->name);
		return VERB_REFUSED;
	}
	if (move_reach(p, MOVE_GREET_MS) != ERR_OK) {
		fprintf(stderr, "hbctl: %s cannot be reached; nothing was changed\n", p->at->site);
		return VERB_UNREACHABLE;
	}
	if (m->record.protection == CONTROL_PROTECTED && p->view.semi_sync_clients > 0) {
		fprintf(stderr,
			"hbctl: %lld replicas acknowledge what %s writes; nothing was changed\n",
			(long long)p->view.semi_sync_clients, p->at->site);
		return VERB_REFUSED;
	}
	return VERB_DONE;
}

static int run(move_t *m, const char *dead)
{
	char what[WHAT_BYTES];
	int code = preflight(m);

	if (code == VERB_DONE &&
		journal_open(m->cell->name, "unprotect", m->record.epoch, &m->journal) != ERR_OK)
		code = VERB_REFUSED;
	if (code != VERB_DONE)
		return code;
	snprintf(what, sizeof(what), "cell %s: only %s%s%s", m->cell->name, m->record.primary,
		dead ? ", said to be dead: " : "", dead ? dead : "");
	if (audit_begin("cells unprotect", what, m->reason) != ERR_OK)
		return VERB_FAILED;
	code = fence_others(m, dead) ? verb_begun(go_alone(m)) : VERB_PARTLY;
	return audit_end("cells unprotect", what, m->reason, code);
}

int unprotect_verb(int argc, char **argv)
{
	const char *reason = NULL, *confirm = NULL, *dead = NULL;
	const args_row rows[] = {
		{"reason", &reason, NULL}, {"confirm", &confirm, NULL}, {"dead", &dead, NULL}};
	move_t m;
	int code;

	if (args_take(argc, argv, rows, 3) != 1 || !reason || !confirm ||
		strcmp(confirm, argv[1]) != 0)
		return verb_usage(USAGE);
	code = move_start(&m, verb_cell(argv[1]), "unprotect", reason);
	if (code == VERB_DONE)
		code = run(&m, dead);
	move_end(&m);
	return code;
}
