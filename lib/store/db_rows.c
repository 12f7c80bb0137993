/* The rows of one query. All columns are fetched as text and read as numbers on demand: that is
 * exact for every SQL type (unsigned, sums, NULL, blobs), whereas binding by the server's types is
 * a ladder with traps. */
#include "store/db_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 64, NUMBER_BYTES = 32 };

struct cell {
	size_t at, len;
	bool null;
};

struct db_rows {
	size_t count, next; /* the current row is next - 1 */
	unsigned cols;
	struct cell *cells;
	char *data;
	size_t used, room;
};

struct column {
	unsigned long len;
	my_bool null;
};

static char *rows_room(db_rows_t *r, size_t n)
{
	if (r->used + n > r->room) {
		r->room = (r->used + n) * 2;
		r->data = realloc(r->data, r->room);
		BUG_ON(!r->data);
	}
	return r->data + r->used;
}

static void add_row(db_rows_t *r, size_t row, const MYSQL_BIND *bind, const struct column *col)
{
	for (unsigned c = 0; c < r->cols; c++) {
		size_t n = col[c].null ? 0 : col[c].len;
		char *to = rows_room(r, n + 1);

		memcpy(to, bind[c].buffer, n);
		to[n] = 0;
		r->cells[row * r->cols + c] = (struct cell){r->used, n, col[c].null != 0};
		r->used += n + 1;
	}
}

/* One buffer that holds the longest value of each column; the library converts into it. */
static char *bind_columns(MYSQL_STMT *st, unsigned cols, MYSQL_BIND *bind, struct column *col)
{
	MYSQL_RES *meta = mysql_stmt_result_metadata(st);
	size_t bytes = 0, at = 0;
	char *buffer;

	BUG_ON(!meta);
	MYSQL_FIELD *field = mysql_fetch_fields(meta);
	for (unsigned c = 0; c < cols; c++) {
		bind[c].buffer_length = field[c].max_length + NUMBER_BYTES;
		bytes += bind[c].buffer_length;
	}
	mysql_free_result(meta);
	buffer = malloc(bytes);
	BUG_ON(!buffer);
	for (unsigned c = 0; c < cols; c++) {
		bind[c].buffer_type = MYSQL_TYPE_STRING;
		bind[c].buffer = buffer + at;
		bind[c].length = &col[c].len;
		bind[c].is_null = &col[c].null;
		at += bind[c].buffer_length;
	}
	return buffer;
}

static int fetch_rows(MYSQL_STMT *st, db_rows_t *r)
{
	MYSQL_BIND bind[COLUMNS_MAX] = {0};
	struct column col[COLUMNS_MAX] = {0};
	char *buffer = bind_columns(st, r->cols, bind, col);
	int rc = mysql_stmt_bind_result(st, bind) ? 1 : 0;

	for (size_t row = 0; rc == 0 && row < r->count; row++) {
		rc = mysql_stmt_fetch(st);
		BUG_ON(rc == MYSQL_DATA_TRUNCATED || rc == MYSQL_NO_DATA);
		if (rc == 0)
			add_row(r, row, bind, col);
	}
	free(buffer);
	return rc;
}

db_rows_t *db_rows_read(MYSQL_STMT *st)
{
	db_rows_t *r;
	unsigned cols = mysql_stmt_field_count(st);

	BUG_ON(cols == 0 || cols > COLUMNS_MAX);
	if (mysql_stmt_store_result(st) != 0)
		return NULL;
	r = calloc(1, sizeof *r);
	BUG_ON(!r);
	r->cols = cols;
	r->count = mysql_stmt_num_rows(st);
	r->cells = calloc(r->count * cols + 1, sizeof *r->cells);
	BUG_ON(!r->cells);
	if (fetch_rows(st, r) != 0)
		db_rows_free(&r);
	return r;
}

static const struct cell *cell_at(const db_rows_t *r, unsigned col)
{
	BUG_ON(r->next == 0 || r->next > r->count || col >= r->cols);
	return &r->cells[(r->next - 1) * r->cols + col];
}

size_t db_rows_count(const db_rows_t *r)
{
	return r->count;
}

bool db_rows_next(db_rows_t *r)
{
	if (r->next >= r->count)
		return false;
	r->next++;
	return true;
}

bool db_rows_null(const db_rows_t *r, unsigned col)
{
	return cell_at(r, col)->null;
}

const char *db_rows_s(const db_rows_t *r, unsigned col, size_t *n)
{
	const struct cell *c = cell_at(r, col);

	if (n)
		*n = c->len;
	return r->data + c->at;
}

int64_t db_rows_i(const db_rows_t *r, unsigned col)
{
	const char *s = db_rows_s(r, col, NULL);
	char *end;

	errno = 0;
	int64_t v = strtoll(s, &end, 10);
	BUG_ON(errno != 0 || *end != 0);
	return v;
}

uint64_t db_rows_u(const db_rows_t *r, unsigned col)
{
	const char *s = db_rows_s(r, col, NULL);
	char *end;

	errno = 0;
	uint64_t v = strtoull(s, &end, 10);
	BUG_ON(errno != 0 || *end != 0 || *s == '-');
	return v;
}

void db_rows_free(db_rows_t **r)
{
	if (!*r)
		return;
	free((*r)->cells);
	free((*r)->data);
	free(*r);
	*r = NULL;
}
