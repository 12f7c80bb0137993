/* One file per program instance, mapped shared: whoever serves /metrics reads the others' files and
 * asks nobody. The layout's hash stands in the header, so that files of another build are left out
 * rather than misread. Every metric has the same number of places; the waste (some KB) buys an
 * address without any table. */
#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics_inner.h"
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

static const uint64_t metrics_magic = UINT64_C(0x68626d6574726963);

const metrics_row metrics_table[METRICS_COUNT] = {
#define METRIC(id, type, name, label, values, help)                                                \
	[METRICS_##id] = {name, METRICS_##type, label, values, help},
#include "metrics.def"
#undef METRIC
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

bool metrics_is_gauge(metrics_id id)
{
	return metrics_table[id].type == METRICS_GAUGE ||
	       metrics_table[id].type == METRICS_GAUGE_MS;
}

bool metrics_is_histogram(metrics_id id)
{
	return metrics_table[id].type == METRICS_HISTOGRAM ||
	       metrics_table[id].type == METRICS_HISTOGRAM_N;
}

void metrics_show(metrics_id id)
{
	BUG_ON((unsigned)id >= METRICS_COUNT || !metrics_is_gauge(id));
	atomic_store_explicit(
		&metrics_here->place[id][METRICS_PLACE_SHOWN], 1, memory_order_relaxed);
}

void metrics_set(metrics_id id, unsigned label, int64_t v)
{
	BUG_ON((unsigned)id >= METRICS_COUNT || label >= METRICS_LABELS_MAX);
	atomic_store_explicit(&metrics_here->place[id][label], v, memory_order_relaxed);
	metrics_show(id);
}

void metrics_forget(metrics_id id)
{
	BUG_ON((unsigned)id >= METRICS_COUNT || !metrics_is_gauge(id));
	atomic_store_explicit(
		&metrics_here->place[id][METRICS_PLACE_SHOWN], 0, memory_order_relaxed);
}

/* Buckets are (low, high]: four of one unit, then four per power of two. A time's unit is 64 µs, and
 * the last bounded bucket ends at 7.3 s; of things the unit is one, and it ends at 114,688. */
enum { METRICS_TIME_BITS = 6 };

static unsigned metrics_bucket(int64_t n, unsigned bits)
{
	uint64_t u = n <= 0 ? 0 : (uint64_t)(n - 1) >> bits;
	unsigned power, bucket;

	if (u < 4)
		return (unsigned)u;
	power = 63 - (unsigned)__builtin_clzll(u);
	bucket = (power - 1) * 4 + (unsigned)(u >> (power - 2) & 3);
	return bucket < METRICS_BUCKETS ? bucket : METRICS_BUCKETS - 1;
}

int64_t metrics_bucket_high(unsigned bucket, bool of_time)
{
	unsigned power = bucket / 4 + 1;
	int64_t units = bucket < 4 ? bucket + 1 : (int64_t)(bucket % 4 + 5) << (power - 2);

	return of_time ? units << METRICS_TIME_BITS : units;
}

static void metrics_observe(metrics_id id, int64_t n, unsigned bits)
{
	_Atomic int64_t *p = metrics_here->place[id];

	atomic_fetch_add_explicit(&p[metrics_bucket(n, bits)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&p[METRICS_PLACE_SUM], n, memory_order_relaxed);
	atomic_fetch_add_explicit(&p[METRICS_PLACE_COUNT], 1, memory_order_relaxed);
}

void metrics_observe_us(metrics_id id, int64_t us)
{
	BUG_ON((unsigned)id >= METRICS_COUNT || metrics_table[id].type != METRICS_HISTOGRAM);
	metrics_observe(id, us, METRICS_TIME_BITS);
}

void metrics_observe_n(metrics_id id, int64_t n)
{
	BUG_ON((unsigned)id >= METRICS_COUNT || metrics_table[id].type != METRICS_HISTOGRAM_N);
	metrics_observe(id, n, 0);
}

int64_t metrics_get(metrics_id id, unsigned label)
{
	BUG_ON((unsigned)id >= METRICS_COUNT || label >= METRICS_LABELS_MAX);
	if (metrics_is_histogram(id))
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
	for (unsigned i = 0; i < METRICS_COUNT; i++) /* what the last run had in hand is gone */
		for (unsigned l = 0; metrics_is_gauge((metrics_id)i) && l < METRICS_PLACES; l++)
			atomic_store_explicit(&f->place[i][l], 0, memory_order_relaxed);
	metrics_set(METRICS_START, 0, clk_wall_ms());
	metrics_set(METRICS_UP, 0, 1);
	return ERR_OK;
}

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

err_t metrics_read(const char *dir, metrics_site *s)
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

void metrics_site_free(metrics_site *s)
{
	for (unsigned i = 0; i < s->count; i++)
		free(s->file[i]);
	free(s);
}

/* A program that is gone leaves its file, and its number to others. */
bool metrics_runs(const metrics_file *f)
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

err_t metrics_each(const char *dir, metrics_one one, void *ctx)
{
	metrics_site *s = calloc(1, sizeof(*s));
	err_t e;

	BUG_ON(!s);
	e = metrics_read(dir, s);
	for (unsigned i = 0; e == ERR_OK && i < s->count; i++)
		one(ctx, &s->file[i]->owner, s->file[i], metrics_runs(s->file[i]));
	metrics_site_free(s);
	return e;
}

int64_t metrics_of(const metrics_file *f, metrics_id id, unsigned label)
{
	return f->place[id][label];
}

bool metrics_shows(const metrics_file *f, metrics_id id)
{
	BUG_ON(!metrics_is_gauge(id));
	return f->place[id][METRICS_PLACE_SHOWN] != 0;
}
