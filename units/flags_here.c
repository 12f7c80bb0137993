#include "units/flags_here.h"

#include "base/arena.h"
#include "base/breaker.h"
#include "base/clk.h"
#include "base/jw.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "domain/flags.h"
#include "units/audit.h"
#include "units/flags_text.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
	PATH_BYTES = 512,
	GROUP_BYTES = 4096,
	TOLD_BYTES = 1400, /* of a group, in the audit log */
	WHAT_BYTES = 2 * TOLD_BYTES + 128,
	OUTPUT_BYTES = 1 << 16,
	APPLY_MS = 5000,
	LOOK_MS = 20
};

static void file_of(const char *site, const char *name, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/live/%s/%s", verb_state(), site, name);
}

/* What the running programs of this site have applied. */
typedef struct {
	const char *site;
	int64_t version;
	unsigned programs, behind;
	unsigned off[FLAGS_COUNT]; /* programs in which it is off for anybody */
	unsigned open[BREAKER_DEPENDENCIES],
		recovering[BREAKER_DEPENDENCIES];   /* and their breakers */
	int64_t held_percent[BREAKER_DEPENDENCIES]; /* the most of any program */
} census;

static void count_breakers(census *c, const metrics_file *f)
{
	for (unsigned i = 0; i < BREAKER_DEPENDENCIES; i++) {
		const int64_t held = metrics_of(f, METRICS_BREAKER_HELD_PERCENT, i);
		const bool open = metrics_of(f, METRICS_BREAKER_OPEN, i) > 0;

		c->open[i] += open;
		c->recovering[i] += held > 0 && !open;
		if (held > c->held_percent[i])
			c->held_percent[i] = held;
	}
}

static void count_one(void *ctx, const metrics_owner *owner, const metrics_file *f, bool runs)
{
	census *c = ctx;

	if (!runs || strcmp(owner->site, c->site) != 0)
		return;
	c->programs++;
	c->behind += metrics_of(f, METRICS_FLAGS_VERSION, 0) != c->version;
	for (unsigned i = 0; i < FLAGS_COUNT; i++)
		c->off[i] += metrics_of(f, METRICS_FLAG_OFF, i) > 0;
	count_breakers(c, f);
}

static err_t count(const char *site, int64_t version, census *out)
{
	*out = (census){.site = site, .version = version};
	return metrics_each(conf_s(verb_conf(), CONF_METRICS_DIR), count_one, out);
}

static void show_wish(
	jw_t *w, const flags_row *row, const flags_wish *wish, const census *c, unsigned id)
{
	jw_obj(w, NULL);
	jw_str(w, "flag", row->name);
	flags_write(w, wish);
	jw_i64(w, "off_in", c->off[id]);
	jw_obj_end(w);
}

