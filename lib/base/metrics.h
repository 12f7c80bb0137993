/* metrics: counters of this program in a shared file (mmap) of the site's metrics folder, one file
 * per program instance: cheap on hot paths (one relaxed atomic add), kept over a restart of the
 * program, and shown for the whole site by whichever program serves /metrics. Rows are in
 * metrics.def. Without metrics_open they count in private memory.
 *
 * A program shows what it does: gauges that it has set since it started (those of a program that runs
 * no more are not shown), counters and histograms that have ever counted. */
#ifndef HB_BASE_METRICS_H
#define HB_BASE_METRICS_H

#include "base/jw.h"
#include <stdint.h>

typedef enum {
#define METRIC(id, type, name, label, values, help) METRICS_##id,
#include "metrics.def"
#undef METRIC
	METRICS_COUNT
} metrics_id;

enum { METRICS_LABELS_MAX = 48, METRICS_BUCKETS = 64 };

/* Who counts. */
typedef struct {
	char program[32], cell[8], site[16];
	int64_t instance;
} metrics_owner;

/* `dir` is created; the file is "<program>.<cell>.<site>.<instance>". */
err_t metrics_open(const char *dir, const metrics_owner *owner) MUST_CHECK;
/* `label` is the index in the row's list of values, 0 when it has none. */
void metrics_add(metrics_id id, unsigned label, int64_t n);
void metrics_set(metrics_id id, unsigned label, int64_t v);
void metrics_show(metrics_id id); /* a gauge, also while nothing has set it */
void metrics_forget(
	metrics_id id); /* a gauge that cannot be measured now: better none than an old one */
void metrics_observe_us(metrics_id id, int64_t us); /* HISTOGRAM */
void metrics_observe_n(metrics_id id, int64_t n);   /* HISTOGRAM_N */
int64_t metrics_get(metrics_id id, unsigned label); /* of this program; for tests */
/* The value of the `label`th label as it stands in metrics.def; "" when there is none. For tests of who
 * counts by an enum of their own. */
void metrics_label(metrics_id id, unsigned label, char out[64]);
#define METRICS_INC(id) metrics_add(METRICS_##id, 0, 1)

/* Prometheus text of every file in `dir`, with labels program, cell, site, instance. Files of other
 * layouts (an older build) are skipped. *text is malloc'ed; the caller frees. */
err_t metrics_render(const char *dir, char **text, size_t *len) MUST_CHECK;

/* The table of docs/metrics.md, and the bare names (a histogram's with its three suffixes). */
#include <stdio.h>
void metrics_print_markdown(FILE *to);
void metrics_print_names(FILE *to);

/* Calls `one` for every file of `dir`; `runs`: its program does. */
typedef struct metrics_file metrics_file;
typedef void (*metrics_one)(
	void *ctx, const metrics_owner *owner, const metrics_file *f, bool runs);
err_t metrics_each(const char *dir, metrics_one one, void *ctx) MUST_CHECK;
int64_t metrics_of(const metrics_file *f, metrics_id id, unsigned label);
bool metrics_shows(const metrics_file *f, metrics_id id); /* a gauge: it is measured now */

#endif
