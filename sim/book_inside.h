/* What book.c (orders and money) and book_events.c (callbacks) share. */
#ifndef HB_SIM_BOOK_INSIDE_H
#define HB_SIM_BOOK_INSIDE_H

#include "sim/book.h"
#include <stdatomic.h>

enum {
#define SQL(id, text) SQL_##id,
#include "sim/book_sql.def"
#undef SQL
	SQL_COUNT
};
struct book {
	vault_t *vault;
	faults_t *faults;
	char merchant[32];
	void (*on_event)(void *);
	void *ctx;
	atomic_bool has_events;
};

static inline book_t *book_of(vault_conn *c)
{
	return vault_ctx(c);
}

static inline void bind_u64(sqlite3_stmt *s, int i, uint64_t v)
{
	sqlite3_bind_int64(s, i, (sqlite3_int64)v);
}

static inline void bind_text(sqlite3_stmt *s, int i, const char *text)
{
	sqlite3_bind_text(s, i, text, -1, SQLITE_TRANSIENT);
}

static inline const char *text_at(sqlite3_stmt *s, int i)
{
	const char *t = (const char *)sqlite3_column_text(s, i);
	return t ? t : "";
}

static inline err_t read_number(sqlite3_stmt *s, int64_t *out)
{
	bool row;
	err_t err = vault_step(s, &row);
	if (err == ERR_OK)
		*out = row ? sqlite3_column_int64(s, 0) : 0;
	sqlite3_reset(s);
	return err;
}

/* The callback of an order that has just become final, in the same transaction. */
err_t book_event_add(vault_conn *c, const book_order *o, int64_t now_ms) MUST_CHECK;

#endif
