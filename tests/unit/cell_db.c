/* Tests say what they want in SQL of their own, so that they do not lean on what they test. */
#include "tests/unit/cell_db.h"

#include "tests/unit/server_tests.h"
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES = 65536 };

static void must(err_t err, const char *what)
{
	if (err == ERR_OK)
		return;
	printf("Bail out! %s: %s\n", err_code(err), what);
	exit(99);
}

/* All migrations, in the order of their numbers. */
static void migrate(db_t *db)
{
	static char text[TEXT_BYTES];
	glob_t files;
	if (glob(HB_SRCDIR "/sql/migrations/*.sql", 0, NULL, &files) != 0)
		must(ERR_NOT_FOUND, "sql/migrations");
	for (size_t i = 0; i < files.gl_pathc; i++) {
		FILE *f = fopen(files.gl_pathv[i], "r");
		size_t n = f ? fread(text, 1, TEXT_BYTES, f) : 0;
		if (!f || !feof(f))
			must(ERR_NOT_FOUND, files.gl_pathv[i]);
		fclose(f);
		must(db_script(db, text, n, NULL, NULL), files.gl_pathv[i]);
	}
	globfree(&files);
}

void cell_db_make(const char *name, db_target *out)
{
	server_address a;
	db_t *db;
	server_from_env("HB_TEST_MYSQL", true, &a);
	db_target t = {.port = a.port, .connect_ms = 2000, .io_ms = 5000, .lock_wait_s = 2};
	snprintf(t.host, sizeof t.host, "%s", a.host);
	snprintf(t.user, sizeof t.user, "%s", a.user);
	snprintf(t.password, sizeof t.password, "%s", a.password);
	snprintf(t.database, sizeof t.database, "%s", a.name);
	must(db_open(&t, &db), "connecting");
	cell_db_run(db, "DROP DATABASE IF EXISTS %s; CREATE DATABASE %s", name, name);
	db_close(&db);
	snprintf(t.database, sizeof t.database, "%s", name);
	must(db_open(&t, &db), "connecting");
	migrate(db);
	cell_db_run(db, "INSERT INTO cell_epoch VALUES (1, 'A', 1)");
	db_close(&db);
	t.epoch = 1;
	*out = t;
}

static void take_number(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	(void)result, (void)cols, (void)len;
	*(int64_t *)ctx = col[0] ? strtoll(col[0], NULL, 10) : -1;
}

static void run(db_t *db, db_row_fn on_row, void *ctx, const char *fmt, va_list ap)
{
	char sql[4096];
	int n = vsnprintf(sql, sizeof sql, fmt, ap);
	BUG_ON(n <= 0 || (size_t)n >= sizeof sql);
	must(db_script(db, sql, (size_t)n, on_row, ctx), sql);
}

void cell_db_run(db_t *db, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	run(db, NULL, NULL, fmt, ap);
	va_end(ap);
}

int64_t cell_db_number(db_t *db, const char *fmt, ...)
{
	int64_t number = -2;
	va_list ap;
	va_start(ap, fmt);
	run(db, take_number, &number, fmt, ap);
	va_end(ap);
	return number;
}
