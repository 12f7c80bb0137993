/* fresh: whether the cell's heartbeat row, written through semi-sync, is young enough to believe
 * what the database says. A cut-off primary can no more commit it, so its age tells; a cut-off site
 * must not serve old balances. One thread with its own connection reads it every 100 ms; the answer
 * costs the caller two loads. */
#ifndef HB_FCGI_FRESH_H
#define HB_FCGI_FRESH_H

#include "store/db.h"

typedef struct fresh fresh_t;

/* Reads once before it returns, so that a program that is ready can answer. `target` is copied. */
err_t fresh_new(const db_target *target, int64_t stale_ms, fresh_t **out) MUST_CHECK;
/* Ends the thread; waits for the query in flight. */
void fresh_free(fresh_t **f);
bool fresh_ok(const fresh_t *f);
/* Whether a row written at `at_ms` (of the wall clock) is young enough. */
bool fresh_at(int64_t at_ms, int64_t stale_ms);

#endif
