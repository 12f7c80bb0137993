/* hbctl schema apply: numbered files, each once, through each cell's primary; replicas get them by
 * replication. DDL commits by itself, so a migration that was broken off cannot be told from a
 * finished one by looking at tables: it is marked when it begins and when it has ended, and one
 * that began without ending stops everything until a person has looked. */
#include "units/schema.h"

#include "base/clk.h"
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA_IO_MS = 600000, SCHEMA_FILE_BYTES = 1 << 20 };

typedef struct {
	const topology_cell *cell;
	control_record record;
	db_t *db;
} target;

static err_t read_file(const char *path, char **text, size_t *n)
{
	FILE *f = fopen(path, "re");
	char *buf = malloc(SCHEMA_FILE_BYTES);
	bool ok;

	BUG_ON(!buf);
	*n = f ? fread(buf, 1, SCHEMA_FILE_BYTES, f) : 0;
	ok = f && !ferror(f) && feof(f) && *n > 0;
	if (f)
		fclose(f);
	if (!ok) {
		fprintf(stderr, "hbctl: cannot read %s (or it is empty, or above %d bytes)\n", path,
			SCHEMA_FILE_BYTES);
		free(buf);
		return ERR_CONFIG_INVALID;
	}
	*text = buf;
	return ERR_OK;
}

/* *state: 0 never begun, 1 begun, 2 ended. */
static err_t migration_state(db_t *db, uint64_t version, int *state)
{
	db_rows_t *rows = NULL;
	err_t e = db_select(db, SQL_UNITS_SCHEMA_VERSION, DB_ARGS(db_u(version)), &rows);

	if (e != ERR_OK)
		return e;
	*state = db_rows_next(rows) ? 1 + (db_rows_i(rows, 0) != 0) : 0;
	db_rows_free(&rows);
	return ERR_OK;
}

static int run_migration(const target *t, uint64_t version, const char *name, const char *path)
{
	char *text = NULL;
	size_t n;
	err_t e = read_file(path, &text, &n);

	if (e != ERR_OK)
		return VERB_FAILED;
	e = db_exec(t->db, SQL_UNITS_SCHEMA_BEGIN,
		DB_ARGS(db_u(version), db_s(name), db_i(clk_wall_ms())), NULL);
	if (e == ERR_OK)
		e = db_script(t->db, text, n, NULL, NULL);
	if (e == ERR_OK)
		e = db_exec(t->db, SQL_UNITS_SCHEMA_END,
			DB_ARGS(db_i(clk_wall_ms()), db_u(version)), NULL);
	free(text);
	if (e != ERR_OK) {
		verb_fail(e, "cell %s, migration %s", t->cell->name, name);
		return VERB_PARTLY;
	}
	printf("cell %s: %s applied\n", t->cell->name, name);
	return VERB_DONE;
}

static int apply_file(const target *t, char *path)
{
	const char *name = basename(path);
	uint64_t version = strtoull(name, NULL, 10);
	int state;
	err_t e;

	if (version == 0) {
		fprintf(stderr, "hbctl: %s has no number\n", path);
		return VERB_FAILED;
	}
	e = migration_state(t->db, version, &state);
	if (e != ERR_OK)
		return verb_fail(e, "cell %s", t->cell->name);
	if (state == 1) {
		fprintf(stderr,
			"hbctl: cell %s: %s was broken off. Compare the tables with the file, "
			"finish it by "
			"hand, then: UPDATE schema_version SET ended_at = 1 WHERE version = %llu\n",
			t->cell->name, name, (unsigned long long)version);
		return VERB_PARTLY;
	}
	return state == 2 ? VERB_DONE : run_migration(t, version, name, path);
}

/* The epoch row says whose database this is; another cell's is never touched. */
static int check_epoch_row(const target *t)
{
	db_rows_t *rows = NULL;
	bool ours = false;
	err_t e = db_exec(t->db, SQL_UNITS_EPOCH_INSERT,
		DB_ARGS(db_s(t->cell->name), db_u(t->record.epoch)), NULL);

	if (e == ERR_OK)
		e = db_select(t->db, SQL_UNITS_EPOCH, DB_NONE, &rows);
	if (e != ERR_OK)
		return verb_fail(e, "cell %s", t->cell->name);
	if (db_rows_next(rows))
		ours = !strcmp(db_rows_s(rows, 0, NULL), t->cell->name);
	db_rows_free(&rows);
	if (ours)
		return VERB_DONE;
	fprintf(stderr, "hbctl: the database of cell %s says that it belongs to another\n",
		t->cell->name);
	return VERB_REFUSED;
}

static err_t open_target(const topology_cell *cell, target *t)
{
	const topology_member *primary;
	db_rows_t *rows = NULL;
	err_t e;

	*t = (target){.cell = cell};
	e = control_get(verb_control(), cell->name, &t->record);
	if (e != ERR_OK)
		return e;
	primary = topology_member_at(cell, t->record.primary);
	if (!primary)
		return ERR_CONFIG_INVALID;
	e = verb_db(primary, "hongbao", SCHEMA_IO_MS, &t->db);
	if (e == ERR_OK)
		e = db_select(t->db, SQL_UNITS_SCHEMA_LOCK, DB_NONE, &rows);
	if (e == ERR_OK && (!db_rows_next(rows) || db_rows_i(rows, 0) != 1))
		e = ERR_TIMEOUT;
	db_rows_free(&rows);
	if (e == ERR_OK)
		e = db_exec(t->db, SQL_UNITS_SCHEMA_TABLE, DB_NONE, NULL);
	return e;
}

static int find_files(glob_t *files)
{
	char pattern[512];

	snprintf(pattern, sizeof(pattern), "%s/sql/migrations/[0-9]*.sql", verb_share());
	if (glob(pattern, 0, NULL, files) == 0)
		return VERB_DONE;
	fprintf(stderr, "hbctl: no migrations: %s\n", pattern);
	return VERB_FAILED;
}

err_t schema_pending(db_t *db, void (*found)(void *ctx, const char *name, bool begun), void *ctx)
{
	glob_t files = {0};
	err_t e = find_files(&files) == VERB_DONE ? ERR_OK : ERR_CONFIG_INVALID;

	for (size_t i = 0; e == ERR_OK && i < files.gl_pathc; i++) {
		const char *name = basename(files.gl_pathv[i]);
		int state = 0;

		e = migration_state(db, strtoull(name, NULL, 10), &state);
		if (e == ERR_OK && state < 2)
			found(ctx, name, state == 1);
	}
	globfree(&files);
	return e;
}

static int apply(const topology_cell *cell)
{
	glob_t files = {0};
	target t;
	err_t e = open_target(cell, &t);
	int status = e == ERR_OK ? VERB_DONE : verb_fail(e, "cell %s", cell->name);

	if (status == VERB_DONE)
		status = find_files(&files);
	for (size_t i = 0; status == VERB_DONE && i < files.gl_pathc; i++)
		status = apply_file(&t, files.gl_pathv[i]);
	if (status == VERB_DONE)
		status = check_epoch_row(&t);
	globfree(&files);
	db_close(&t.db);
	return status;
}

int schema_verb(int argc, char **argv)
{
	const topology_t *t = verb_topology();
	int status = VERB_DONE;

	for (int i = 1; i < argc && status == VERB_DONE; i++)
		status = apply(verb_cell(argv[i]));
	for (unsigned i = 0; argc == 1 && i < t->cell_count && status == VERB_DONE; i++)
		status = apply(&t->cell[i]);
	return status;
}
