/* The files of a site as Prometheus text. What a program never did is left out: a site has a hundred
 * programs, and most of the rows are no business of most of them. */
#include "base/metrics_inner.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const metrics_types[] = {"counter", "gauge", "gauge", "histogram", "histogram"};

/* The next value of a list "a|b|c", whose length is *n; NULL at its end. */
static const char *metrics_next(const char *value, int *n)
{
	if (value && value[*n])
		value += *n + 1;
	else
		value = NULL;
	*n = value ? (int)strcspn(value, "|") : 0;
	return value;
}

static const char *metrics_first(const metrics_row *row, int *n)
{
	*n = (int)strcspn(row->values, "|");
	return row->values;
}

/* name{program="…",cell="…",site="…",instance="…" and the caller's own label follows */
static void metrics_print_name(
	FILE *to, const metrics_row *row, const char *suffix, const metrics_file *f)
{
	fprintf(to, "%s%s{program=\"%s\",cell=\"%s\",site=\"%s\",instance=\"%" PRId64 "\"",
		row->name, suffix, f->owner.program, f->owner.cell, f->owner.site,
		f->owner.instance);
}

/* One label, or two: "kind,state" and "packet,open". */
static void metrics_print_label(FILE *to, const char *label, const char *value, int n)
{
	int first = (int)strcspn(label, ","), v = (int)strcspn(value, ",");

	if (!*label)
		return;
	if (!label[first] || v >= n) {
		fprintf(to, ",%s=\"%.*s\"", label, n, value);
		return;
	}
	fprintf(to, ",%.*s=\"%.*s\",%s=\"%.*s\"", first, label, v, value, label + first + 1,
		n - v - 1, value + v + 1);
}

static void metrics_print_scaled(FILE *to, int64_t v, int64_t unit, int digits)
{
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;

	fprintf(to, "%s%" PRIu64 ".%0*" PRIu64, v < 0 ? "-" : "", u / (uint64_t)unit, digits,
		u % (uint64_t)unit);
}

static void metrics_print_values(
	FILE *to, const metrics_row *row, metrics_id id, const metrics_file *f)
{
	int n;
	const char *value = metrics_first(row, &n);

	for (unsigned l = 0; l < METRICS_LABELS_MAX && value; l++) {
		metrics_print_name(to, row, "", f);
		metrics_print_label(to, row->label, value, n);
		fputs("} ", to);
		if (row->type == METRICS_GAUGE_MS)
			metrics_print_scaled(to, f->place[id][l], 1000, 3);
		else
			fprintf(to, "%" PRId64, (int64_t)f->place[id][l]);
		fputc('\n', to);
		value = metrics_next(value, &n);
	}
}

static void metrics_print_observed(FILE *to, const metrics_row *row, int64_t v)
{
	if (row->type == METRICS_HISTOGRAM)
		metrics_print_scaled(to, v, 1000000, 6);
	else
		fprintf(to, "%" PRId64, v);
}

static void metrics_print_histogram(
	FILE *to, const metrics_row *row, metrics_id id, const metrics_file *f)
{
	int64_t sum = 0;

	/* The count is the buckets' sum: the file may have been read between two additions. */
	for (unsigned b = 0; b < METRICS_BUCKETS; b++) {
		sum += f->place[id][b];
		metrics_print_name(to, row, "_bucket", f);
		fputs(",le=\"", to);
		if (b < METRICS_BUCKETS - 1)
			metrics_print_observed(
				to, row, metrics_bucket_high(b, row->type == METRICS_HISTOGRAM));
		else
			fputs("+Inf", to);
		fprintf(to, "\"} %" PRId64 "\n", sum);
	}
	metrics_print_name(to, row, "_sum", f);
	fputs("} ", to);
	metrics_print_observed(to, row, f->place[id][METRICS_PLACE_SUM]);
	fputc('\n', to);
	metrics_print_name(to, row, "_count", f);
	fprintf(to, "} %" PRId64 "\n", sum);
}

