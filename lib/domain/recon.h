/* recon: reconciliation of one cell: what we say against what another side says, window by window;
 * differences become rows of recon_diff and are never mended here. Rows of recon.def say what is
 * compared and what may be found; docs/reconciliation.md is for people. A job belongs to one
 * thread. */
#ifndef HB_DOMAIN_RECON_H
#define HB_DOMAIN_RECON_H

#include "domain/topology.h"
#include "store/db.h"
#include "store/finance.h"

typedef enum {
#define DOMAIN(name, number, shown, help) RECON_##name = number,
#define THING(name, number, shown, help)
#define KIND(name, number, shown, help)
#include "domain/recon.def"
#undef DOMAIN
#undef THING
#undef KIND
} recon_domain;

typedef enum {
#define DOMAIN(name, number, shown, help)
#define THING(name, number, shown, help) RECON_##name = number,
#define KIND(name, number, shown, help)
#include "domain/recon.def"
#undef DOMAIN
#undef THING
#undef KIND
} recon_thing;

typedef enum {
#define DOMAIN(name, number, shown, help)
#define THING(name, number, shown, help)
#define KIND(name, number, shown, help) RECON_##name = number,
#include "domain/recon.def"
#undef DOMAIN
#undef THING
#undef KIND
} recon_kind;

const char *recon_domain_name(unsigned domain);    /* "c2c"; "?" */
recon_domain recon_domain_named(const char *name); /* 0 when it is none */
const char *recon_thing_name(unsigned thing);
const char *recon_kind_name(unsigned kind);

enum { RECON_DAY_MS = 86400000, RECON_HOUR_MS = 3600000 };

typedef struct {
	int64_t from_ms, to_ms; /* to_ms is the first that is not in it */
} recon_window;

/* "2026-11-22", a day, or "2026-11-22T08", an hour; UTC. ERR_INVALID_FIELD. */
err_t recon_window_parse(const char *text, recon_window *out) MUST_CHECK;

typedef struct {
	recon_domain domain;
	recon_window window;
	const topology_t *topo;
	const topology_cell *cell;
	db_t *db;           /* the cell's primary */
	finance_t *finance; /* c2c without a `file` */
	const char *file;   /* a statement that is there already; NULL: fetch it */
	const char *wins;   /* b2c: the folder of the win logs; NULL or "": there are none here */
	const char *folder; /* for statements and what is sorted */
	/* What the other side moved this short a time ago may still be on its way to us. */
	int64_t grace_ms;
	/* How far the clocks of both sides may be apart. */
	int64_t skew_ms;
	/* b2c: a connection to the primary of another cell; the job closes it. */
	err_t (*peer)(void *ctx, const topology_cell *cell, db_t **out);
	void *ctx;
} recon_job;

typedef struct {
	uint64_t here, there; /* rows and lines that were compared */
	uint64_t waiting;     /* still on their way: no difference yet */
	uint64_t
		left; /* b2c: envelopes that have left, of which less is compared (docs/ageing.md) */
	uint64_t differences;
	int64_t took_ms;
} recon_sum;

/* Compares and writes recon_run and recon_diff, and one alert for each kind of difference that the
 * window has; differences are no error. What a broken-off run
 * found so far stays; the next one of the window looks at all of it again. */
err_t recon_run(const recon_job *job, recon_sum *out) MUST_CHECK;
/* Whether the window needs no further comparison: one that began later than the grace after its end came to its
 * own end and left nothing waiting, and was not of a given `file`. What a person ran before that may have taken for
 * on its way what never arrives. */
err_t recon_done(db_t *db, recon_domain domain, const recon_window *window, int64_t grace_ms,
	bool *done) MUST_CHECK;
/* The beginning of the first window of that length that was ever compared; 0: there is none. */
err_t recon_first(db_t *db, recon_domain domain, int64_t length_ms, int64_t *from_ms) MUST_CHECK;

typedef struct {
	unsigned thing, kind;
	uint64_t no;
	bool has_ours, has_theirs;
	int64_t ours, theirs; /* fen; for RECON_STATE our state's number and their fen */
	int64_t found_at_ms;
} recon_diff;
typedef void (*recon_diff_fn)(void *ctx, const recon_diff *d);
/* The differences of a window that its last comparison saw, in the order of thing and number. */
err_t recon_differences(db_t *db, recon_domain domain, const recon_window *window,
	recon_diff_fn each, void *ctx) MUST_CHECK;

#endif
