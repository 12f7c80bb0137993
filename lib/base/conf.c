/* The tree of libconfig is walked, rather than asked for each option, so that a name that nobody
 * knows is found; a typo in a limit must not pass as its default. */
#include "base/conf.h"
#include "base/cfg.h"
#include "base/parse.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef enum { CONF_INTEGER, CONF_BOOLEAN, CONF_STRING } conf_type;

typedef struct {
	const char *name;
	conf_type type;
	int64_t def, least, most;
	const char *text, *unit, *help;
} conf_row;

static const conf_row conf_table[CONF_COUNT] = {
#define OPT_I(id, name, def, least, most, unit, help)                                              \
	[CONF_##id] = {name, CONF_INTEGER, def, least, most, NULL, unit, help},
#define OPT_B(id, name, def, help) [CONF_##id] = {name, CONF_BOOLEAN, def, 0, 1, NULL, "", help},
#define OPT_S(id, name, def, help) [CONF_##id] = {name, CONF_STRING, 0, 0, 0, def, "", help},
#include "options.def"
#undef OPT_I
#undef OPT_B
#undef OPT_S
};

/* What one row cannot say: the first may not be above the second. */
static const struct {
	conf_id low, high;
} conf_ordered[] = {
	{CONF_PACKET_MIN_FEN, CONF_PACKET_MAX_FEN},
	{CONF_ORDER_CHECK_MS, CONF_ORDER_CHECK_MAX_MS},
	{CONF_POLL_FIRST_MS, CONF_POLL_MAX_MS},
};

struct conf {
	int64_t number[CONF_COUNT];
	char *text[CONF_COUNT];
};

typedef struct {
	conf_t *conf;
	const char *path;
	char *why;
} conf_reader;

static char *conf_strdup(const char *s)
{
	char *copy = strdup(s);

	BUG_ON(!copy);
	return copy;
}

static conf_t *conf_new(void)
{
	conf_t *c = calloc(1, sizeof(*c));

	BUG_ON(!c);
	for (int i = 0; i < CONF_COUNT; i++) {
		c->number[i] = conf_table[i].def;
		if (conf_table[i].text)
			c->text[i] = conf_strdup(conf_table[i].text);
	}
	return c;
}

void conf_free(conf_t **c)
{
	if (!*c)
		return;
	for (int i = 0; i < CONF_COUNT; i++)
		free((*c)->text[i]);
	free(*c);
	*c = NULL;
}

static int conf_find(const char *name)
{
	for (int i = 0; i < CONF_COUNT; i++)
		if (!strcmp(conf_table[i].name, name))
			return i;
	return -1;
}

static bool conf_group(const char *name)
{
	size_t n = strlen(name);

	for (int i = 0; i < CONF_COUNT; i++)
		if (!strncmp(conf_table[i].name, name, n) && conf_table[i].name[n] == '.')
			return true;
	return false;
}

static void conf_put_text(conf_t *c, int id, const char *text)
{
	free(c->text[id]);
	c->text[id] = conf_strdup(text);
}

static err_t conf_read_option(conf_reader *rd, const config_setting_t *s, int id)
{
	const conf_row *row = &conf_table[id];
	int type = config_setting_type(s);
	bool ok = false;

	switch (row->type) {
	case CONF_INTEGER:
		if (cfg_int(s, row->least, row->most, &rd->conf->number[id]))
			return ERR_OK;
		return cfg_fail(rd->why, rd->path, s,
			"%s must be an integer in %" PRId64 "..%" PRId64 " (%s)", row->name,
			row->least, row->most, row->unit);
	case CONF_BOOLEAN:
		ok = type == CONFIG_TYPE_BOOL;
		if (ok)
			rd->conf->number[id] = config_setting_get_bool(s);
		break;
	case CONF_STRING:
		ok = type == CONFIG_TYPE_STRING;
		if (ok)
			conf_put_text(rd->conf, id, config_setting_get_string(s));
		break;
	}
	if (ok)
		return ERR_OK;
	return cfg_fail(rd->why, rd->path, s, "%s must be %s", row->name,
		row->type == CONF_BOOLEAN ? "true or false" : "a string");
}

static err_t conf_read_group(conf_reader *rd, const config_setting_t *group, const char *prefix)
{
	int n = config_setting_length(group);

	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		char name[128];
		int id;
		err_t e;

		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "",
			config_setting_name(s));
		id = conf_find(name);
		if (id >= 0)
			e = conf_read_option(rd, s, id);
		else if (config_setting_is_group(s) && conf_group(name))
			e = conf_read_group(rd, s, name);
		else
			e = cfg_fail(rd->why, rd->path, s, "there is no option %s", name);
		if (e)
			return e;
	}
	return ERR_OK;
}

