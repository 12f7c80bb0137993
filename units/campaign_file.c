/* Groups are read by rows, so that an unknown name, a missing one and a wrong type are found in one
 * place; what rows cannot say (rounds, odds, budgets) follows. Reading goes on after a reason, so
 * that one run shows all of them. */
#include "units/campaign_file.h"

#include "base/cfg.h"
#include "base/clk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUDGET_MAX_YUAN = 1000000000 };
static const int64_t fen_max = (int64_t)BUDGET_MAX_YUAN * 100;

typedef struct {
	const char *path;
	const topology_t *topo;
	campaign_wanted *out;
	unsigned count, wrong;
} reader;

typedef enum { F_INT, F_TIME, F_OTHER } field_type;
typedef struct {
	const char *name;
	field_type type;
	bool required;
	size_t offset; /* in campaign_t, an int64_t */
	int64_t least, most, unit;
} field;

static const int64_t year_s = 31536000;
static const field fields[] = {
	{"name", F_OTHER, true, 0, 0, 0, 0},
	{"number", F_OTHER, true, 0, 0, 0, 0},
	{"starts_at", F_TIME, false, offsetof(campaign_t, starts_at_ms), 0, 0, 0},
	{"ends_at", F_TIME, false, offsetof(campaign_t, ends_at_ms), 0, 0, 0},
	{"every_s", F_INT, true, offsetof(campaign_t, every_ms), 1, 31536000, 1000},
	{"lasts_s", F_INT, true, offsetof(campaign_t, lasts_ms), 1, 31536000, 1000},
	{"expiry_s", F_INT, true, offsetof(campaign_t, expiry_ms), 1, 31536000, 1000},
	{"lease_fen", F_INT, true, offsetof(campaign_t, lease_fen), 1, INT64_C(1000000000000), 1},
	{"limit", F_OTHER, true, 0, 0, 0, 0},
	{"prizes", F_OTHER, true, 0, 0, 0, 0},
	{"budget", F_OTHER, true, 0, 0, 0, 0},
};
enum { FIELDS = sizeof(fields) / sizeof(*fields) };

#define WRONG(rd, at, ...)                                                                         \
	do {                                                                                       \
		char why_[CFG_WHY_BYTES];                                                          \
		if (cfg_fail(why_, (rd)->path, at, __VA_ARGS__) != ERR_OK)                         \
			fprintf(stderr, "%s\n", why_);                                             \
		(rd)->wrong++;                                                                     \
	} while (0)

static void read_int(
	reader *rd, const config_setting_t *g, const char *name, int64_t most, int64_t *out)
{
	const config_setting_t *s = config_setting_get_member(g, name);

	if (s && !cfg_int(s, 1, most, out))
		WRONG(rd, s, "%s must be an integer in 1..%lld", name, (long long)most);
}

static void read_field(reader *rd, const config_setting_t *g, const field *f, campaign_t *c)
{
	const config_setting_t *s = config_setting_get_member(g, f->name);
	int64_t *to = (int64_t *)(void *)((char *)c + f->offset);

	if (!s && f->required)
		WRONG(rd, g, "%s is missing", f->name);
	if (!s || f->type == F_OTHER)
		return;
	if (f->type == F_INT && !cfg_int(s, f->least, f->most, to))
		WRONG(rd, s, "%s must be an integer in %lld..%lld", f->name, (long long)f->least,
			(long long)f->most);
	else if (f->type == F_INT)
		*to *= f->unit;
	else if (config_setting_type(s) != CONFIG_TYPE_STRING ||
		 clk_parse_rfc3339(config_setting_get_string(s), to) != ERR_OK || *to < 0)
		WRONG(rd, s, "%s must be a time like \"2027-02-06T12:00:00Z\"", f->name);
}

static void read_fields(reader *rd, const config_setting_t *g, campaign_t *c)
{
	for (int i = 0; i < config_setting_length(g); i++) {
		const config_setting_t *s = config_setting_get_elem(g, (unsigned)i);
		unsigned k = 0;
		while (k < FIELDS && strcmp(fields[k].name, config_setting_name(s)) != 0)
			k++;
		if (k == FIELDS)
			WRONG(rd, s, "there is no \"%s\"", config_setting_name(s));
	}
	for (unsigned k = 0; k < FIELDS; k++)
		read_field(rd, g, &fields[k], c);
}

static void read_name(reader *rd, const config_setting_t *g, campaign_t *c)
{
	const config_setting_t *s = config_setting_get_member(g, "name");
	const char *name = s ? config_setting_get_string(s) : NULL;
	size_t n = name ? strlen(name) : 0;

	if (s && (n == 0 || n >= sizeof(c->name) ||
			 strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)) {
		WRONG(rd, s, "name must be 1..%zu of a-z, 0-9 and -", sizeof(c->name) - 1);
		return;
	}
	if (s)
		memcpy(c->name, name, n + 1);
}

