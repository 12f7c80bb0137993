/* hbctl cells: the cells as the control records and the members themselves show them. */
#include "units/role.h"
#include "units/site.h"
#include "units/verb.h"

#include "base/arena.h"
#include "base/jw.h"
#include <stdio.h>
#include <string.h>

enum { LIVE_MS = 10000, GREET_MS = 500, LOOK_IO_MS = 3000, OUTPUT_BYTES = 1 << 20 };

static void first_record(const topology_cell *cell, control_record *r)
{
	*r = (control_record){.epoch = 1, .protection = CONTROL_PROTECTED};
	snprintf(r->primary, sizeof(r->primary), "%s", cell->active);
	for (unsigned i = 0; i < cell->member_count && i < CONTROL_MEMBERS_MAX; i++)
		snprintf(r->in_sync[r->in_sync_count++], sizeof(r->in_sync[0]), "%s",
			cell->member[i].site);
}

/* The record that rules, made if there is none. Whoever else makes it meanwhile, and a lost answer,
 * are settled by reading it again. */
static err_t record_of(const topology_cell *cell, control_record *r)
{
	err_t e = control_get(verb_control(), cell->name, r);

	if (e != ERR_NOT_FOUND)
		return e;
	first_record(cell, r);
	e = control_put(verb_control(), cell->name, r);
	if (e == ERR_CONTROL_CONFLICT || e == ERR_OUTCOME_UNKNOWN)
		e = control_get(verb_control(), cell->name, r);
	return e;
}

/* At every site where the cell has a member; those that cannot be reached are told of. */
static bool write_live(const topology_cell *cell, const control_record *r)
{
	site_job jobs[TOPOLOGY_MEMBERS_MAX];
	bool all = true;

	for (unsigned i = 0; i < cell->member_count; i++)
		site_begin_live(topology_site_named(verb_topology(), cell->member[i].site),
			cell->name, r, &jobs[i]);
	for (unsigned i = 0; i < cell->member_count; i++)
		if (!site_end(&jobs[i], LIVE_MS)) {
			fprintf(stderr, "hbctl: site %s has no go-live file of cell %s\n",
				cell->member[i].site, cell->name);
			all = false;
		}
	return all;
}

static int init(void)
{
	const topology_t *t = verb_topology();

	for (unsigned i = 0; i < t->cell_count; i++) {
		control_record r;
		err_t e = record_of(&t->cell[i], &r);

		if (e != ERR_OK)
			return verb_fail(e, "cell %s", t->cell[i].name);
		if (!write_live(&t->cell[i], &r))
			return VERB_FAILED;
		printf("cell %s: epoch %llu, primary %s\n", t->cell[i].name,
			(unsigned long long)r.epoch, r.primary);
	}
	return VERB_DONE;
}

typedef struct {
	err_t error; /* of asking the member */
	role_view says;
} member_view;

typedef struct {
	const topology_cell *cell;
	err_t error; /* of asking the control record */
	control_record record;
	member_view member[TOPOLOGY_MEMBERS_MAX];
	bool ready; /* the primary takes writes, and a replica acknowledges them */
} cell_view;

static void look_at_member(const topology_member *m, member_view *v)
{
	db_t *db = NULL;

	v->error = role_open(m, GREET_MS, LOOK_IO_MS, &db);
	if (v->error == ERR_OK)
		v->error = role_read(db, &v->says);
	db_close(&db);
}

static void look_at_cell(const topology_cell *cell, cell_view *v)
{
	*v = (cell_view){.cell = cell};
	v->error = control_get(verb_control(), cell->name, &v->record);
	for (unsigned i = 0; i < cell->member_count; i++) {
		const role_view *says = &v->member[i].says;

		look_at_member(&cell->member[i], &v->member[i]);
		if (v->error == ERR_OK && v->member[i].error == ERR_OK &&
			!strcmp(cell->member[i].site, v->record.primary))
			v->ready = !says->read_only && says->semi_sync_clients > 0;
	}
}

