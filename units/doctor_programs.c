/* hbctl doctor: our own programs, and what they are given: that each runs and is at work, that the database
 * has connections for them, and that all sites have the same keys. A socket that systemd holds takes
 * connections whether a program is behind it or not, so the programs' metrics are asked, not their ports. */
#include "units/doctor.h"

#include "base/clk.h"
#include "base/metrics.h"
#include "domain/db_users.h"
#include "units/site.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	STUCK_MS = 10000, /* of looks that come 2.5 times a second, on a busy machine later */
	EXPECTED_MAX = 4096,
	SITE_MS = 15000,
};

/* ---- programs ---- */

static const char *const roles[] = {
#define ROLE(name, waits, user, help, ...) "hb-worker-" #name,
#include "domain/roles.def"
#undef ROLE
};

typedef struct {
	const char *program;
	const topology_cell *cell;
	const topology_member *member;
	int64_t instance;
	bool runs;
	int64_t looked_ms;
} expected;

typedef struct {
	expected one[EXPECTED_MAX];
	unsigned count;
} all_expected;

static void expect(all_expected *all, const topology_cell *cell, const topology_member *m,
	const char *program, unsigned instances)
{
	for (unsigned i = 1; i <= instances && all->count < EXPECTED_MAX; i++)
		all->one[all->count++] =
			(expected){.program = program, .cell = cell, .member = m, .instance = i};
}

static void expect_member(all_expected *all, const topology_cell *cell, const topology_member *m)
{
	expect(all, cell, m, "hb-core", m->core_count);
	expect(all, cell, m, "hb-query", m->query_count);
	expect(all, cell, m, "hb-rain", m->rain_count);
	for (unsigned i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		expect(all, cell, m, roles[i], 1);
}

static void see(void *ctx, const metrics_owner *owner, const metrics_file *f, bool runs)
{
	all_expected *all = ctx;

	for (unsigned i = 0; i < all->count; i++) {
		expected *x = &all->one[i];

		if (x->instance != owner->instance || strcmp(x->program, owner->program) != 0 ||
			strcmp(x->cell->name, owner->cell) != 0 ||
			strcmp(x->member->site, owner->site) != 0)
			continue;
		x->runs = runs;
		x->looked_ms = metrics_of(f, METRICS_LOOKED, 0);
	}
}

static void judge(doctor_t *d, const expected *x)
{
	const int64_t since_ms = clk_wall_ms() - x->looked_ms;

	if (!x->runs)
		doctor_bad(d, "%s %lld of %s at %s does not run, or is of another build",
			x->program, (long long)x->instance, x->cell->name, x->member->site);
	else if (since_ms > STUCK_MS)
		doctor_bad(d, "%s %lld of %s at %s is stuck: for %lld s it has looked at nothing",
			x->program, (long long)x->instance, x->cell->name, x->member->site,
			(long long)since_ms / 1000);
}

void doctor_programs(doctor_t *d)
{
	const topology_t *t = verb_topology();
	all_expected *all = calloc(1, sizeof(*all));

	BUG_ON(!all);
	for (unsigned c = 0; c < t->cell_count; c++)
		for (unsigned i = 0; i < t->cell[c].member_count; i++)
			if (doctor_here(t->cell[c].member[i].host))
				expect_member(all, &t->cell[c], &t->cell[c].member[i]);
	if (metrics_each(conf_s(verb_conf(), CONF_METRICS_DIR), see, all) != ERR_OK)
		doctor_bad(d, "%s cannot be read", conf_s(verb_conf(), CONF_METRICS_DIR));
	else
		for (unsigned i = 0; i < all->count; i++)
			judge(d, &all->one[i]);
	free(all);
}

/* ---- connections ---- */

static void given(doctor_t *d, const topology_cell *cell, const topology_member *m,
	const char *user, int64_t is)
{
	const int64_t all = conf_i(verb_conf(), CONF_DB_MEMBER_CONNECTIONS);
	const db_users_id id = db_users_named(user);

	if (!*user && is < all)
		doctor_bad(d, "%s %s: max_connections is %lld, %s says %lld", cell->name, m->site,
			(long long)is, conf_name(CONF_DB_MEMBER_CONNECTIONS), (long long)all);
	if (id == DB_USERS_COUNT)
		return;
	const int64_t opens = db_users_open(verb_conf(), verb_topology(), m, id);
	const int64_t wanted = db_users_given(verb_conf(), verb_topology(), id);
	if (is == 0)
		doctor_bad(d, "%s %s: %s may fill the server, and should have %lld connections",
			cell->name, m->site, user, (long long)wanted);
	else if (is < opens)
		doctor_bad(d,
			"%s %s: %s may have %lld connections, its programs open %lld, and should "
			"have %lld",
			cell->name, m->site, user, (long long)is, (long long)opens,
			(long long)wanted);
}

static void connections_of(
	doctor_t *d, const topology_cell *cell, const topology_member *m, db_t *db)
{
	db_rows_t *rows = NULL;

	if (db_select(db, SQL_UNITS_CONNECTIONS, DB_NONE, &rows) != ERR_OK) {
		doctor_bad(
			d, "%s %s does not say how many connections it gives", cell->name, m->site);
		return;
	}
	while (db_rows_next(rows))
		given(d, cell, m, db_rows_s(rows, 0, NULL), db_rows_i(rows, 1));
	db_rows_free(&rows);
}

void doctor_connections(doctor_t *d)
{
	doctor_members(d, connections_of);
}

/* ---- key rings ---- */

static json_t *answer(site_job *job)
{
	const bool well = site_end(job, SITE_MS);
	char *text = site_output(job);
	json_t *says = well ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

	free(text);
	return says;
}

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

/* What identifies a site's file of a ring; 0: it has none. */
static json_int_t version_at(const json_t *site, const char *ring)
{
	const json_t *rings = json_object_get(site, "rings");

	for (size_t i = 0; i < json_array_size(rings); i++)
		if (!strcmp(text_of(json_array_get(rings, i), "ring"), ring))
			return json_integer_value(
				json_object_get(json_array_get(rings, i), "version"));
	return 0;
}

/* Rings of `one` that `other` has not, or has with another text. */
static void compare(doctor_t *d, const json_t *one, const json_t *other, bool both)
{
	const json_t *rings = json_object_get(one, "rings");

	for (size_t i = 0; i < json_array_size(rings); i++) {
		const char *ring = text_of(json_array_get(rings, i), "ring");
		const json_int_t here = version_at(one, ring), there = version_at(other, ring);

		if (there == 0)
			doctor_bad(d, "%s.keys is at %s and not at %s", ring, text_of(one, "site"),
				text_of(other, "site"));
		else if (both && here != there)
			doctor_bad(d, "%s.keys is another at %s than at %s", ring,
				text_of(other, "site"), text_of(one, "site"));
	}
}

void doctor_rings(doctor_t *d)
{
	static const char *const args[] = {"keys", "list", NULL};
	const topology_t *t = verb_topology();
	site_job job[TOPOLOGY_SITES_MAX];
	json_t *first = NULL;

	for (unsigned i = 0; i < t->site_count; i++)
		site_begin_keeping(&t->site[i], t->site[i].run, args, &job[i]);
	for (unsigned i = 0; i < t->site_count; i++) {
		json_t *says = answer(&job[i]);

		if (!says) {
			doctor_skip(d, "site %s does not say which rings it has", t->site[i].name);
		} else if (!first) {
			first = says;
			continue;
		} else {
			compare(d, first, says, true);
			compare(d, says, first, false);
		}
		json_decref(says);
	}
	json_decref(first);
}