static void read_prizes(reader *rd, const config_setting_t *g, campaign_t *c)
{
	const config_setting_t *list = config_setting_get_member(g, "prizes");
	int n = list && config_setting_is_list(list) ? config_setting_length(list) : 0;
	int64_t all = 0;

	if (list && (n < 1 || n > CAMPAIGN_PRIZES_MAX)) {
		WRONG(rd, list, "prizes must be a list ( … ) of 1..%d groups", CAMPAIGN_PRIZES_MAX);
		return;
	}
	for (int i = 0; i < n; i++) {
		const config_setting_t *p = config_setting_get_elem(list, (unsigned)i);
		int64_t ppm = 0;
		if (!config_setting_is_group(p) || config_setting_length(p) != 2 ||
			!config_setting_get_member(p, "amount_fen") ||
			!config_setting_get_member(p, "ppm")) {
			WRONG(rd, p, "a prize is { amount_fen = …; ppm = …; }");
			continue;
		}
		read_int(rd, p, "amount_fen", c->lease_fen, &c->prize[i].amount_fen);
		read_int(rd, p, "ppm", CAMPAIGN_PPM, &ppm);
		c->prize[i].ppm = (uint32_t)ppm;
		all += ppm;
	}
	if (all > CAMPAIGN_PPM)
		WRONG(rd, list, "the prizes' odds are %lld of a million", (long long)all);
	c->prizes = (unsigned)n;
}

static void read_budget(reader *rd, const config_setting_t *g, int64_t *budget)
{
	const config_setting_t *s = config_setting_get_member(g, "budget");

	if (s && !config_setting_is_group(s)) {
		WRONG(rd, s, "budget must be a group of cells: { A = 100000L; }");
		return;
	}
	for (int i = 0; s && i < config_setting_length(s); i++) {
		const config_setting_t *b = config_setting_get_elem(s, (unsigned)i);
		const topology_cell *cell = topology_cell_named(rd->topo, config_setting_name(b));
		if (!cell)
			WRONG(rd, b, "there is no cell \"%s\"", config_setting_name(b));
		else if (!cfg_int(b, 0, fen_max, &budget[cell - rd->topo->cell]))
			WRONG(rd, b, "a budget is an integer in 0..%lld fen", (long long)fen_max);
	}
}

static void check_time(reader *rd, const config_setting_t *g, const campaign_t *c)
{
	if (c->lasts_ms > c->every_ms)
		WRONG(rd, g, "a round must not last longer than every_s");
	if (c->ends_at_ms && c->ends_at_ms <= c->starts_at_ms)
		WRONG(rd, g, "ends_at must be after starts_at");
	if (!c->ends_at_ms && c->every_ms &&
		(clk_wall_ms() + 100 * year_s * 1000 - c->starts_at_ms) / c->every_ms >
			CAMPAIGN_ROUND_MAX)
		WRONG(rd, g, "every_s is too short for rounds without an end");
}

static void check_others(reader *rd, const config_setting_t *g, const campaign_t *c)
{
	for (unsigned i = 0; i < rd->count; i++)
		if (!strcmp(rd->out[i].c.name, c->name) || rd->out[i].c.number == c->number)
			WRONG(rd, g, "two campaigns have the same name or number");
}

static void read_campaign(reader *rd, const config_setting_t *g)
{
	campaign_wanted *w = &rd->out[rd->count];
	int64_t number = 0, limit = 0;
	unsigned before = rd->wrong;

	*w = (campaign_wanted){0};
	if (!config_setting_is_group(g)) {
		WRONG(rd, g, "a campaign is a group { … }");
		return;
	}
	read_fields(rd, g, &w->c);
	read_name(rd, g, &w->c);
	read_int(rd, g, "number", CAMPAIGN_NUMBER_MAX, &number);
	read_int(rd, g, "limit", CAMPAIGN_LIMIT_MAX, &limit);
	w->c.number = (uint32_t)number;
	w->c.limit = (unsigned)limit;
	if (rd->wrong == before) {
		read_prizes(rd, g, &w->c);
		read_budget(rd, g, w->budget);
		check_time(rd, g, &w->c);
		check_others(rd, g, &w->c);
	}
	rd->count++;
}

err_t campaign_file_read(
	const char *path, const topology_t *topo, campaign_wanted *out, unsigned *count)
{
	reader rd = {.path = path, .topo = topo, .out = out};
	char why[CFG_WHY_BYTES];
	config_t tree;

	if (cfg_read(path, why, &tree) != ERR_OK) {
		fprintf(stderr, "%s\n", why);
		return ERR_CONFIG_INVALID;
	}
	const config_setting_t *root = config_root_setting(&tree);
	const config_setting_t *list = config_setting_get_member(root, "campaigns");
	int n = list && config_setting_is_list(list) ? config_setting_length(list) : 0;
	if (n < 1 || n > CAMPAIGNS_MAX || config_setting_length(root) != 1)
		WRONG(&rd, list, "the file is `campaigns = ( … );` with 1..%d groups",
			CAMPAIGNS_MAX);
	for (int i = 0; i < n && n <= CAMPAIGNS_MAX; i++)
		read_campaign(&rd, config_setting_get_elem(list, (unsigned)i));
	config_destroy(&tree);
	*count = rd.count;
	return rd.wrong ? ERR_CONFIG_INVALID : ERR_OK;
}
