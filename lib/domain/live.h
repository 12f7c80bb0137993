/* live: a program's go-live file, by which hbctl tells whom a cell's epoch belongs to. Used by program
 * only. */
#ifndef HB_DOMAIN_LIVE_H
#define HB_DOMAIN_LIVE_H

#include "base/err.h"

enum { LIVE_BYTES = 128 };

/* What the file says; false, and "", when there is none or it cannot be read. */
bool live_text(const char *path, char out[LIVE_BYTES]);
/* Starts a thread that calls life_stop once the file says something else than `as`, and that looks
 * after the flags (flags.h) beside it. After life_start and metrics_open. */
err_t live_watch(const char *path, const char *as, const char *cell) MUST_CHECK;
/* Whether that has happened. */
bool live_changed(void);
/* Runs this program anew in this process, with the arguments it was started with. */
_Noreturn void live_again(void);

#endif
