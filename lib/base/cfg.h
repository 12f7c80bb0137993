/* cfg: a libconfig file read with the checks that libconfig 1.5 lacks: it takes 99999999999 for
 * 1215752191 and 3000000000 for a negative number, with success. Integers that do not fit 32 bits
 * without the suffix L are refused here, and so are @include and values beyond 64 bits. Used by
 * conf, by the topology and by the go-live file. Threads: a tree belongs to one thread. */
#ifndef HB_BASE_CFG_H
#define HB_BASE_CFG_H

#include "base/err.h"
#include <libconfig.h>
#include <stdint.h>

enum { CFG_WHY_BYTES = 256, CFG_FILE_BYTES = 1 << 20 };

/* On ERR_OK the caller ends with config_destroy. ERR_CONFIG_INVALID: `why` says file, line and
 * reason. */
err_t cfg_read(const char *path, char why[CFG_WHY_BYTES], config_t *out) MUST_CHECK;

/* The two halves of cfg_read, for whoever needs the text too: the whole file, zero-terminated, which
 * the caller frees, or NULL with the reason in `why`; and the tree of such a text. */
char *cfg_slurp(const char *path, char why[CFG_WHY_BYTES]);
err_t cfg_parse(
	const char *path, const char *text, char why[CFG_WHY_BYTES], config_t *out) MUST_CHECK;
/* The end of the string or comment that begins at `p` of such a text, or `p` itself. */
const char *cfg_skip(const char *p);

/* Writes "file:line: reason" to `why` and returns ERR_CONFIG_INVALID; `at` may be NULL. */
err_t cfg_fail(char why[CFG_WHY_BYTES], const char *path, const config_setting_t *at,
	const char *fmt, ...) PRINTF_LIKE(4, 5) MUST_CHECK;

/* Any integer type, in least..most. */
bool cfg_int(const config_setting_t *s, int64_t least, int64_t most, int64_t *out);

#endif
