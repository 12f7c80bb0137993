/* One file per program instance, mapped shared: whoever serves /metrics reads the others' files and
 * asks nobody. The layout's hash stands in the header, so that files of another build are left out
 * rather than misread. Every metric has the same number of places; the waste (some KB) buys an
 * address without any table. */
#include "base/metrics.h"
#include "base/logger.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM } metrics_type;

enum {
	METRICS_PLACE_SUM = METRICS_BUCKETS, /* µs */
	METRICS_PLACE_COUNT,
	METRICS_PLACES,
	METRICS_FILES_MAX = 1024,
};
static const uint64_t metrics_magic = UINT64_C(0x68626d6574726963);

typedef struct {
	const char *name;
	metrics_type type;
	const char *label, *values, *help;
} metrics_row;

static const metrics_row metrics_table[METRICS_COUNT] = {
#define METRIC(id, type, name, label, values, help)                                                \
	[METRICS_##id] = {name, METRICS_##type, label, values, help},
#include "metrics.def"
#undef METRIC
};

struct metrics_file {
	uint64_t magic, layout;
	metrics_owner owner;
	_Atomic int64_t pid; /* of who has opened it last */
	_Atomic int64_t place[METRICS_COUNT][METRICS_PLACES];
};

static metrics_file metrics_private;
static metrics_file *metrics_here = &metrics_private;

static uint64_t metrics_hash(uint64_t h, const char *s)
{
	do
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	while (*s++);
	return h;
}

static uint64_t metrics_layout(void)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) + METRICS_PLACES;

	for (int i = 0; i < METRICS_COUNT; i++) {
		h = metrics_hash(h, metrics_table[i].name);
		h = metrics_hash(h, metrics_table[i].values) + metrics_table[i].type;
	}
	return h;
}

void metrics_add(metrics_id id, unsigned label, int64_t n)
{
	BUG_ON((unsigned)id >= METRICS_COUNT || label >= METRICS_LABELS_MAX);
	atomic_fetch_add_explicit(&metrics_here->place[id][label], n, memory_order_relaxed);
}

void metrics_set(metrics_id id, unsigned label, int64_t v)
{
	BUG_ON((unsigned)id >= METRICS_COUNT || label >= METRICS_LABELS_MAX);
	atomic_store_explicit(&metrics_here->place[id][label], v, memory_order_relaxed);
}

/* Buckets are (low, high]: four of 64 µs, then four per power of two up to 8.4 s; the last holds
 * the rest too. */
enum { METRICS_UNIT_BITS = 6 };

static unsigned metrics_bucket(int64_t us)
{
	uint64_t u = us <= 0 ? 0 : (uint64_t)(us - 1) >> METRICS_UNIT_BITS;
	unsigned power, bucket;

	if (u < 4)
		return (unsigned)u;
	power = 63 - (unsigned)__builtin_clzll(u);
	bucket = (power - 1) * 4 + (unsigned)(u >> (power - 2) & 3);
	return bucket < METRICS_BUCKETS ? bucket : METRICS_BUCKETS - 1;
}

static int64_t metrics_bucket_high_us(unsigned bucket)
{
	unsigned power = bucket / 4 + 1;
	int64_t units = bucket < 4 ? bucket + 1 : (int64_t)(bucket % 4 + 5) << (power - 2);

	return units << METRICS_UNIT_BITS;
}