/* Texts that are one of a few words. */
static const struct {
	conf_id id;
	const char *words[5], *said;
} conf_words[] = {
	{CONF_LOG_LEVEL, {"debug", "info", "warn", "error"}, "debug, info, warn or error"},
	{CONF_ORDER_REFUSED_TRANSFER, {"wallet", "sender"}, "wallet or sender"},
};

static bool conf_word_ok(const conf_t *c, unsigned row)
{
	const char *text = c->text[conf_words[row].id];

	BUG_ON(!text);
	for (const char *const *w = conf_words[row].words; *w; w++)
		if (!strcmp(text, *w))
			return true;
	return false;
}

static err_t conf_check(const conf_t *c, const char *path, char why[256])
{
	for (unsigned i = 0; i < sizeof(conf_words) / sizeof(*conf_words); i++)
		if (!conf_word_ok(c, i))
			return cfg_fail(why, path, NULL, "%s must be %s",
				conf_table[conf_words[i].id].name, conf_words[i].said);
	for (unsigned i = 0; i < sizeof(conf_ordered) / sizeof(*conf_ordered); i++) {
		conf_id low = conf_ordered[i].low, high = conf_ordered[i].high;

		if (c->number[low] > c->number[high])
			return cfg_fail(why, path, NULL, "%s is above %s", conf_table[low].name,
				conf_table[high].name);
	}
	return ERR_OK;
}

err_t conf_load(const char *path, char why[256], conf_t **out)
{
	conf_reader rd = {.conf = conf_new(), .path = path, .why = why};
	config_t tree;
	err_t e = ERR_OK;

	if (path) {
		e = cfg_read(path, why, &tree);
		if (e)
			goto fail;
		e = conf_read_group(&rd, config_root_setting(&tree), "");
		config_destroy(&tree);
		if (!e)
			e = conf_check(rd.conf, path, why);
		if (e)
			goto fail;
	}
	*out = rd.conf;
	return ERR_OK;
fail:
	conf_free(&rd.conf);
	return e;
}

static void conf_swap(conf_t *c, int id, int64_t *number, char **text)
{
	int64_t n = c->number[id];
	char *t = c->text[id];

	c->number[id] = *number;
	c->text[id] = *text;
	*number = n;
	*text = t;
}

static bool conf_parse_number(const conf_row *row, const char *value, int64_t *out)
{
	uint64_t v;

	if (row->type == CONF_BOOLEAN) {
		*out = !strcmp(value, "true");
		return *out || !strcmp(value, "false");
	}
	if (!parse_u64(value, (uint64_t)row->most, &v) || (int64_t)v < row->least)
		return false;
	*out = (int64_t)v;
	return true;
}

err_t conf_set(conf_t *c, const char *name, const char *value, char why[256])
{
	int id = conf_find(name);
	int64_t number = 0;
	char *text = NULL;
	err_t e;

	if (id < 0)
		return cfg_fail(why, name, NULL, "there is no such option");
	if (conf_table[id].type == CONF_STRING)
		text = conf_strdup(value);
	else if (!conf_parse_number(&conf_table[id], value, &number))
		return cfg_fail(why, name, NULL, "must be %s in %" PRId64 "..%" PRId64,
			conf_table[id].type == CONF_BOOLEAN ? "true or false" : "an integer",
			conf_table[id].least, conf_table[id].most);
	conf_swap(c, id, &number, &text);
	e = conf_check(c, name, why);
	if (e)
		conf_swap(c, id, &number, &text);
	free(text);
	return e;
}

int64_t conf_i(const conf_t *c, conf_id id)
{
	BUG_ON((unsigned)id >= CONF_COUNT || conf_table[id].type != CONF_INTEGER);
	return c->number[id];
}

bool conf_b(const conf_t *c, conf_id id)
{
	BUG_ON((unsigned)id >= CONF_COUNT || conf_table[id].type != CONF_BOOLEAN);
	return c->number[id];
}

