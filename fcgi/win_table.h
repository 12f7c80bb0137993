/* win_table: which draws have won lately, and under which lease, so that a repeated draw takes no
 * budget again. Bounded: the oldest is forgotten first; what a forgotten one takes twice comes back
 * when its lease is settled. Not thread-safe. */
#ifndef HB_FCGI_WIN_TABLE_H
#define HB_FCGI_WIN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
	uint64_t uid;
	uint32_t campaign, round, k;
} win_key;

typedef enum {
	WIN_LEASED, /* has its budget */
	WIN_LOGGED, /* and is in the win log: may be published */
	WIN_GIVEN,  /* confirmed */
} win_state;

typedef struct win_table win_table_t;

win_table_t *win_table_new(size_t capacity);
void win_table_free(win_table_t **t);
/* False when it is not there. */
bool win_table_get(const win_table_t *t, const win_key *key, win_state *state, uint64_t *lease_id);
/* Adds, or changes what is there. */
void win_table_put(win_table_t *t, const win_key *key, win_state state, uint64_t lease_id);

#endif
