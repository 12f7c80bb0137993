/* The new primary is named in the record only once it had applied all that it had received, and its
 * old primary could reach it no more. So whatever is still configured of its following may be thrown
 * away here at any time, and a server that was restarted meanwhile loses nothing by it. */
#include "units/move.h"

#include "units/doors.h"
#include "units/gtid.h"
#include "units/probe.h"
#include "units/site.h"

#include "base/clk.h"
#include <stdio.h>
#include <string.h>

enum { PRIMARY_WAIT_MS = 10000, SITE_MS = 8000, PROBE_MS = 10000, LOOK_EVERY_MS = 20 };

int move_start(move_t *m, const topology_cell *cell, const char *verb, const char *reason)
{
	err_t e;

	*m = (move_t){.cell = cell, .verb = verb, .reason = reason};
	for (unsigned i = 0; i < cell->member_count; i++)
		m->member[i].at = &cell->member[i];
	e = control_get(verb_control(), cell->name, &m->record);
	if (e != ERR_OK)
		return verb_fail(e, "the control record of cell %s", cell->name);
	if (!topology_member_at(cell, m->record.primary))
		return verb_fail(ERR_CONFIG_INVALID, "cell %s has no member at %s", cell->name,
			m->record.primary);
	return VERB_DONE;
}

void move_leave(move_member *mm)
{
	db_close(&mm->db);
}

void move_end(move_t *m)
{
	for (unsigned i = 0; i < m->cell->member_count; i++)
		move_leave(&m->member[i]);
	journal_close(&m->journal);
}

static bool same_record(const control_record *a, const control_record *b)
{
	bool same = a->epoch == b->epoch && !strcmp(a->primary, b->primary) &&
		    a->protection == b->protection && a->change == b->change &&
		    a->in_sync_count == b->in_sync_count;

	for (unsigned i = 0; same && i < a->in_sync_count; i++)
		same = control_in_sync(b, a->in_sync[i]);
	return same;
}

err_t move_record(move_t *m, control_record want)
{
	control_record now;
	err_t e = control_put(verb_control(), m->cell->name, &want);

	if (e == ERR_OUTCOME_UNKNOWN &&
		control_get(verb_control(), m->cell->name, &now) == ERR_OK &&
		same_record(&now, &want)) {
		want = now;
		e = ERR_OK;
	}
	if (e == ERR_OK)
		m->record = want;
	return e;
}

void control_record_drop(control_record *r, const char *site)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < r->in_sync_count; i++)
		if (strcmp(r->in_sync[i], site) != 0)
			memmove(r->in_sync[kept++], r->in_sync[i], sizeof(r->in_sync[0]));
	r->in_sync_count = kept;
}

void control_record_add(control_record *r, const char *site)
{
	if (control_in_sync(r, site))
		return;
	BUG_ON(r->in_sync_count == CONTROL_MEMBERS_MAX);
	snprintf(r->in_sync[r->in_sync_count++], sizeof(r->in_sync[0]), "%s", site);
}

move_member *move_at(move_t *m, const char *site)
{
	for (unsigned i = 0; i < m->cell->member_count; i++)
		if (!strcmp(m->member[i].at->site, site))
			return &m->member[i];
	return NULL;
}

move_member *move_primary(move_t *m)
{
	return move_at(m, m->record.primary);
}

err_t move_reach(move_member *mm, int64_t greet_ms)
{
	err_t e = ERR_OK;

	if (mm->db && (!db_alive(mm->db) || db_stale(mm->db)))
		move_leave(mm);
	if (!mm->db)
		e = role_open(mm->at, greet_ms, MOVE_IO_MS, &mm->db);
	if (e == ERR_OK)
		e = role_read(mm->db, &mm->view);
	if (e != ERR_OK)
		move_leave(mm);
	return e;
}

err_t move_reach_locked(move_member *mm, int64_t wait_ms)
{
	const int64_t end_ms = clk_mono_ms() + wait_ms;
	err_t e;

	while ((e = move_reach(mm, MOVE_GREET_MS)) != ERR_OK || (e = role_lock(mm->db)) != ERR_OK) {
		if (clk_mono_ms() >= end_ms)
			return e;
		clk_sleep_ms(LOOK_EVERY_MS);
	}
	return role_read(mm->db, &mm->view);
}

err_t move_lock(move_t *m, move_member *mm, int64_t wait_ms)
{
	control_record now;
	err_t e = move_reach_locked(mm, wait_ms);

	if (e != ERR_OK)
		return e;
	e = control_get(verb_control(), m->cell->name, &now);
	if (e == ERR_OK && now.revision != m->record.revision)
		e = ERR_CONTROL_CONFLICT;
	if (e != ERR_OK)
		move_leave(mm);
	return e;
}

static err_t take_over(move_t *m)
{
	move_member *p = move_primary(m);
	err_t e = move_lock(m, p, PRIMARY_WAIT_MS);

	return e == ERR_OK ? role_take_over(p->db, m->record.protection == CONTROL_PROTECTED) : e;
}

/* One that the record does not count comes back by readmit. One that follows the new primary but does
 * not count as having kept all is catching up after a start, and its own settler says when it has. */
static err_t follow(move_t *m, move_member *mm, bool *changed)
{
	const topology_member *primary = move_primary(m)->at;
	err_t e;

	*changed = control_in_sync(&m->record, mm->at->site);
	if (!*changed)
		return ERR_OK;
	e = move_lock(m, mm, 0);
	if (e != ERR_OK)
		return e;
	if (!role_follows(&mm->view, primary))
		e = role_follow(mm->db, primary);
	else if (mm->view.acknowledges && !mm->view.receiving)
		e = role_receive_again(mm->db);
	if (e == ERR_OK)
		e = role_unlock(mm->db);
	return e;
}

