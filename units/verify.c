/* Tables, columns and keys are the schema's, so the statements are put together here: the names come from
 * information_schema and are quoted, keys are written as digits or hexadecimal. The checksum of a row is
 * over every column, NULL told apart; a chunk's is their sum and exclusive or, which no order matters
 * to. */
#include "units/verify.h"

#include "units/gtid.h"

#include "base/clk.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHUNK_ROWS = 2000,
	TABLES_MAX = 100,
	NAME_BYTES = 65,
	KEY_BYTES = 200,
	COLUMNS_BYTES = 8192,
	SQL_BYTES = 2 * COLUMNS_BYTES + 2048,
	LOOKS_MAX = 20,
	LOOK_EVERY_MS = 100,
	REPLICA_WAIT_MS = 20000,
	POSITION_BYTES = 256,
};

typedef struct {
	char table[NAME_BYTES], key[NAME_BYTES];
	bool number; /* the key is one */
	char columns[COLUMNS_BYTES];
} verified;

typedef struct {
	uint64_t rows;
	char sum[80];
} chunk;

/* One row of texts at most. */
typedef struct {
	char *into[3];
	size_t room[3];
	bool got;
} one_row;

static void take_row(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	one_row *r = ctx;

	(void)result;
	for (unsigned i = 0; i < cols && i < 3 && r->into[i]; i++)
		snprintf(r->into[i], r->room[i], "%.*s", col[i] ? (int)len[i] : 0,
			col[i] ? col[i] : "");
	r->got = true;
}

static err_t ask(db_t *db, const char *sql, one_row *r)
{
	return db_script(db, sql, strlen(sql), take_row, r);
}

typedef struct {
	verified *table;
	unsigned n;
} tables;

static void take_table(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	tables *t = ctx;
	verified *v = &t->table[t->n];

	(void)result;
	(void)cols;
	BUG_ON(t->n == TABLES_MAX);
	if (len[3] >= sizeof(v->columns))
		return;
	snprintf(v->table, sizeof(v->table), "%s", col[0]);
	snprintf(v->key, sizeof(v->key), "%s", col[1]);
	v->number = col[2][0] == '1';
	memcpy(v->columns, col[3], len[3] + 1);
	t->n++;
}

static err_t find_tables(db_t *db, tables *t)
{
	static const char sql[] =
		"SET SESSION group_concat_max_len = 8000;"
		"SELECT c.TABLE_NAME,"
		" (SELECT k.COLUMN_NAME FROM information_schema.STATISTICS k WHERE k.TABLE_SCHEMA "
		"= "
		"'hongbao' AND k.TABLE_NAME = c.TABLE_NAME AND k.INDEX_NAME = 'PRIMARY' AND "
		"k.SEQ_IN_INDEX = 1) AS pk,"
		" (SELECT p.NUMERIC_PRECISION IS NOT NULL FROM information_schema.COLUMNS p WHERE "
		"p.TABLE_SCHEMA = 'hongbao' AND p.TABLE_NAME = c.TABLE_NAME AND p.COLUMN_NAME = "
		"pk),"
		" GROUP_CONCAT('COALESCE(HEX(`', c.COLUMN_NAME, '`), ''~'')' ORDER BY "
		"c.ORDINAL_POSITION)"
		" FROM information_schema.COLUMNS c JOIN information_schema.TABLES t"
		" ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME AND "
		"t.TABLE_TYPE ="
		" 'BASE TABLE'"
		" WHERE c.TABLE_SCHEMA = 'hongbao' GROUP BY c.TABLE_NAME HAVING pk IS NOT NULL";

	return db_script(db, sql, strlen(sql), take_table, t);
}

/* Keys come back as digits or hexadecimal, so they can be written into the next statement as they are. */
static void key_text(const verified *v, char out[NAME_BYTES + 16])
{
	snprintf(out, NAME_BYTES + 16, v->number ? "`%s`" : "CONCAT('0x',HEX(`%s`))", v->key);
}

/* Where a chunk that begins behind `from` ends: the key of its last row; "" when it is the last. */
static err_t chunk_end(db_t *db, const verified *v, const char *from, char to[KEY_BYTES])
{
	char sql[SQL_BYTES], key[NAME_BYTES + 16];
	one_row r = {.into = {to}, .room = {KEY_BYTES}};

	key_text(v, key);
	snprintf(sql, sizeof(sql), "SELECT %s FROM `%s` WHERE %s%s%s%s ORDER BY `%s` LIMIT %d, 1",
		key, v->table, *from ? "`" : "1", *from ? v->key : "", *from ? "` > " : "", from,
		v->key, CHUNK_ROWS - 1);
	*to = '\0';
	return ask(db, sql, &r);
}

