/* win_log: the wins of one hb-rain in append-only files, one JSON object a line, a file per UTC day:
 * <paths.wins>/<cell>.<instance>.<YYYYMMDD>.jsonl (docs/rain.md says what the fields are). A win is
 * there, synced, before it is published; that it was given is written before it is answered and
 * synced with the next group, a second later at the latest. Not thread-safe. */
#ifndef HB_FCGI_WIN_LOG_H
#define HB_FCGI_WIN_LOG_H

#include "domain/token.h"
#include "fcgi/win_table.h"

typedef struct win_log win_log_t;

err_t win_log_open(const char *folder, const char *cell, int instance, win_log_t **out) MUST_CHECK;
void win_log_close(win_log_t **l);
/* Into memory; win_log_write and win_log_sync bring it to disk. */
void win_log_add(
	win_log_t *l, win_state state, const win_key *key, const token_win *win, int64_t now_ms);
/* ERR_INTERNAL (logged): what was added since the last success may be there or not. */
err_t win_log_write(win_log_t *l, int64_t now_ms) MUST_CHECK;
err_t win_log_sync(win_log_t *l) MUST_CHECK;

/* Yesterday's and today's files of this very program, in order. */
typedef void (*win_log_fn)(void *ctx, win_state state, const win_key *key, const token_win *win);
void win_log_replay(win_log_t *l, int64_t now_ms, win_log_fn fn, void *ctx);

#endif
