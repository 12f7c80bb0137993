/* metrics_inner: what metrics.c (counting, the files) and metrics_text.c (showing) share; nobody else
 * includes it. */
#ifndef HB_BASE_METRICS_INNER_H
#define HB_BASE_METRICS_INNER_H

#include "base/metrics.h"
#include <stdatomic.h>

typedef enum {
	METRICS_COUNTER,
	METRICS_GAUGE,
	METRICS_GAUGE_MS,
	METRICS_HISTOGRAM,
	METRICS_HISTOGRAM_N
} metrics_type;

enum {
	METRICS_PLACE_SUM = METRICS_BUCKETS, /* µs, or whole things */
	METRICS_PLACE_COUNT,
	METRICS_PLACE_SHOWN, /* of a gauge: it has been set since the program started */
	METRICS_PLACES,
	METRICS_FILES_MAX = 1024,
};

typedef struct {
	const char *name;
	metrics_type type;
	const char *label, *values, *help;
} metrics_row;

extern const metrics_row metrics_table[METRICS_COUNT];

struct metrics_file {
	uint64_t magic, layout;
	metrics_owner owner;
	_Atomic int64_t pid; /* of who has opened it last */
	_Atomic int64_t place[METRICS_COUNT][METRICS_PLACES];
};

/* Copies of all files of a folder, sorted by owner. */
typedef struct {
	metrics_file *file[METRICS_FILES_MAX];
	unsigned count;
} metrics_site;

bool metrics_is_gauge(metrics_id id);
bool metrics_is_histogram(metrics_id id);
int64_t metrics_bucket_high(unsigned bucket, bool of_time); /* µs or things */
err_t metrics_read(const char *dir, metrics_site *s) MUST_CHECK;
void metrics_site_free(metrics_site *s);
bool metrics_runs(const metrics_file *f);

#endif
