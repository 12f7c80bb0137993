/* jw: writes JSON into a growing buffer of an arena or into a fixed one. It is the only writer of
 * answers and messages: numbers as strings, money and times get their one shape here.
 * Strings are escaped; invalid UTF-8 becomes U+FFFD. Commas are its business. Depth at most 32;
 * misuse aborts. A fixed buffer that is too small sets `overflow`, which jw_end reports as length
 * 0. */
#ifndef HB_BASE_JW_H
#define HB_BASE_JW_H

#include "base/arena.h"
#include <stdint.h>

typedef struct {
	char *buf;
	size_t len, cap;
	arena_t *arena;         /* NULL: fixed */
	uint32_t comma, object; /* one bit per depth */
	int depth;
	bool overflow;
} jw_t;

void jw_start(jw_t *w, arena_t *a);
void jw_start_fixed(jw_t *w, char *buf, size_t cap);
/* Zero-terminates; returns the length, 0 on overflow. */
size_t jw_end(jw_t *w);

/* `key` is NULL inside an array and for the outermost value. */
void jw_obj(jw_t *w, const char *key);
void jw_obj_end(jw_t *w);
void jw_arr(jw_t *w, const char *key);
void jw_arr_end(jw_t *w);
void jw_str(jw_t *w, const char *key, const char *s); /* NULL writes null */
void jw_strn(jw_t *w, const char *key, const char *s, size_t n);
void jw_i64(jw_t *w, const char *key, int64_t v);
void jw_bool(jw_t *w, const char *key, bool v);
void jw_null(jw_t *w, const char *key);
void jw_id(jw_t *w, const char *key, uint64_t id);       /* "123" */
void jw_money(jw_t *w, const char *key, int64_t fen);    /* {"amount":188,"currency":"CNY"} */
void jw_time(jw_t *w, const char *key, int64_t wall_ms); /* RFC 3339 */
void jw_hex(jw_t *w, const char *key, const uint8_t *b, size_t n);
void jw_raw(jw_t *w, const char *key, const char *json, size_t n);

#endif
