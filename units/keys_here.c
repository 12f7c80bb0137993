/* A file is changed line by line as text, so that what an operator wrote behind a key stays, and is put
 * in place as a whole, with mode 0400. */
#include "units/keys_here.h"

#include "base/arena.h"
#include "base/clk.h"
#include "base/jw.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "domain/rings.h"
#include "units/audit.h"
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATH_BYTES = 512,
	TEXT_BYTES = 8192,
	LINE_BYTES = 512,
	WHAT_BYTES = 400,
	KEY_DIGITS = 2 * KEYS_BYTES,
	OUTPUT_BYTES = 1 << 16,
	APPLY_MS = 5000,
	LOOK_MS = 20,
	FILES_MAX = 64,
};

static void path_of(const char *ring, char out[PATH_BYTES])
{
	char name[128];

	snprintf(name, sizeof(name), "%s.keys", ring);
	snprintf(out, PATH_BYTES, "%s", conf_secret_path(verb_conf(), name));
}

/* What the running programs of this site have; those that have no such ring say 0. */
typedef struct {
	const char *site;
	rings_id id;
	int64_t version;
	unsigned programs, behind;
} census;

static void count_one(void *ctx, const metrics_owner *owner, const metrics_file *f, bool runs)
{
	census *c = ctx;
	const int64_t has = metrics_of(f, METRICS_KEYS_VERSION, c->id);

	if (!runs || strcmp(owner->site, c->site) != 0 || has == 0)
		return;
	c->programs++;
	c->behind += has != c->version;
}

/* The rings of a row as their files are now, loaded; they are what rings_version then speaks of. */
typedef struct {
	unsigned count;
	struct {
		char name[64];
		keys_ring_t *keys;
	} ring[FILES_MAX];
} loaded;

static void unload(loaded *l)
{
	for (unsigned i = 0; i < l->count; i++)
		keys_free(&l->ring[i].keys);
	l->count = 0;
}

static err_t load(const rings_row *row, loaded *out)
{
	char pattern[PATH_BYTES], name[64];
	glob_t files = {0};
	err_t e = ERR_OK;

	*out = (loaded){0};
	snprintf(name, sizeof(name), "%s%s", row->name,
		row->name[strlen(row->name) - 1] == '.' ? "*" : "");
	path_of(name, pattern);
	if (glob(pattern, 0, NULL, &files) != 0)
		files.gl_pathc = 0;
	for (size_t i = 0; i < files.gl_pathc && out->count < FILES_MAX && e == ERR_OK; i++) {
		const char *base = strrchr(files.gl_pathv[i], '/') + 1;

		snprintf(out->ring[out->count].name, sizeof(out->ring[0].name), "%.*s",
			(int)(strlen(base) - strlen(".keys")), base);
		e = keys_load(files.gl_pathv[i], &out->ring[out->count].keys);
		out->count += e == ERR_OK;
	}
	globfree(&files);
	if (e != ERR_OK)
		unload(out);
	return e;
}

static err_t count(const char *site, rings_id id, census *out)
{
	*out = (census){.site = site, .id = id, .version = rings_version(id)};
	return metrics_each(conf_s(verb_conf(), CONF_METRICS_DIR), count_one, out);
}