static err_t read_chunk(db_t *db, const verified *v, const char *from, const char *to, chunk *out)
{
	char sql[SQL_BYTES], rows[24] = "0";
	one_row r = {.into = {rows, out->sum}, .room = {sizeof(rows), sizeof(out->sum)}};
	int n = snprintf(sql, sizeof(sql),
		"SELECT COUNT(*), CONCAT_WS('-', COALESCE(BIT_XOR(h), 0), COALESCE(SUM(h), 0)) "
		"FROM (SELECT "
		"CAST(CONV(LEFT(MD5(CONCAT_WS(',', %s)), 15), 16, 10) AS UNSIGNED) AS h FROM `%s` "
		"WHERE "
		"1%s%s%s%s%s%s%s%s) hashed",
		v->columns, v->table, *from ? " AND `" : "", *from ? v->key : "",
		*from ? "` > " : "", from, *to ? " AND `" : "", *to ? v->key : "",
		*to ? "` <= " : "", to);
	err_t e;

	BUG_ON(n < 0 || (size_t)n >= sizeof(sql));
	e = ask(db, sql, &r);
	out->rows = strtoull(rows, NULL, 10);
	return e;
}

static bool same(const chunk *a, const chunk *b)
{
	return a->rows == b->rows && !strcmp(a->sum, b->sum);
}

/* Until the replica has all that the primary has now. */
static err_t wait_replica(db_t *primary, db_t *replica)
{
	const int64_t end_ms = clk_mono_ms() + REPLICA_WAIT_MS;
	char goal[POSITION_BYTES] = "", has[POSITION_BYTES] = "";
	one_row g = {.into = {goal}, .room = {sizeof(goal)}},
		h = {.into = {has}, .room = {sizeof(has)}};
	err_t e = ask(primary, "SELECT @@GLOBAL.gtid_binlog_pos", &g);

	while (e == ERR_OK) {
		e = ask(replica, "SELECT @@GLOBAL.gtid_slave_pos", &h);
		if (e != ERR_OK || gtid_covers(has, goal))
			break;
		if (clk_mono_ms() > end_ms)
			return ERR_CELL_UNAVAILABLE;
		clk_sleep_ms(LOOK_EVERY_MS);
	}
	return e;
}

/* Rows that change all the time are seen at two moments, so a difference must last. One that lasts over
 * many looks, at each of which the replica had passed the one before, is one. */
static err_t compare_chunk(db_t *primary, db_t *replica, const verified *v, const char *from,
	const char *to, verify_sum *sum, bool *differs, chunk *a, chunk *b)
{
	err_t e = ERR_OK;

	*differs = true;
	for (unsigned look = 0; e == ERR_OK && *differs && look < LOOKS_MAX; look++) {
		if (look > 0) {
			sum->again += look == 1;
			clk_sleep_ms(LOOK_EVERY_MS / 4);
			e = wait_replica(primary, replica);
		}
		if (e == ERR_OK)
			e = read_chunk(primary, v, from, to, a);
		if (e == ERR_OK)
			e = read_chunk(replica, v, from, to, b);
		*differs = e == ERR_OK && !same(a, b);
	}
	sum->chunks++;
	sum->rows += a->rows;
	return e;
}

static err_t compare_table(db_t *primary, db_t *replica, const verified *v, verify_found_fn found,
	void *ctx, verify_sum *sum)
{
	char from[KEY_BYTES] = "", to[KEY_BYTES];
	err_t e;

	do {
		chunk a = {0}, b = {0};
		bool differs = false;

		e = chunk_end(primary, v, from, to);
		if (e == ERR_OK)
			e = compare_chunk(primary, replica, v, from, to, sum, &differs, &a, &b);
		if (e == ERR_OK && differs) {
			sum->different++;
			found(ctx, v->table, from, to, a.rows, b.rows);
		}
		memcpy(from, to, sizeof(from));
	} while (e == ERR_OK && *to);
	sum->tables++;
	return e;
}

err_t verify_members(
	db_t *primary, db_t *replica, verify_found_fn found, void *ctx, verify_sum *out)
{
	tables t = {.table = calloc(TABLES_MAX, sizeof(verified))};
	err_t e;

	BUG_ON(!t.table);
	*out = (verify_sum){0};
	e = find_tables(primary, &t);
	if (e == ERR_OK)
		e = wait_replica(primary, replica);
	for (unsigned i = 0; i < t.n && e == ERR_OK; i++)
		e = compare_table(primary, replica, &t.table[i], found, ctx, out);
	free(t.table);
	return e;
}
