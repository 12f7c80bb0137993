/* live: a program's go-live file, by which hbctl tells whom a cell's epoch belongs to:
 *     epoch = 1L;
 *     primary = "east";
 * Used by program, and by hbctl doctor. */
#ifndef HB_DOMAIN_LIVE_H
#define HB_DOMAIN_LIVE_H

#include "base/cfg.h"
#include "base/err.h"
#include "domain/topology.h"
#include <stdbool.h>
#include <stdint.h>

enum { LIVE_BYTES = 128 };

typedef struct {
	uint64_t epoch;
	const topology_member *primary; /* of the cell; NULL without a file */
	char text[LIVE_BYTES];          /* the file */
} live_file;

/* What the file says; false, and "", when there is none or it cannot be read. */
bool live_text(const char *path, char out[LIVE_BYTES]);
/* The same, understood; `why` says what is wrong with it. No file: ERR_OK, all of it 0. */
err_t live_read(const char *path, const topology_cell *cell, char why[CFG_WHY_BYTES],
	live_file *out) MUST_CHECK;
/* Starts a thread that calls life_stop once the file says something that makes this program, at
 * `site`, another than `as` does; a standby that remains one goes on with the new epoch. The thread
 * looks after the flags (flags.h) beside it, too. After life_start and metrics_open; `as` and
 * `cell` are copied. */
err_t live_watch(const char *path, const live_file *as, const topology_cell *cell,
	const char *site) MUST_CHECK;
/* Within how many ms live_again begins, at a random moment; 0, the default: at once. For programs that
 * no user waits for, so that all of a site's do not load the machine at once. */
void live_spread(int64_t ms);
/* Whether the file has changed what this program is. */
bool live_changed(void);
/* Runs this program anew in this process, with the arguments it was started with; ends it instead
 * when it has been told to stop meanwhile. */
_Noreturn void live_again(void);

#endif