static void show_ring(jw_t *w, const char *name, const keys_ring_t *ring, const census *c)
{
	keys_line line[KEYS_LINES_MAX];
	const unsigned n = keys_list(ring, line);
	char prefix[72];

	snprintf(prefix, sizeof(prefix), "%s.", name);
	jw_obj(w, NULL);
	jw_str(w, "ring", name);
	jw_i64(w, "version", keys_version(prefix));
	jw_i64(w, "programs", c->programs);
	jw_i64(w, "behind", c->behind);
	jw_arr(w, "keys");
	for (unsigned i = 0; i < n; i++) {
		jw_obj(w, NULL);
		jw_str(w, "id", line[i].id);
		jw_bool(w, "signs", i == 0);
		jw_i64(w, "until_s", line[i].until_s);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_obj_end(w);
}

int keys_here_list(const char *site)
{
	arena_t *a = arena_new(OUTPUT_BYTES);
	err_t e = ERR_OK;
	jw_t w;

	jw_start(&w, a);
	jw_obj(&w, NULL);
	jw_str(&w, "site", site);
	jw_arr(&w, "rings");
	for (unsigned id = 0; id < RINGS_COUNT && e == ERR_OK; id++) {
		loaded l;
		census c;

		e = load(&rings_table[id], &l);
		if (e == ERR_OK)
			e = count(site, (rings_id)id, &c);
		for (unsigned i = 0; e == ERR_OK && i < l.count; i++)
			show_ring(&w, l.ring[i].name, l.ring[i].keys, &c);
		unload(&l);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	jw_end(&w);
	if (e == ERR_OK)
		puts(w.buf);
	arena_free(&a);
	return e == ERR_OK ? VERB_DONE : verb_fail(e, "the key rings of site %s", site);
}

static int applied(const char *site, const rings_row *row)
{
	const int64_t until = clk_mono_ms() + APPLY_MS;
	const rings_id id = (rings_id)(row - rings_table);
	census c = {0};
	loaded l;
	err_t e = load(row, &l);

	do {
		if (e == ERR_OK)
			e = count(site, id, &c);
		if (e != ERR_OK || c.behind == 0)
			break;
		clk_sleep_ms(LOOK_MS);
	} while (clk_mono_ms() < until);
	unload(&l);
	if (e != ERR_OK)
		return verb_fail(e, "site %s", site);
	if (c.behind == 0) {
		fprintf(stderr, "site %s: %u programs have it\n", site, c.programs);
		return VERB_DONE;
	}
	fprintf(stderr,
		"hbctl: site %s: written, but %u of %u programs have not taken it in within %d "
		"ms\n",
		site, c.behind, c.programs, APPLY_MS);
	return VERB_PARTLY;
}

/* ---- text ---- */
typedef struct {
	const char *ring, *id, *key; /* the key only to add one */
	int64_t until_s, now_s;
	char out[TEXT_BYTES]; /* the new text */
	size_t len;
	const char *wrong;
} change;

static bool line_is(const char *line, const char *id)
{
	const size_t n = strlen(id);

	return strncmp(line, id, n) == 0 && line[n] == ' ';
}

static const char *words_of(const char *line)
{
	const char *key = strchr(line, ' ');
	const char *words = key ? strchr(key + 1, ' ') : NULL;

	return words ? words : "";
}

/* 0: none. */
static int64_t end_of(const char *line)
{
	const char *at = strstr(line, " until:");
	uint64_t v;

	return at && parse_u64n(at + 7, strcspn(at + 7, " "), INT64_MAX, &v) ? (int64_t)v : 0;
}

static void put(change *c, const char *text, const char *more, int64_t until_s)
{
	char end[40] = "";

	if (until_s)
		snprintf(end, sizeof(end), " until:%lld", (long long)until_s);
	const int n =
		snprintf(c->out + c->len, sizeof(c->out) - c->len, "%s%s%s\n", text, more, end);
	if (n < 0 || (size_t)n >= sizeof(c->out) - c->len)
		c->wrong = "the file would be too long: drop a key first";
	else
		c->len += (size_t)n;
}

/* Without its end, which the key that signs has not. */
static void put_first(change *c, const char *line)
{
	char text[LINE_BYTES];
	char *end;

	snprintf(text, sizeof(text), "%s", line);
	end = strstr(text, " until:");
	if (end) {
		const size_t n = 1 + strcspn(end + 1, " ");

		memmove(end, end + n, strlen(end + n) + 1);
	}
	put(c, text, "", 0);
}

typedef struct {
	unsigned count;
	char *line[KEYS_LINES_MAX];
} lines;

static int at_of(const lines *l, const char *id)
{
	for (unsigned i = 0; i < l->count; i++)
		if (line_is(l->line[i], id))
			return (int)i;
	return -1;
}

static void keep_all(change *c, const lines *l)
{
	for (unsigned i = 0; i < l->count; i++)
		put(c, l->line[i], "", 0);
}

static void run_add(change *c, const lines *l)
{
	char fresh[LINE_BYTES];
	const int at = at_of(l, c->id);

	keep_all(c, l);
	snprintf(fresh, sizeof(fresh), "%s %s", c->id, c->key);
	if (at >= 0 && strncmp(l->line[at], fresh, strlen(fresh)) != 0)
		c->wrong = "there is another key of that id";
	else if (at < 0 && l->count == KEYS_LINES_MAX)
		c->wrong = "there are 16 keys: drop one first";
	else if (at < 0)
		put(c, fresh, words_of(l->line[0]), 0);
}

static void run_use(change *c, const lines *l)
{
	const int at = at_of(l, c->id);

	if (at <= 0) {
		keep_all(c, l);
		c->wrong = at < 0 ? "there is no key of that id: keys add" : NULL;
		return;
	}
	put_first(c, l->line[at]);
	for (unsigned i = 0; i < l->count; i++) {
		const int64_t end = end_of(l->line[i]);

		if (i != (unsigned)at && (!end || end > c->now_s))
			put(c, l->line[i], "", end ? 0 : c->until_s);
	}
}

static void run_drop(change *c, const lines *l)
{
	const int at = at_of(l, c->id);

	for (unsigned i = 0; i < l->count; i++)
		if ((int)i != at)
			put(c, l->line[i], "", 0);
	if (at == 0)
		c->wrong = "that key signs: keys use another first";
}

static const struct {
	const char *name;
	void (*run)(change *c, const lines *l);
} changes[] = {{"add", run_add}, {"use", run_use}, {"drop", run_drop}};
enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

/* ---- the file ---- */
static bool read_all(int fd, char out[TEXT_BYTES + 1])
{
	size_t n = 0;
	ssize_t got = 1;

	while (got > 0 && n < TEXT_BYTES) {
		got = read(fd, out + n, TEXT_BYTES - n);
		n += got > 0 ? (size_t)got : 0;
	}
	out[n] = '\0';
	return got == 0;
}

static bool read_lines(const char *path, char text[TEXT_BYTES + 1], lines *out)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const bool well = fd >= 0 && read_all(fd, text);
	char *line;

	if (fd >= 0)
		close(fd);
	*out = (lines){0};
	while (well && (line = strsep(&text, "\n")) && out->count < KEYS_LINES_MAX)
		if (*line)
			out->line[out->count++] = line;
	return out->count > 0;
}

/* The file keeps its time while the same key signs: that is how old a key without a date is known to be. */
static bool write_ring(const char *path, const change *c, const char *signed_by)
{
	const size_t id = strcspn(signed_by, " ") + 1;
	struct stat st;

	if (stat(path, &st) != 0)
		return false;
	const bool same = strncmp(c->out, signed_by, id) == 0;
	return verb_write_secret(path, c->out, c->len, same ? &st.st_mtim : NULL) == ERR_OK;
}

static int put_ring(const char *site, const char *path, unsigned what, const change *c,
	const rings_row *row, const char *signed_by)
{
	char text[WHAT_BYTES], end[48] = "";
	int out = VERB_FAILED;

	if (c->until_s)
		snprintf(end, sizeof(end), ", the others until %lld", (long long)c->until_s);
	snprintf(text, sizeof(text), "%s: %s: %s %s%s; %.*s signed before", site, c->ring,
		changes[what].name, c->id, end, (int)strcspn(signed_by, " "), signed_by);
	if (audit_begin("keys here", text, "") != ERR_OK)
		return VERB_FAILED;
	if (write_ring(path, c, signed_by))
		out = applied(site, row);
	return audit_end("keys here", text, "", out);
}

static int change_file(const char *site, unsigned what, change *c)
{
	char path[PATH_BYTES], text[TEXT_BYTES + 1], before[TEXT_BYTES];
	const rings_row *row = rings_named(c->ring);
	keys_ring_t *ring = NULL;
	lines l;

	path_of(c->ring, path);
	/* What programs would refuse is not gone on with. */
	if (!row || keys_load(path, &ring) != ERR_OK || !read_lines(path, text, &l)) {
		fprintf(stderr, "hbctl: site %s: no good file of ring %s; nothing changed\n", site,
			c->ring);
		keys_free(&ring);
		return VERB_REFUSED;
	}
	keys_free(&ring);
	keep_all(c, &l);
	memcpy(before, c->out, c->len + 1);
	c->len = 0;
	changes[what].run(c, &l);
	if (c->wrong) {
		fprintf(stderr, "hbctl: site %s: %s; nothing changed\n", site, c->wrong);
		return VERB_REFUSED;
	}
	return strcmp(before, c->out) != 0 ? put_ring(site, path, what, c, row, l.line[0])
					   : applied(site, row);
}

static bool key_from_stdin(char out[KEY_DIGITS + 2])
{
	uint8_t key[KEYS_BYTES];
	const bool got = fgets(out, KEY_DIGITS + 2, stdin) != NULL;

	if (got)
		out[strcspn(out, "\n")] = '\0';
	return got && strlen(out) == KEY_DIGITS && parse_hex(out, KEYS_BYTES, key);
}

int keys_here_change(const char *site, int argc, char **argv)
{
	static const char usage[] =
		"keys here SITE list | add RING ID | use RING ID UNTIL | drop RING ID";
	char path[PATH_BYTES], key[KEY_DIGITS + 2];
	uint64_t until_s = 0;
	unsigned what = 0;
	int lock, out;

	while (what < CHANGES && (argc == 0 || strcmp(changes[what].name, argv[0]) != 0))
		what++;
	if (what == CHANGES || argc != (changes[what].run == run_use ? 4 : 3) ||
		(argc == 4 && !parse_u64(argv[3], INT64_MAX, &until_s)) ||
		(changes[what].run == run_add && !key_from_stdin(key)))
		return verb_usage(usage);
	snprintf(path, sizeof(path), "%s", conf_secret_path(verb_conf(), ".keys.lock"));
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) != 0) {
		fprintf(stderr, "hbctl: cannot lock %s: %m\n", path);
		return VERB_FAILED;
	}
	change c = {.ring = argv[1],
		.id = argv[2],
		.key = key,
		.until_s = (int64_t)until_s,
		.now_s = clk_wall_ms() / 1000};
	out = change_file(site, what, &c);
	close(lock);
	return out;
}
