/* conf: hongbao.cfg (libconfig), read into one immutable struct and checked as a whole: unknown
 * names, wrong types and values out of range are refused with file and line. Options are rows of
 * options.def. Integers beyond 2^31-1 need libconfig's suffix L and are refused without it (cfg.h
 * says why). Threads: read-only after load. */
#ifndef HB_BASE_CONF_H
#define HB_BASE_CONF_H

#include "base/err.h"
#include <stdint.h>
#include <stdio.h>

typedef enum {
#define OPT_I(id, name, def, least, most, unit, help) CONF_##id,
#define OPT_B(id, name, def, help) CONF_##id,
#define OPT_S(id, name, def, help) CONF_##id,
#include "options.def"
#undef OPT_I
#undef OPT_B
#undef OPT_S
	CONF_COUNT
} conf_id;

typedef struct conf conf_t;

/* `path` NULL: all defaults. On error the message (file, line, reason) is in `why` (256 bytes). */
err_t conf_load(const char *path, char why[256], conf_t **out) MUST_CHECK;
void conf_free(conf_t **c);
int64_t conf_i(const conf_t *c, conf_id id); /* integers */
bool conf_b(const conf_t *c, conf_id id);
const char *conf_s(const conf_t *c, conf_id id); /* never NULL */
const char *conf_name(conf_id id);               /* "http.keepalive" */
/* "<paths.secrets>/<name>"; static per thread until the next call. */
const char *conf_secret_path(const conf_t *c, const char *name);
/* Tests and programs' own flags: same checks as the file. */
err_t conf_set(conf_t *c, const char *name, const char *value, char why[256]) MUST_CHECK;
/* The table as Markdown (docs/config.md) or as a commented file with the values in force. */
void conf_print_markdown(FILE *to);
void conf_print_file(const conf_t *c, FILE *to);
/* The same with what each option is, those that have their default commented out. */
void conf_print_example(const conf_t *c, FILE *to);

#endif
