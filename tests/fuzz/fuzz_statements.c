/* statements: finance's statement of a day, part by part as it is fetched, and then line by line as it is
 * read. A file that is there is whole; every line of it is an entry or the error names it.
 * Input: the parts, with a zero between them. */
#include "base/clk.h"
#include "base/logger.h"
#include "domain/statement.h"
#include "tests/fuzz/fuzz.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 256 };
static const int64_t day_ms = INT64_C(1795305600000);

static char folder[64];
static const char *parts, *end;
static bool told;         /* the log has named a line, */
static uint64_t bad_line; /* this one; 0 in an empty file */

/* In place of the call over HTTP: the next part. */
err_t __wrap_finance_statement(
	finance_t *f, const char *day, uint64_t after, const char **text, size_t *n);
err_t __wrap_finance_statement(
	finance_t *f, const char *day, uint64_t after, const char **text, size_t *n)
{
	(void)f;
	(void)after;
	FUZZ_CHECK(strcmp(day, "2026-11-22") == 0);
	if (parts > end)
		return ERR_FINANCE_UNAVAILABLE;
	*text = parts;
	*n = strlen(parts);
	parts += *n + 1;
	return ERR_OK;
}

/* In place of the log: which line is named. */
void __wrap_logger_write(logger_level level, const char *event, const logger_field *f, unsigned n);
void __wrap_logger_write(logger_level level, const char *event, const logger_field *f, unsigned n)
{
	(void)level;
	for (unsigned i = 0; i < n; i++)
		if (strcmp(event, "statement.line") == 0 && strcmp(f[i].key, "line") == 0) {
			told = true;
			bad_line = f[i].val.u;
		}
}

typedef struct {
	uint64_t entries;
} sums;

static err_t take(void *ctx, const statement_line *line)
{
	sums *s = ctx;
	char at[CLK_RFC3339_BYTES];
	FUZZ_CHECK(line->kind >= FINANCE_PAYMENT && line->kind <= FINANCE_WITHDRAWAL);
	FUZZ_CHECK(line->amount_fen >= 0 && line->order_no <= INT64_MAX && line->uid <= INT64_MAX &&
		   line->payment_no <= INT64_MAX);
	FUZZ_CHECK(clk_rfc3339(line->at_ms, at) > 0);
	s->entries++;
	return ERR_OK;
}

/* How many lines a file has that are no head, up to its "#end". */
static uint64_t lines_of(const char *path)
{
	static const char head[] = "order_no,";
	char *line = NULL;
	size_t room = 0;
	uint64_t n = 0;
	FILE *file = fopen(path, "re");
	FUZZ_CHECK(file);
	while (getline(&line, &room, file) > 0)
		n += strncmp(line, head, sizeof head - 1) != 0 && strcmp(line, "#end\n") != 0;
	free(line);
	fclose(file);
	return n;
}

static void read_file(const char *path)
{
	sums s = {0};
	told = false;
	bad_line = 0;
	const err_t err = statement_read(path, take, &s);
	FUZZ_CHECK(err == ERR_OK || err == ERR_INVALID_FIELD);
	FUZZ_CHECK((err == ERR_INVALID_FIELD) == told);
	if (err == ERR_OK)
		FUZZ_CHECK(s.entries == lines_of(path));
	else
		FUZZ_CHECK(s.entries <= bad_line);
}

static void remove_folder(void)
{
	rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const fuzz_input in = {data, size};
	char path[STATEMENT_PATH_BYTES], *text = fuzz_rest(&in);
	if (!*folder) {
		snprintf(folder, sizeof folder, "/dev/shm/hb-fuzz-XXXXXX");
		FUZZ_CHECK(mkdtemp(folder));
		atexit(remove_folder);
	}
	parts = text;
	end = text + size;
	if (statement_fetch(NULL, day_ms, folder, path) == ERR_OK) {
		read_file(path);
		unlink(path);
	} else {
		strcat(path, ".new"); /* what was begun */
		unlink(path);
	}
	free(text);
	/* And one that somebody else has put there. */
	read_file(fuzz_file(data, size, 0600));
	return 0;
}