void metrics_observe_us(metrics_id id, int64_t us)
{
	_Atomic int64_t *p;

	BUG_ON((unsigned)id >= METRICS_COUNT || metrics_table[id].type != METRICS_HISTOGRAM);
	p = metrics_here->place[id];
	atomic_fetch_add_explicit(&p[metrics_bucket(us)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&p[METRICS_PLACE_SUM], us, memory_order_relaxed);
	atomic_fetch_add_explicit(&p[METRICS_PLACE_COUNT], 1, memory_order_relaxed);
}

int64_t metrics_get(metrics_id id, unsigned label)
{
	BUG_ON((unsigned)id >= METRICS_COUNT || label >= METRICS_LABELS_MAX);
	if (metrics_table[id].type == METRICS_HISTOGRAM)
		label = METRICS_PLACE_COUNT;
	return atomic_load_explicit(&metrics_here->place[id][label], memory_order_relaxed);
}

static bool metrics_valid(const metrics_file *f)
{
	return f->magic == metrics_magic && f->layout == metrics_layout() &&
	       memchr(f->owner.program, 0, sizeof(f->owner.program)) &&
	       memchr(f->owner.cell, 0, sizeof(f->owner.cell)) &&
	       memchr(f->owner.site, 0, sizeof(f->owner.site));
}

static err_t metrics_failed(const char *what, const char *path)
{
	LOG(ERROR, "metrics.failed", {"what", LOG_S(what)}, {"path", LOG_S(path)},
		{"why", LOG_S(strerror(errno))});
	return ERR_CONFIG_INVALID;
}

static metrics_file *metrics_map(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	metrics_file *f = MAP_FAILED;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && st.st_size == (off_t)sizeof(*f))
		f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (f == MAP_FAILED)
		return NULL;
	if (metrics_valid(f))
		return f;
	munmap(f, sizeof(*f));
	return NULL;
}

/* Whole under a name of its own, then renamed: nobody ever sees half a file. */
static err_t metrics_make(const char *dir, const char *path, const metrics_file *f)
{
	char tmp[512];
	ssize_t n;
	int fd;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s/.%ld", dir, (long)getpid()) >= sizeof(tmp))
		return ERR_CONFIG_INVALID;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return metrics_failed("open", tmp);
	n = write(fd, f, sizeof(*f));
	close(fd);
	if (n == (ssize_t)sizeof(*f) && !rename(tmp, path))
		return ERR_OK;
	unlink(tmp);
	return metrics_failed("write", path);
}

err_t metrics_open(const char *dir, const metrics_owner *owner)
{
	metrics_file fresh = {.magic = metrics_magic, .layout = metrics_layout()};
	char path[512];
	metrics_file *f;
	err_t e;

	if (mkdir(dir, 0750) < 0 && errno != EEXIST)
		return metrics_failed("mkdir", dir);
	if ((size_t)snprintf(path, sizeof(path), "%s/%s.%s.%s.%" PRId64, dir, owner->program,
		    owner->cell, owner->site, owner->instance) >= sizeof(path))
		return ERR_CONFIG_INVALID;
	f = metrics_map(path);
	if (!f) {
		fresh.owner = *owner;
		e = metrics_make(dir, path, &fresh);
		if (e)
			return e;
		f = metrics_map(path);
	}
	if (!f)
		return metrics_failed("map", path);
	metrics_here = f;
	atomic_store(&f->pid, getpid());
	for (int i = 0; i < METRICS_COUNT; i++) /* what the last run had in hand is gone */
		for (unsigned l = 0;
			metrics_table[i].type == METRICS_GAUGE && l < METRICS_LABELS_MAX; l++)
			metrics_set((metrics_id)i, l, 0);
	return ERR_OK;
}

typedef struct {
	metrics_file *file[METRICS_FILES_MAX];
	unsigned count;
} metrics_site;

static void metrics_read_one(metrics_site *s, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	metrics_file *f;

	if (fd < 0)
		return;
	f = malloc(sizeof(*f));
	BUG_ON(!f);
	if (read(fd, f, sizeof(*f)) == (ssize_t)sizeof(*f) && metrics_valid(f))
		s->file[s->count++] = f;
	else
		free(f);
	close(fd);
}

static int metrics_by_name(const void *a, const void *b)
{
	const metrics_file *x = *(metrics_file *const *)a, *y = *(metrics_file *const *)b;
	int by = strcmp(x->owner.program, y->owner.program);

	by = by ? by : strcmp(x->owner.cell, y->owner.cell);
	by = by ? by : strcmp(x->owner.site, y->owner.site);
	return by ? by
		  : (x->owner.instance > y->owner.instance) -
			       (x->owner.instance < y->owner.instance);
}

static err_t metrics_read(const char *dir, metrics_site *s)
{
	DIR *d = opendir(dir);
	struct dirent *ent;

	if (!d)
		return metrics_failed("opendir", dir);
	while ((ent = readdir(d)) && s->count < METRICS_FILES_MAX)
		if (ent->d_name[0] != '.')
			metrics_read_one(s, dirfd(d), ent->d_name);
	closedir(d);
	qsort(s->file, s->count, sizeof(void *), metrics_by_name);
	return ERR_OK;
}