static const char *protection_of(const cell_view *v)
{
	if (v->error != ERR_OK)
		return "UNKNOWN";
	return v->record.protection == CONTROL_PROTECTED ? "PROTECTED" : "UNPROTECTED";
}

static bool is_primary(const cell_view *v, unsigned i)
{
	return v->error == ERR_OK && !strcmp(v->cell->member[i].site, v->record.primary);
}

/* Without the record nobody may say who is the primary, not even a member that takes writes. */
static const char *role_of(const cell_view *v, unsigned i)
{
	if (v->error != ERR_OK)
		return "unknown";
	return is_primary(v, i) ? "primary" : "replica";
}

static const char *server_of(const member_view *m)
{
	if (m->error != ERR_OK)
		return "unreachable";
	return m->says.read_only ? "read-only" : "writable";
}

static void print_table(const cell_view *v)
{
	for (unsigned i = 0; i < v->cell->member_count; i++) {
		const member_view *m = &v->member[i];
		bool primary = is_primary(v, i);
		char clients[16] = "-";

		if (primary && m->error == ERR_OK)
			snprintf(clients, sizeof(clients), "%lld",
				(long long)m->says.semi_sync_clients);
		printf("%-4s  %5llu  %-11s  %-8s  %-7s  %-11s  %9s  %s\n", v->cell->name,
			(unsigned long long)v->record.epoch, protection_of(v),
			v->cell->member[i].site, role_of(v, i), server_of(m), clients,
			m->error != ERR_OK                 ? "-"
			: primary || !m->says.slave_pos[0] ? m->says.binlog_pos
							   : m->says.slave_pos);
	}
}

static void write_json(const cell_view *v, jw_t *w)
{
	jw_obj(w, NULL);
	jw_str(w, "cell", v->cell->name);
	jw_str(w, "protection", protection_of(v));
	jw_i64(w, "epoch", (int64_t)v->record.epoch);
	jw_str(w, "active", v->error == ERR_OK ? v->record.primary : NULL);
	jw_bool(w, "ready", v->ready);
	jw_arr(w, "members");
	for (unsigned i = 0; i < v->cell->member_count; i++) {
		const member_view *m = &v->member[i];

		jw_obj(w, NULL);
		jw_str(w, "site", v->cell->member[i].site);
		jw_str(w, "role", role_of(v, i));
		jw_str(w, "server", server_of(m));
		if (m->error == ERR_OK) {
			jw_i64(w, "semi_sync_clients", m->says.semi_sync_clients);
			jw_str(w, "binlog_pos", m->says.binlog_pos);
			jw_str(w, "slave_pos", m->says.slave_pos);
		}
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_obj_end(w);
}

static int status(bool want_ready)
{
	const topology_t *t = verb_topology();
	arena_t *a = arena_new(OUTPUT_BYTES);
	bool ready = true;
	int blind = VERB_DONE;
	jw_t w;

	jw_start(&w, a);
	jw_arr(&w, NULL);
	if (!verb_json())
		printf("%-4s  %5s  %-11s  %-8s  %-7s  %-11s  %9s  %s\n", "CELL", "EPOCH",
			"PROTECTION", "SITE", "ROLE", "SERVER", "SEMI-SYNC", "POSITION");
	for (unsigned i = 0; i < t->cell_count; i++) {
		cell_view v;

		look_at_cell(&t->cell[i], &v);
		ready = ready && v.ready;
		if (v.error != ERR_OK)
			blind = verb_fail(v.error, "the control record of cell %s", v.cell->name);
		if (verb_json())
			write_json(&v, &w);
		else
			print_table(&v);
	}
	jw_arr_end(&w);
	jw_end(&w);
	if (verb_json())
		puts(w.buf);
	arena_free(&a);
	if (blind != VERB_DONE)
		return blind;
	return want_ready && !ready ? VERB_FAILED : VERB_DONE;
}

int cells_verb(int argc, char **argv)
{
	bool want_ready = argc == 2 && !strcmp(argv[1], "--ready");

	if (argc > 1 && !want_ready)
		return verb_usage("cells init | cells status [--ready]");
	return strcmp(argv[0], "init") ? status(want_ready) : init();
}
