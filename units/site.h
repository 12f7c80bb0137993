/* site: commands at a site, here or through ssh, by the topology's prefixes: `run` followed by a
 * verb, `fence` followed by "CELL". The verbs, and what each does, are said in units/local/site.sh, which is the one of a local stack. Several may run at once. */
#ifndef HB_UNITS_SITE_H
#define HB_UNITS_SITE_H

#include "domain/topology.h"
#include "store/control.h"
#include <sys/types.h>

typedef struct {
	const topology_site *site;
	pid_t pid; /* 0: could not be begun, or has ended; its process group */
	int64_t began_ms;
	int out; /* a file with its output, to be closed by whoever asked for it; -1: goes to stderr */
} site_job;

enum { SITE_ARGS_MAX = 6 };

/* Begins `prefix` (one of the site's two) with `args`, NULL-terminated, at most SITE_ARGS_MAX. Its
 * output goes to stderr, or is kept for site_output. An empty prefix begins nothing. */
void site_begin(
	const topology_site *site, const char *prefix, const char *const *args, site_job *out);
/* Whether it has ended, waiting at most until timeout_ms after its beginning. */
bool site_ended(const site_job *j, int64_t timeout_ms);
/* Waits until it has ended, at most until timeout_ms after its beginning, when it is killed. True only
 * when it ended with 0. */
bool site_end(site_job *j, int64_t timeout_ms) MUST_CHECK;
/* Like site_begin, and after site_end what it wrote to stdout, which the caller frees. */
void site_begin_keeping(
	const topology_site *site, const char *prefix, const char *const *args, site_job *out);
char *site_output(site_job *j);

/* Like site_begin, with `input` on its standard input. */
void site_begin_with(const topology_site *site, const char *prefix, const char *const *args,
	const char *input, site_job *out);
/* `run` with `args` at every site of the topology at once, with `input` on its standard input. True only
 * when all ended with 0; says on stderr which did not. */
bool site_every(const topology_t *t, const char *const *args, const char *input,
	int64_t timeout_ms) MUST_CHECK;

/* "backup CELL" at one site writes a copy of its member, as it runs, and "restore CELL" at the other, whose
 * member is down, reads it and puts it in place. True only when both ended with 0. */
bool site_copy(const topology_site *from, const topology_site *to, const char *cell,
	int64_t timeout_ms) MUST_CHECK;

/* Writes the go-live file of a cell at a site. */
void site_begin_live(
	const topology_site *site, const char *cell, const control_record *r, site_job *out);

#endif
