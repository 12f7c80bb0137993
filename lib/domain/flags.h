/* flags: what operators have switched down, from `flags.cfg` beside the go-live file (docs/flags.md).
 * The file is read a few times a second, checked as a whole and applied at once; a bad one changes nothing, is logged and counted, and the last good one stays, over a restart
 * too. Flags are rows of flags.def. They never skip idempotency, signatures or the ledger.
 *
 * Threads: flags_off is an atomic load and safe everywhere; flags_begin and flags_look belong to one. */
#ifndef HB_DOMAIN_FLAGS_H
#define HB_DOMAIN_FLAGS_H

#include "base/cfg.h"
#include "base/jw.h"
#include "domain/routes.h"

typedef enum {
#define FLAG(id, name, kind, interfaces, what) FLAGS_##id,
#include "domain/flags.def"
#undef FLAG
	FLAGS_COUNT
} flags_id;

typedef enum { FLAGS_CORE, FLAGS_EXTRA, FLAGS_QUEUE } flags_kind;

enum { FLAGS_INTERFACES_MAX = 8, FLAGS_TEXT_BYTES = 256, FLAGS_CELLS_BYTES = 32 };

typedef struct {
	const char *name;
	flags_kind kind;
	unsigned interface_count;
	routes_id interface[FLAGS_INTERFACES_MAX];
	const char *what;
} flags_row;

/* The table; by flags_id. */
const flags_row *flags_table(void);

/* What the file says of one flag. */
typedef struct {
	bool given; /* it is in the file */
	bool off;
	int percent;                      /* of users, 0..100 */
	char cells[FLAGS_CELLS_BYTES];    /* their names, "AC"; "" for all */
	unsigned interfaces;              /* bits by the row's `interface`; 0: all */
	int64_t set_at_ms, expires_at_ms; /* 0: not said, never */
	char reason[FLAGS_TEXT_BYTES], owner[FLAGS_TEXT_BYTES], ticket[FLAGS_TEXT_BYTES];
} flags_wish;

/* Checks a file's text as a whole. ERR_CONFIG_INVALID with file, line and reason in `why`. */
err_t flags_parse(const char *path, const char *text, flags_wish out[FLAGS_COUNT],
	char why[CFG_WHY_BYTES]) MUST_CHECK;
/* What identifies a file's text: 1..2^53-1. */
int64_t flags_version(const char *text);
/* The members of an object that is open: whether it is given, and then what. */
void flags_write(jw_t *w, const flags_wish *wish);
/* Percent of users that a wish switches off now, in a cell ("" any of them). */
int flags_off_percent(const flags_wish *w, const char *cell, int64_t now_ms);

/* Reads the file for the first time; `folder` and `cell` are copied. Before any flags_off. */
void flags_begin(const char *folder, const char *cell);
/* Reads it again when it has changed; keeps the metrics true when flags expire. */
void flags_look(void);

/* What the file says now, whether it is applied or not; from any thread. ERR_CONFIG_INVALID with the reason when
 * it is bad, and `out` is empty. */
err_t flags_said_now(flags_wish out[FLAGS_COUNT], char why[CFG_WHY_BYTES]) MUST_CHECK;

/* Whether a flag is off for `who`, a uid: the same one is always among the same percent. */
bool flags_off(flags_id id, uint64_t who);
/* As it is for one interface; true is counted as a degraded request. */
bool flags_off_at(flags_id id, routes_id interface, uint64_t who);
/* What a person has said of it, for one interface and `who`; FLAGS_OFF is counted as a degraded request.
 * FLAGS_UNSAID: a breaker may decide, and else it is on. */
typedef enum { FLAGS_UNSAID, FLAGS_ON, FLAGS_OFF } flags_word;
flags_word flags_said(flags_id id, routes_id interface, uint64_t who);
/* Whether a CORE flag that the gate judges covers this interface and is off. */
bool flags_refuses(routes_id interface, uint64_t who);

#endif