static bool metrics_shown(metrics_id id, const metrics_file *f, bool runs)
{
	if (id == METRICS_UP)
		return true;
	if (metrics_is_gauge(id))
		return runs && f->place[id][METRICS_PLACE_SHOWN];
	if (metrics_is_histogram(id))
		return f->place[id][METRICS_PLACE_COUNT] > 0;
	for (unsigned l = 0; l < METRICS_LABELS_MAX; l++)
		if (f->place[id][l])
			return true;
	return false;
}

static void metrics_print(FILE *to, const metrics_site *s)
{
	bool runs[METRICS_FILES_MAX];

	for (unsigned j = 0; j < s->count; j++) {
		runs[j] = metrics_runs(s->file[j]);
		s->file[j]->place[METRICS_UP][0] = runs[j];
	}
	for (unsigned i = 0; i < METRICS_COUNT; i++) {
		const metrics_row *row = &metrics_table[i];
		const metrics_id id = (metrics_id)i;

		fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
			metrics_types[row->type]);
		for (unsigned j = 0; j < s->count; j++)
			if (!metrics_shown(id, s->file[j], runs[j]))
				continue;
			else if (metrics_is_histogram(id))
				metrics_print_histogram(to, row, id, s->file[j]);
			else
				metrics_print_values(to, row, id, s->file[j]);
	}
}

err_t metrics_render(const char *dir, char **text, size_t *len)
{
	metrics_site *s = calloc(1, sizeof(*s));
	err_t e;
	FILE *to;

	BUG_ON(!s);
	e = metrics_read(dir, s);
	if (e)
		goto out;
	to = open_memstream(text, len);
	BUG_ON(!to);
	metrics_print(to, s);
	fclose(to);
out:
	metrics_site_free(s);
	return e;
}

void metrics_label(metrics_id id, unsigned label, char out[64])
{
	int n;
	const char *value = metrics_first(&metrics_table[id], &n);

	for (unsigned l = 0; l < label && value; l++)
		value = metrics_next(value, &n);
	snprintf(out, 64, "%.*s", n, value ? value : "");
}

void metrics_print_markdown(FILE *to)
{
	fputs("# Metrics\n\nWritten by `hbctl metrics markdown` from lib/base/metrics.def; a test "
	      "holds it "
	      "current. Every sample also has the labels `program`, `cell`, `site` "
	      "and\n`instance`. "
	      "Rules and the dashboard: [units/watch](../units/watch). What else a site's "
	      "operations "
	      "listener tells: `/healthz` is 503 while a\ncell that is active at the site is not "
	      "served "
	      "there; `/ops/v1/status` has each cell of the site as JSON, by its programs' gauges\n"
	      "below; `/ops/v1/flags` what the site's flags.cfg says; `/` is a console that shows "
	      "both.\n\n"
	      "| metric | type | labels | what it is |\n|---|---|---|---|\n",
		to);
	for (unsigned i = 0; i < METRICS_COUNT; i++) {
		const metrics_row *row = &metrics_table[i];
		int n;

		fprintf(to, "| `%s` | %s | ", row->name, metrics_types[row->type]);
		if (*row->label)
			fprintf(to, "`%s`: ", row->label);
		for (const char *v = metrics_first(row, &n); *row->label && v;
			v = metrics_next(v, &n))
			fprintf(to, "%s%.*s", v == row->values ? "" : " ", n, v);
		fprintf(to, " | %s |\n", row->help);
	}
}

void metrics_print_names(FILE *to)
{
	for (unsigned i = 0; i < METRICS_COUNT; i++) {
		const char *name = metrics_table[i].name;

		if (metrics_is_histogram((metrics_id)i))
			fprintf(to, "%s_bucket\n%s_sum\n%s_count\n", name, name, name);
		else
			fprintf(to, "%s\n", name);
	}
}