/* name{program="…",cell="…",instance="…" and the caller's own label follows */
static void metrics_print_name(
	FILE *to, const metrics_row *row, const char *suffix, const metrics_file *f)
{
	fprintf(to, "%s%s{program=\"%s\",cell=\"%s\",site=\"%s\",instance=\"%" PRId64 "\"",
		row->name, suffix, f->owner.program, f->owner.cell, f->owner.site,
		f->owner.instance);
}

static void metrics_print_values(FILE *to, const metrics_row *row, metrics_id id, metrics_file *f)
{
	const char *value = row->values;

	for (unsigned l = 0; l < METRICS_LABELS_MAX && value; l++) {
		int n = (int)strcspn(value, "|");

		metrics_print_name(to, row, "", f);
		if (*row->label)
			fprintf(to, ",%s=\"%.*s\"", row->label, n, value);
		fprintf(to, "} %" PRId64 "\n", (int64_t)f->place[id][l]);
		value = value[n] ? value + n + 1 : NULL;
	}
}

static void metrics_print_seconds(FILE *to, int64_t us)
{
	fprintf(to, "%" PRId64 ".%06" PRId64, us / 1000000, us % 1000000);
}

static void metrics_print_histogram(
	FILE *to, const metrics_row *row, metrics_id id, metrics_file *f)
{
	int64_t sum = 0;

	/* The count is the buckets' sum: the file may have been read between two additions. */
	for (unsigned b = 0; b < METRICS_BUCKETS; b++) {
		sum += f->place[id][b];
		metrics_print_name(to, row, "_bucket", f);
		fputs(",le=\"", to);
		if (b < METRICS_BUCKETS - 1)
			metrics_print_seconds(to, metrics_bucket_high_us(b));
		else
			fputs("+Inf", to);
		fprintf(to, "\"} %" PRId64 "\n", sum);
	}
	metrics_print_name(to, row, "_sum", f);
	fputs("} ", to);
	metrics_print_seconds(to, f->place[id][METRICS_PLACE_SUM]);
	fputc('\n', to);
	metrics_print_name(to, row, "_count", f);
	fprintf(to, "} %" PRId64 "\n", sum);
}

static void metrics_print(FILE *to, const metrics_site *s)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	for (int i = 0; i < METRICS_COUNT; i++) {
		const metrics_row *row = &metrics_table[i];

		fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
			types[row->type]);
		for (unsigned j = 0; j < s->count; j++)
			if (row->type != METRICS_HISTOGRAM)
				metrics_print_values(to, row, (metrics_id)i, s->file[j]);
			else if (s->file[j]->place[i][METRICS_PLACE_COUNT])
				metrics_print_histogram(to, row, (metrics_id)i, s->file[j]);
	}
}

static void metrics_site_free(metrics_site *s)
{
	for (unsigned i = 0; i < s->count; i++)
		free(s->file[i]);
	free(s);
}

/* A program that is gone leaves its file, and its number to others. */
static bool metrics_runs(const metrics_file *f)
{
	char path[64], comm[32] = "";
	FILE *from;

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/comm", (int64_t)f->pid);
	from = fopen(path, "re");
	if (!from)
		return false;
	if (!fgets(comm, sizeof(comm), from))
		comm[0] = '\0';
	fclose(from);
	comm[strcspn(comm, "\n")] = '\0';
	return *comm && !strncmp(f->owner.program, comm, strlen(comm));
}

err_t metrics_each_running(const char *dir, metrics_one one, void *ctx)
{
	metrics_site *s = calloc(1, sizeof(*s));
	err_t e;

	BUG_ON(!s);
	e = metrics_read(dir, s);
	for (unsigned i = 0; e == ERR_OK && i < s->count; i++)
		if (metrics_runs(s->file[i]))
			one(ctx, &s->file[i]->owner, s->file[i]);
	metrics_site_free(s);
	return e;
}

int64_t metrics_of(const metrics_file *f, metrics_id id, unsigned label)
{
	return f->place[id][label];
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