const char *conf_s(const conf_t *c, conf_id id)
{
	BUG_ON((unsigned)id >= CONF_COUNT || conf_table[id].type != CONF_STRING);
	return c->text[id];
}

const char *conf_name(conf_id id)
{
	BUG_ON((unsigned)id >= CONF_COUNT);
	return conf_table[id].name;
}

const char *conf_secret_path(const conf_t *c, const char *name)
{
	static _Thread_local char path[512];

	snprintf(path, sizeof(path), "%s/%s", conf_s(c, CONF_SECRETS), name);
	return path;
}

void conf_print_markdown(FILE *to)
{
	fputs("# Options of hongbao.cfg\n\nWritten by `hbctl config markdown` from "
	      "lib/base/options.def. An "
	      "option `a.b` stands as `a: { b = …; };`.\n\n",
		to);
	fputs("| option | default | range | unit | what it is |\n|---|---|---|---|---|\n", to);
	for (int i = 0; i < CONF_COUNT; i++) {
		const conf_row *r = &conf_table[i];

		fprintf(to, "| `%s` | ", r->name);
		if (r->type == CONF_STRING)
			fprintf(to, "`\"%s\"` | | | ", r->text);
		else if (r->type == CONF_BOOLEAN)
			fprintf(to, "`%s` | | | ", r->def ? "true" : "false");
		else
			fprintf(to, "%" PRId64 " | %" PRId64 " – %" PRId64 " | %s | ", r->def,
				r->least, r->most, r->unit);
		fprintf(to, "%s |\n", r->help);
	}
}

static void conf_print_value(const conf_t *c, int id, FILE *to)
{
	switch (conf_table[id].type) {
	case CONF_INTEGER:
		fprintf(to, "%" PRId64 "%s", c->number[id], c->number[id] > INT32_MAX ? "L" : "");
		break;
	case CONF_BOOLEAN:
		fputs(c->number[id] ? "true" : "false", to);
		break;
	case CONF_STRING:
		fputc('"', to);
		for (const char *s = c->text[id]; *s; s++)
			if ((unsigned char)*s < 0x20)
				fprintf(to, "\\x%02x", (unsigned)*s);
			else
				fprintf(to, "%s%c", strchr("\"\\", *s) ? "\\" : "", *s);
		fputc('"', to);
		break;
	}
}

static bool conf_is_default(const conf_t *c, int id)
{
	const conf_row *r = &conf_table[id];

	return r->type == CONF_STRING ? !strcmp(c->text[id], r->text) : c->number[id] == r->def;
}

/* Is not shown: whoever knows it may do what we may. */
static bool conf_is_secret(const conf_t *c, int id)
{
	return id == CONF_ALERT_URL && *c->text[id];
}

/* What is as the table has it can be commented out. */
static void conf_print(const conf_t *c, bool commented, FILE *to)
{
	size_t open = 0; /* length of the group's name that is open */

	for (int i = 0; i < CONF_COUNT; i++) {
		const conf_row *r = &conf_table[i];
		size_t group = strcspn(r->name, ".");

		if (open != group || strncmp(r->name, conf_table[i - 1].name, group + 1) != 0) {
			if (open)
				fputs("};\n\n", to);
			fprintf(to, "%.*s = {\n", (int)group, r->name);
			open = group;
		}
		fprintf(to, "  # %s", r->help);
		if (r->type == CONF_INTEGER)
			fprintf(to, " (%" PRId64 "..%" PRId64 " %s)", r->least, r->most, r->unit);
		if (conf_is_secret(c, i)) {
			fprintf(to, "\n  # %s is set, and not shown\n", r->name + group + 1);
			continue;
		}
		fprintf(to, "\n  %s%s = ", commented && conf_is_default(c, i) ? "# " : "",
			r->name + group + 1);
		conf_print_value(c, i, to);
		fputs(";\n", to);
	}
	fputs("};\n", to);
}

void conf_print_file(const conf_t *c, FILE *to)
{
	conf_print(c, false, to);
}

void conf_print_example(const conf_t *c, FILE *to)
{
	fputs("# Every option of hongbao, with its default (docs/config.md). After an edit: hbctl "
	      "config check, then "
	      "restart the programs.\n\n",
		to);
	conf_print(c, true, to);
}