static void show_breakers(jw_t *w, const census *c)
{
	jw_arr(w, "breakers");
	for (unsigned i = 0; i < BREAKER_DEPENDENCIES; i++) {
		char name[64];

		metrics_label(METRICS_BREAKER_OPEN, i, name);
		jw_obj(w, NULL);
		jw_str(w, "dependency", name);
		jw_i64(w, "open_in", c->open[i]);
		jw_i64(w, "recovering_in", c->recovering[i]);
		jw_i64(w, "held_percent", c->held_percent[i]);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

int flags_here_show(const char *site)
{
	char path[PATH_BYTES], why[CFG_WHY_BYTES] = "";
	flags_wish wish[FLAGS_COUNT] = {0};
	census c;
	jw_t w;

	file_of(site, "flags.cfg", path);
	char *text = cfg_slurp(path, why);
	const bool good = text && flags_parse(path, text, wish, why) == ERR_OK;
	const err_t e = count(site, text ? flags_version(text) : 0, &c);
	if (e != ERR_OK)
		return verb_fail(e, "the programs' metrics");
	arena_t *a = arena_new(OUTPUT_BYTES);
	jw_start(&w, a);
	jw_obj(&w, NULL);
	jw_str(&w, "site", site);
	jw_str(&w, "bad", good ? NULL : why);
	jw_i64(&w, "programs", c.programs);
	jw_i64(&w, "behind", c.behind);
	jw_arr(&w, "flags");
	for (unsigned i = 0; i < FLAGS_COUNT; i++)
		show_wish(&w, &flags_table()[i], &wish[i], &c, i);
	jw_arr_end(&w);
	show_breakers(&w, &c);
	jw_obj_end(&w);
	jw_end(&w);
	puts(w.buf);
	arena_free(&a);
	free(text);
	return VERB_DONE;
}

static int applied(const char *site, int64_t version)
{
	const int64_t until = clk_mono_ms() + APPLY_MS;
	census c;

	do {
		const err_t e = count(site, version, &c);

		if (e != ERR_OK)
			return verb_fail(e, "the programs' metrics");
		if (c.behind == 0) {
			fprintf(stderr, "site %s: applied by %u programs\n", site, c.programs);
			return VERB_DONE;
		}
		clk_sleep_ms(LOOK_MS);
	} while (clk_mono_ms() < until);
	fprintf(stderr,
		"hbctl: site %s: written, but %u of %u programs have not applied it within %d ms\n",
		site, c.behind, c.programs, APPLY_MS);
	return VERB_PARTLY;
}

/* What the file says before and after, since nobody else knows what it said before. */
static void what_changes(const char *site, const flags_wish before[FLAGS_COUNT], const char *name,
	const char *group, char out[WHAT_BYTES])
{
	flags_id id = 0;
	char *was;

	while (strcmp(flags_table()[id].name, name) != 0)
		id++;
	was = before[id].given ? flags_text_group(id, &before[id]) : NULL;
	snprintf(out, WHAT_BYTES, "%s: %s: %.*s -> %.*s", site, name, TOLD_BYTES,
		was ? was : "not there", TOLD_BYTES, *group ? group : "not there");
	free(was);
}

/* The reason stands in the group. */
static int put(const char *site, const char *path, const char *text, const char *what)
{
	int out;

	if (audit_begin("flags here", what, "") != ERR_OK)
		return VERB_FAILED;
	out = verb_write_file(path, text, strlen(text)) == ERR_OK
		      ? applied(site, flags_version(text))
		      : VERB_FAILED;
	return audit_end("flags here", what, "", out);
}

static int change(const char *site, const char *name, const char *group)
{
	char path[PATH_BYTES], why[CFG_WHY_BYTES], what[WHAT_BYTES];
	flags_wish wish[FLAGS_COUNT];
	char *text, *changed = NULL;
	int out = VERB_REFUSED;

	file_of(site, "flags.cfg", path);
	text = cfg_slurp(path, why);
	if (!text || flags_parse(path, text, wish, why) != ERR_OK) {
		fprintf(stderr, "hbctl: site %s: mend the file first, nothing changed: %s\n", site,
			why);
		goto done;
	}
	what_changes(site, wish, name, group, what);
	changed = flags_text_with(text, name, group);
	if (flags_parse(path, changed, wish, why) != ERR_OK) {
		fprintf(stderr, "hbctl: site %s: refused, nothing changed: %s\n", site, why);
		goto done;
	}
	out = put(site, path, changed, what);
done:
	free(text);
	free(changed);
	return out;
}

int flags_here_put(const char *site, const char *name, const char *group_b64)
{
	char path[PATH_BYTES];
	uint8_t group[GROUP_BYTES];
	size_t n = 0;
	int lock, out;

	if (*group_b64 && !parse_b64(group_b64, strlen(group_b64), group, sizeof(group) - 1, &n))
		return verb_usage("flags here SITE put NAME [GROUP]");
	group[n] = '\0';
	file_of(site, ".flags.lock", path);
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (lock < 0 || flock(lock, LOCK_EX) != 0) {
		fprintf(stderr, "hbctl: cannot lock %s: %m\n", path);
		return VERB_FAILED;
	}
	out = change(site, name, (const char *)group);
	close(lock);
	return out;
}
