/* The file is written beside and renamed, so a statement that is there is a whole one. Parts are
 * joined without their first lines, which are all the same, and without their cursors. */
#include "domain/statement.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/parse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 256, FIELDS = 6 };

static const char HEAD[] = "order_no,kind,uid,amount_fen,payment_no,at\n";

/* The start of a part's last line; NULL when it has none. */
static const char *last_line(const char *text, size_t n)
{
	if (n == 0 || text[n - 1] != '\n')
		return NULL;
	const char *end = text + n - 1;
	while (end > text && end[-1] != '\n')
		end--;
	return end;
}

/* Writes a part's lines. *after is the cursor of the next part, 0 when there is none. */
static err_t write_part(FILE *file, const char *text, size_t n, uint64_t *after)
{
	static const char next[] = "#next,";
	const size_t skip = strncmp(text, HEAD, sizeof HEAD - 1) == 0 ? sizeof HEAD - 1 : 0;
	const char *last = last_line(text, n);
	bool whole = last && strcmp(last, "#end\n") == 0;
	uint64_t cursor = 0;
	if (!whole &&
		(!last || strncmp(last, next, sizeof next - 1) != 0 ||
			!parse_u64n(last + sizeof next - 1, (size_t)(text + n - last) - sizeof next,
				INT64_MAX, &cursor) ||
			cursor <= *after)) {
		LOG(ERROR, "statement.part", {"after", LOG_U(*after)});
		return ERR_FINANCE_UNAVAILABLE;
	}
	*after = cursor;
	const char *from = text + skip, *to = whole ? text + n : last;
	bool written = to <= from || fwrite(from, (size_t)(to - from), 1, file) == 1;
	return written ? ERR_OK : ERR_INTERNAL;
}

err_t statement_fetch(
	finance_t *f, int64_t day_ms, const char *folder, char path[STATEMENT_PATH_BYTES])
{
	char day[CLK_RFC3339_BYTES], beside[STATEMENT_PATH_BYTES + 8];
	uint64_t after = 0;
	clk_rfc3339(day_ms, day);
	day[strlen("2026-11-22")] = 0;
	snprintf(path, STATEMENT_PATH_BYTES, "%s/%s.csv", folder, day);
	snprintf(beside, sizeof beside, "%s.new", path);
	FILE *file = fopen(beside, "we");
	err_t err = file && fputs(HEAD, file) >= 0 ? ERR_OK : ERR_INTERNAL;
	do {
		const char *text = NULL;
		size_t n = 0;
		if (err == ERR_OK)
			err = finance_statement(f, day, after, &text, &n);
		if (err == ERR_OK)
			err = write_part(file, text, n, &after);
	} while (err == ERR_OK && after);
	if (err == ERR_OK && (fflush(file) != 0 || fsync(fileno(file)) != 0))
		err = ERR_INTERNAL;
	if (file && fclose(file) != 0 && err == ERR_OK)
		err = ERR_INTERNAL;
	if (err == ERR_OK && rename(beside, path) != 0)
		err = ERR_INTERNAL;
	if (err != ERR_OK)
		LOG(ERROR, "statement.fetch", {"path", LOG_S(path)}, {"error", LOG_E(err)});
	return err;
}

/* order_no,kind,uid,amount_fen,payment_no,at: exactly so. Cuts `text`. */
static bool read_line(char *text, statement_line *out)
{
	char *field[FIELDS], *at = text;
	uint64_t fen;
	for (unsigned i = 0; i < FIELDS; i++) {
		field[i] = at;
		at = strchr(at, i + 1 < FIELDS ? ',' : '\n');
		if (!at)
			return false;
		*at++ = 0;
	}
	out->kind = finance_kind_named(field[1]);
	bool good = *at == 0 && out->kind && parse_u64(field[0], INT64_MAX, &out->order_no) &&
		    parse_u64(field[2], INT64_MAX, &out->uid) &&
		    parse_u64(field[3], INT64_MAX, &fen) &&
		    parse_u64(field[4], INT64_MAX, &out->payment_no) &&
		    clk_parse_rfc3339(field[5], &out->at_ms) == ERR_OK;
	out->amount_fen = good ? (int64_t)fen : 0;
	return good;
}

err_t statement_read(const char *path, statement_fn each, void *ctx)
{
	char text[LINE_BYTES];
	uint64_t number = 0;
	bool ended = false;
	err_t err = ERR_OK;
	FILE *file = fopen(path, "re");
	if (!file) {
		LOG(ERROR, "statement.open", {"path", LOG_S(path)});
		return ERR_NOT_FOUND;
	}
	while (err == ERR_OK && fgets(text, sizeof text, file)) {
		statement_line line;
		number++;
		if (strcmp(text, HEAD) == 0 && !ended)
			continue;
		if (strcmp(text, "#end\n") == 0 && !ended)
			ended = true;
		else if (ended || !read_line(text, &line))
			err = ERR_INVALID_FIELD;
		else
			err = each(ctx, &line);
	}
	if (err == ERR_OK && (ferror(file) || !ended))
		err = ERR_INVALID_FIELD;
	if (err == ERR_INVALID_FIELD)
		LOG(ERROR, "statement.line", {"path", LOG_S(path)}, {"line", LOG_U(number)});
	fclose(file);
	return err;
}