static void followers(move_t *m)
{
	char names[128] = "";
	size_t n = 0;

	for (unsigned i = 0; i < m->cell->member_count; i++) {
		move_member *mm = &m->member[i];
		bool changed = false;

		if (mm == move_primary(m))
			continue;
		if (follow(m, mm, &changed) != ERR_OK)
			fprintf(stderr, "hbctl: %s does not follow yet (unreachable, or refused)\n",
				mm->at->site);
		else if (changed)
			n += (size_t)snprintf(names + n, n < sizeof(names) ? sizeof(names) - n : 0,
				" %s", mm->at->site);
	}
	journal_step(m->journal, "followed", "%s followed by%s", m->record.primary,
		*names ? names : " nobody");
}

static int no_copy(const move_t *m)
{
	fprintf(stderr,
		"hbctl: no replica acknowledges what %s writes: the cell stays read-only.\n"
		"Next: hbctl cells readmit %s SITE, and this command again; or, when no other "
		"member can come "
		"back soon,\n      hbctl cells unprotect %s --reason TEXT --confirm %s\n",
		m->record.primary, m->cell->name, m->cell->name, m->cell->name);
	return VERB_PARTLY;
}

int move_open(move_t *m)
{
	move_member *p = move_primary(m);
	err_t e = take_over(m);

	if (e != ERR_OK)
		return verb_fail(e, "opening cell %s at %s", m->cell->name, p->at->site);
	e = role_acknowledged(p->at, MOVE_IO_MS, m->record.epoch);
	if (e == ERR_OUTCOME_UNKNOWN || e == ERR_DB_LOST || e == ERR_DB_RETRY)
		return no_copy(m);
	if (e == ERR_OK)
		journal_step(m->journal, "epoch", "epoch %llu written%s",
			(unsigned long long)m->record.epoch,
			m->record.protection == CONTROL_PROTECTED ? " and acknowledged" : "");
	if (e == ERR_OK)
		e = role_writable(p->db);
	if (e == ERR_OK)
		e = role_unlock(p->db);
	if (e != ERR_OK)
		return verb_fail(e, "opening cell %s at %s", m->cell->name, p->at->site);
	journal_step(m->journal, "writable", "%s takes writes", p->at->site);
	return VERB_DONE;
}

typedef struct {
	const topology_site *site[TOPOLOGY_SITES_MAX]; /* the new primary's first */
	site_job live[TOPOLOGY_SITES_MAX];
	unsigned n;
} sites;

static sites sites_of(const move_t *m)
{
	const topology_t *t = verb_topology();
	sites s = {.site = {topology_site_named(t, m->record.primary)}, .n = 1};

	for (unsigned i = 0; i < t->site_count; i++)
		if (&t->site[i] != s.site[0])
			s.site[s.n++] = &t->site[i];
	return s;
}

static void live_begin(const move_t *m, sites *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (topology_member_at(m->cell, s->site[i]->name))
			site_begin_live(s->site[i], m->cell->name, &m->record, &s->live[i]);
}

/* True when the new primary's site was told; others that cannot be reached are told by readmit. */
static bool live_end(const move_t *m, sites *s)
{
	bool told = false;

	for (unsigned i = 0; i < s->n; i++) {
		if (!topology_member_at(m->cell, s->site[i]->name))
			continue;
		if (site_end(&s->live[i], SITE_MS))
			told = told || i == 0;
		else
			fprintf(stderr, "hbctl: the programs at %s could not be told\n",
				s->site[i]->name);
	}
	journal_step(m->journal, "live", "%s", told ? "the programs are told" : "not told");
	return told;
}

static int say_partly(const move_t *m, const char *what)
{
	fprintf(stderr, "hbctl: %s\nNext: this command again (epoch %llu stands).\n", what,
		(unsigned long long)m->record.epoch);
	return VERB_PARTLY;
}

static int tell(move_t *m)
{
	sites s = sites_of(m);
	bool nginx, told;
	long status;
	doors_t d;

	live_begin(m, &s);
	doors_begin(&d);
	told = live_end(m, &s);
	nginx = doors_end(&d) > 0; /* one that leads to the new primary */
	journal_step(m->journal, "nginx", "%s", nginx ? "rendered and reloaded" : "not reloaded");
	if (!told || !nginx)
		return say_partly(
			m, "the programs or nginx at the new primary's site were not told");
	if (!probe_writes(m->cell, m->record.epoch, PROBE_MS, &status)) {
		fprintf(stderr, "hbctl: the last answer of the front door was %ld\n", status);
		return say_partly(m, "no write came through the front door");
	}
	journal_step(m->journal, "probed", "a write came through the front door");
	return VERB_DONE;
}

static int steady(move_t *m)
{
	control_record want = m->record;

	want.change = CONTROL_STEADY;
	if (move_record(m, want) != ERR_OK)
		return say_partly(m, "the control record could not be set to steady");
	journal_step(m->journal, "done", "cell %s is at %s, epoch %llu", m->cell->name,
		m->record.primary, (unsigned long long)m->record.epoch);
	return VERB_DONE;
}

int move_finish(move_t *m)
{
	err_t e = take_over(m);
	int code;

	if (e != ERR_OK) {
		verb_fail(e, "the new primary at %s", m->record.primary);
		return say_partly(m, "the new primary did not take over");
	}
	journal_step(m->journal, "promoted", "%s follows nobody any more, at %s", m->record.primary,
		move_primary(m)->view.binlog_pos);
	followers(m);
	code = move_open(m);
	if (code == VERB_DONE)
		code = tell(m);
	return code == VERB_DONE ? steady(m) : verb_begun(code);
}
