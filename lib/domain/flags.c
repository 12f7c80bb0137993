/* The file's settings, held to their rules as a whole before anyone sees them, and what they come to
 * in this process: one word per flag, so that whoever asks needs no lock and nothing is ever freed
 * under them. */
#include "domain/flags.h"
#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLAGS_FILE "flags.cfg"
#define FLAGS_GOOD ".flags.good" /* the last good one, for programs that start beside a bad one */

static flags_row table[FLAGS_COUNT];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static routes_id route_named(const char *name, size_t len)
{
	for (unsigned i = 0; i < ROUTES_COUNT; i++)
		if (strlen(routes_table[i].name) == len && !memcmp(routes_table[i].name, name, len))
			return (routes_id)i;
	return ROUTES_COUNT;
}

static void row_make(flags_row *row, const char *interfaces)
{
	for (const char *at = interfaces; *at;) {
		const size_t len = strcspn(at, " ");
		const routes_id route = route_named(at, len);
		BUG_ON(route == ROUTES_COUNT || row->interface_count == FLAGS_INTERFACES_MAX);
		row->interface[row->interface_count++] = route;
		at += len + (at[len] == ' ');
	}
}

static void table_make(void)
{
#define FLAG(id, flag, of, interfaces, says)                                                       \
	table[FLAGS_##id] = (flags_row){.name = (flag), .kind = FLAGS_##of, .what = (says)};       \
	row_make(&table[FLAGS_##id], interfaces);
#include "domain/flags.def"
#undef FLAG
}

const flags_row *flags_table(void)
{
	pthread_once(&table_once, table_make);
	return table;
}

typedef struct {
	const char *path;
	char *why;
} reader;

#define WRONG(rd, at, ...) cfg_fail((rd)->why, (rd)->path, at, __VA_ARGS__)

static err_t read_state(const reader *rd, const config_setting_t *s, void *into)
{
	const char *text = config_setting_get_string(s);
	bool *off = into;
	if (!text || (strcmp(text, "on") != 0 && strcmp(text, "off") != 0))
		return WRONG(rd, s, "state must be \"on\" or \"off\"");
	*off = !strcmp(text, "off");
	return ERR_OK;
}

static err_t read_percent(const reader *rd, const config_setting_t *s, void *into)
{
	int64_t v;
	if (!cfg_int(s, 0, 100, &v))
		return WRONG(rd, s, "percent must be an integer in 0..100");
	*(int *)into = (int)v;
	return ERR_OK;
}

static err_t read_text(const reader *rd, const config_setting_t *s, void *into)
{
	const char *text = config_setting_get_string(s);
	if (!text || strlen(text) >= FLAGS_TEXT_BYTES)
		return WRONG(rd, s, "%s must be a string of at most %d bytes",
			config_setting_name(s), FLAGS_TEXT_BYTES - 1);
	snprintf(into, FLAGS_TEXT_BYTES, "%s", text);
	return ERR_OK;
}

static err_t read_time(const reader *rd, const config_setting_t *s, void *into)
{
	const char *text = config_setting_get_string(s);
	if (!text || clk_parse_rfc3339(text, into) != ERR_OK || *(int64_t *)into <= 0)
		return WRONG(rd, s, "%s must be a time like \"2027-02-06T12:00:00Z\"",
			config_setting_name(s));
	return ERR_OK;
}

static err_t read_cells(const reader *rd, const config_setting_t *s, void *into)
{
	const int n = config_setting_length(s);
	char *cells = into;
	if (!config_setting_is_array(s) || n < 1 || n >= FLAGS_CELLS_BYTES)
		return WRONG(rd, s, "cells must be an array like [ \"A\" ]");
	for (int i = 0; i < n; i++) {
		const char *cell = config_setting_get_string_elem(s, i);
		if (!cell || cell[0] < 'A' || cell[0] > 'Z' || cell[1])
			return WRONG(rd, s, "a cell's name is one of A-Z");
		cells[i] = cell[0];
	}
	return ERR_OK;
}

typedef struct {
	const char *name;
	err_t (*read)(const reader *rd, const config_setting_t *s, void *into);
	size_t offset;
	bool required;
} field;

#define AT(member) offsetof(flags_wish, member)
static const field fields[] = {
	{"state", read_state, AT(off), true},
	{"reason", read_text, AT(reason), true},
	{"percent", read_percent, AT(percent), false},
	{"cells", read_cells, AT(cells), false},
	{"owner", read_text, AT(owner), false},
	{"ticket", read_text, AT(ticket), false},
	{"set_at", read_time, AT(set_at_ms), false},
	{"expires_at", read_time, AT(expires_at_ms), false},
};
#undef AT
enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

/* Needs the flag's row, so it is no row of the table above. */
static err_t read_interfaces(
	const reader *rd, const config_setting_t *s, const flags_row *row, unsigned *out)
{
	const int n = config_setting_length(s);
	if (!config_setting_is_array(s) || n < 1)
		return WRONG(rd, s, "interfaces must be an array like [ \"rain_draw\" ]");
	for (int i = 0; i < n; i++) {
		const char *name = config_setting_get_string_elem(s, i);
		unsigned k = 0;
		while (name && k < row->interface_count &&
			strcmp(routes_table[row->interface[k]].name, name) != 0)
			k++;
		if (!name || k == row->interface_count)
			return WRONG(
				rd, s, "%s has no interface \"%s\"", row->name, name ? name : "?");
		*out |= 1U << k;
	}
	return ERR_OK;
}

static err_t read_field(
	const reader *rd, const config_setting_t *s, const flags_row *row, flags_wish *w)
{
	const char *name = config_setting_name(s);
	if (strcmp(name, "interfaces") == 0)
		return read_interfaces(rd, s, row, &w->interfaces);
	for (unsigned i = 0; i < FIELDS; i++)
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].read(rd, s, (char *)w + fields[i].offset);
	return WRONG(rd, s, "%s is not known here", name);
}

static err_t read_flag(const reader *rd, const config_setting_t *group, flags_wish *out)
{
	const flags_row *rows = flags_table();
	unsigned id = 0;
	while (id < FLAGS_COUNT && strcmp(rows[id].name, config_setting_name(group)) != 0)
		id++;
	if (id == FLAGS_COUNT)
		return WRONG(rd, group, "there is no flag \"%s\"", config_setting_name(group));
	if (!config_setting_is_group(group))
		return WRONG(rd, group, "%s must be a group { … }", rows[id].name);
	flags_wish *w = &out[id];
	*w = (flags_wish){.given = true, .percent = 100};
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const err_t e = read_field(rd, s, &rows[id], w);
		if (e != ERR_OK)
			return e;
	}
	if (rows[id].kind == FLAGS_QUEUE && w->percent != 0 && w->percent != 100)
		return WRONG(
			rd, group, "%s holds a queue: percent must be 0 or 100", rows[id].name);
	for (unsigned i = 0; i < FIELDS; i++)
		if (fields[i].required && !config_setting_get_member(group, fields[i].name))
			return WRONG(rd, group, "%s: %s is missing", rows[id].name, fields[i].name);
	return ERR_OK;
}

/* Half a file may be right in itself; its last line tells that it is whole. */
static bool is_complete(const config_setting_t *root)
{
	const int n = config_setting_length(root);
	const config_setting_t *last = n ? config_setting_get_elem(root, (unsigned)n - 1) : NULL;
	return last && strcmp(config_setting_name(last), "complete") == 0 &&
	       config_setting_type(last) == CONFIG_TYPE_BOOL && config_setting_get_bool(last);
}

err_t flags_parse(
	const char *path, const char *text, flags_wish out[FLAGS_COUNT], char why[CFG_WHY_BYTES])
{
	const reader rd = {path, why};
	config_t tree;
	err_t e = cfg_parse(path, text, why, &tree);
	if (e != ERR_OK)
		return e;
	memset(out, 0, FLAGS_COUNT * sizeof *out);
	const config_setting_t *root = config_root_setting(&tree);
	if (!is_complete(root))
		e = WRONG(&rd, NULL, "the last line must be \"complete = true;\"");
	for (int i = 0; e == ERR_OK && i + 1 < config_setting_length(root); i++)
		e = read_flag(&rd, config_setting_get_elem(root, (unsigned)i), out);
	config_destroy(&tree);
	return e;
}

void flags_write(jw_t *w, const flags_wish *wish)
{
	jw_bool(w, "given", wish->given);
	if (!wish->given)
		return;
	jw_str(w, "state", wish->off ? "off" : "on");
	jw_i64(w, "percent", wish->percent);
	jw_str(w, "cells", wish->cells);
	jw_i64(w, "interfaces", wish->interfaces);
	jw_str(w, "reason", wish->reason);
	jw_str(w, "owner", wish->owner);
	jw_str(w, "ticket", wish->ticket);
	jw_i64(w, "set_at_ms", wish->set_at_ms);
	jw_i64(w, "expires_at_ms", wish->expires_at_ms);
}

/* FNV-1a, as far as a double holds it. */
int64_t flags_version(const char *text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	for (const char *at = text; *at; at++)
		h = (h ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
	h = (h ^ h >> 53) & ((UINT64_C(1) << 53) - 1);
	return h ? (int64_t)h : 1;
}

static int meant_percent(const flags_wish *w, const char *cell, int64_t now_ms)
{
	if (!w->given || (w->expires_at_ms && w->expires_at_ms <= now_ms))
		return 0;
	if (*cell && *w->cells && !strchr(w->cells, *cell))
		return 0;
	return w->percent;
}

int flags_off_percent(const flags_wish *w, const char *cell, int64_t now_ms)
{
	return w->off ? meant_percent(w, cell, now_ms) : 0;
}

/* ---- in this process ---- */
enum { WORD_PERCENT_BITS = 7, WORD_INTERFACES_BITS = 8 };
/* Percent, then interfaces, then the second of the expiry (0: never). 0: not off. */
static _Atomic uint64_t words[FLAGS_COUNT];
/* The same of what is said to be on. */
static _Atomic uint64_t on_words[FLAGS_COUNT];

static struct {
	char path[512], good[512], cell[2];
	flags_wish wish[FLAGS_COUNT];
	int64_t seen; /* version of the file looked at last, good or bad; -1: none could be read */
} self;

static uint64_t word_of(const flags_wish *w)
{
	const int percent = meant_percent(w, self.cell, 0);
	const uint64_t expires_s = (uint64_t)(w->expires_at_ms + 999) / 1000;
	if (percent == 0)
		return 0;
	return (uint64_t)percent | (uint64_t)w->interfaces << WORD_PERCENT_BITS |
	       expires_s << (WORD_PERCENT_BITS + WORD_INTERFACES_BITS);
}

/* Splitmix64's finalizer: neighbours among uids are not neighbours among hundreds. */
static unsigned hundredth(flags_id id, uint64_t who)
{
	uint64_t z = who + UINT64_C(0x9e3779b97f4a7c15) * ((uint64_t)id + 1);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (unsigned)((z ^ z >> 31) % 100);
}

static bool word_means(uint64_t word, flags_id id, uint64_t who)
{
	const unsigned percent = word & ((1U << WORD_PERCENT_BITS) - 1);
	const int64_t expires_s = (int64_t)(word >> (WORD_PERCENT_BITS + WORD_INTERFACES_BITS));
	if (expires_s && expires_s * 1000 <= clk_wall_ms())
		return false;
	return percent == 100 || hundredth(id, who) < percent;
}

bool flags_off(flags_id id, uint64_t who)
{
	const uint64_t word = atomic_load_explicit(&words[id], memory_order_relaxed);
	return word && word_means(word, id, who);
}

static bool word_means_at(uint64_t word, flags_id id, routes_id interface, uint64_t who)
{
	if (!word)
		return false;
	const unsigned only = word >> WORD_PERCENT_BITS & ((1U << WORD_INTERFACES_BITS) - 1);
	const flags_row *row = &flags_table()[id];
	for (unsigned i = 0; only && i < row->interface_count; i++)
		if (row->interface[i] == interface && !(only & 1U << i))
			return false;
	return word_means(word, id, who);
}

bool flags_off_at(flags_id id, routes_id interface, uint64_t who)
{
	const uint64_t word = atomic_load_explicit(&words[id], memory_order_relaxed);
	if (!word_means_at(word, id, interface, who))
		return false;
	metrics_add(METRICS_DEGRADED, id, 1);
	return true;
}

flags_word flags_said(flags_id id, routes_id interface, uint64_t who)
{
	const uint64_t on = atomic_load_explicit(&on_words[id], memory_order_relaxed);
	if (flags_off_at(id, interface, who))
		return FLAGS_OFF;
	return word_means_at(on, id, interface, who) ? FLAGS_ON : FLAGS_UNSAID;
}

/* Few rows, and most requests find every word zero. */
bool flags_refuses(routes_id interface, uint64_t who)
{
	const flags_row *rows = flags_table();
	for (unsigned id = 0; id < FLAGS_COUNT; id++) {
		if (rows[id].kind != FLAGS_CORE || interface == ROUTES_ID_packet_send ||
			!atomic_load_explicit(&words[id], memory_order_relaxed))
			continue;
		for (unsigned i = 0; i < rows[id].interface_count; i++)
			if (rows[id].interface[i] == interface)
				return flags_off_at((flags_id)id, interface, who);
	}
	return false;
}

static void show(void)
{
	const int64_t now_ms = clk_wall_ms();
	for (unsigned id = 0; id < FLAGS_COUNT; id++)
		metrics_set(
			METRICS_FLAG_OFF, id, flags_off_percent(&self.wish[id], self.cell, now_ms));
}

static void apply(const flags_wish wish[FLAGS_COUNT], int64_t version)
{
	memcpy(self.wish, wish, sizeof self.wish);
	for (unsigned id = 0; id < FLAGS_COUNT; id++) {
		const uint64_t word = word_of(&wish[id]);
		atomic_store_explicit(&words[id], wish[id].off ? word : 0, memory_order_relaxed);
		atomic_store_explicit(&on_words[id], wish[id].off ? 0 : word, memory_order_relaxed);
	}
	show();
	metrics_set(METRICS_FLAGS_VERSION, 0, version);
	LOG(INFO, "flags.applied", {"version", LOG_I(version)});
}

/* So that a program that starts while the file is bad does what its neighbours do. */
static void keep_good(const char *text)
{
	char beside[600], why[CFG_WHY_BYTES];
	char *there = cfg_slurp(self.good, why);
	const bool same = there && !strcmp(there, text);
	free(there);
	if (same)
		return;
	snprintf(beside, sizeof beside, "%s.%ld", self.good, (long)getpid());
	FILE *to = fopen(beside, "we");
	bool ok = to && fputs(text, to) >= 0;
	if (to)
		ok = fclose(to) == 0 && ok;
	if (!ok || rename(beside, self.good) != 0)
		LOG(WARN, "flags.not_kept", {"path", LOG_S(self.good)});
}

static void told_bad(const char *why)
{
	metrics_set(METRICS_FLAGS_BAD, 0, 1);
	LOG(ERROR, "flags.bad", {"why", LOG_S(why)});
}

void flags_look(void)
{
	flags_wish wish[FLAGS_COUNT];
	char why[CFG_WHY_BYTES];
	char *text = cfg_slurp(self.path, why);
	const int64_t version = text ? flags_version(text) : -1;

	if (version == self.seen) {
		show();
	} else if (!text || flags_parse(self.path, text, wish, why) != ERR_OK) {
		told_bad(why);
	} else {
		metrics_set(METRICS_FLAGS_BAD, 0, 0);
		apply(wish, version);
		keep_good(text);
	}
	self.seen = version;
	free(text);
}

err_t flags_said_now(flags_wish out[FLAGS_COUNT], char why[CFG_WHY_BYTES])
{
	char *text = cfg_slurp(self.path, why);
	err_t e = text ? flags_parse(self.path, text, out, why) : ERR_CONFIG_INVALID;

	if (e != ERR_OK)
		memset(out, 0, FLAGS_COUNT * sizeof *out);
	free(text);
	return e;
}

void flags_begin(const char *folder, const char *cell)
{
	flags_wish wish[FLAGS_COUNT];
	char why[CFG_WHY_BYTES];

	snprintf(self.path, sizeof self.path, "%s/" FLAGS_FILE, folder);
	snprintf(self.good, sizeof self.good, "%s/" FLAGS_GOOD, folder);
	snprintf(self.cell, sizeof self.cell, "%s", cell);
	char *good = cfg_slurp(self.good, why);
	if (good && flags_parse(self.good, good, wish, why) == ERR_OK)
		apply(wish, flags_version(good));
	free(good);
	flags_look();
}
