/* hbctl flags: what operators switch down, at every site. A site's file is changed by hbctl at that
 * site (flags_here.c), since its comments and hand edits are its own; this asks them all at once. */
#include "units/args.h"
#include "units/audit.h"
#include "units/flags_here.h"
#include "units/flags_text.h"
#include "units/site.h"

#include "base/breaker.h"
#include "base/clk.h"
#include "base/parse.h"
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SITE_MS = 15000, GROUP_B64_BYTES = 6000, WHAT_BYTES = 6400 };

#define USAGE                                                                                        \
	"flags list | flags set NAME on|off --reason TEXT [--percent N] [--cells AB] "               \
	"[--interface NAME]… [--ttl 30m] [--owner WHO] [--ticket ID] | flags clear NAME --reason " \
	"TEXT | flags check [FILE] | flags here SITE show | flags here SITE put NAME [GROUP]"

static flags_id flag_named(const char *name)
{
	unsigned id = 0;

	while (id < FLAGS_COUNT && strcmp(flags_table()[id].name, name) != 0)
		id++;
	if (id == FLAGS_COUNT)
		fprintf(stderr, "hbctl: there is no flag \"%s\"\n", name);
	return (flags_id)id;
}

static int at_every_site(const char *const *args)
{
	if (site_every(verb_topology(), args, "", SITE_MS))
		return VERB_DONE;
	fputs("hbctl: partly done; see hbctl flags list, then run the same again\n", stderr);
	return VERB_PARTLY;
}

static int change(const char *verb, const char *name, const char *group, const char *reason)
{
	char b64[GROUP_B64_BYTES] = "", what[WHAT_BYTES];
	const char *const args[] = {"flags", "put", name, *group ? b64 : NULL, NULL};

	if (*group && parse_to_b64((const uint8_t *)group, strlen(group), b64, sizeof(b64)) == 0)
		return verb_usage(USAGE);
	snprintf(what, sizeof(what), "%s", *group ? group : name);
	if (audit_begin(verb, what, reason) != ERR_OK)
		return VERB_FAILED;
	return audit_end(verb, what, reason, at_every_site(args));
}

/* What a hand-written file may hold, hbctl does not write: it would break the line. */
static bool read_text(const char *text, char out[FLAGS_TEXT_BYTES])
{
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 127)
			return false;
	return (size_t)snprintf(out, FLAGS_TEXT_BYTES, "%s", text) < FLAGS_TEXT_BYTES && *text;
}

static bool read_cells(const char *text, flags_wish *w)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++) {
		const char name[] = {text[i], '\0'};

		if (!topology_cell_named(verb_topology(), name))
			return false;
	}
	return n > 0 && (size_t)snprintf(w->cells, sizeof(w->cells), "%s", text) < sizeof(w->cells);
}

static bool read_interface(const char *text, flags_id id, flags_wish *w)
{
	const flags_row *row = &flags_table()[id];

	for (unsigned i = 0; i < row->interface_count; i++)
		if (!strcmp(routes_table[row->interface[i]].name, text)) {
			w->interfaces |= 1U << i;
			return true;
		}
	return false;
}

static const struct option options[] = {{"reason", required_argument, NULL, 'r'},
	{"percent", required_argument, NULL, 'p'}, {"cells", required_argument, NULL, 'c'},
	{"interface", required_argument, NULL, 'i'}, {"ttl", required_argument, NULL, 't'},
	{"owner", required_argument, NULL, 'o'}, {"ticket", required_argument, NULL, 'k'},
	{NULL, 0, NULL, 0}};

static bool take(int option, flags_id id, flags_wish *w)
{
	int64_t ttl_ms;
	uint64_t percent;

	switch (option) {
	case 'r':
		return read_text(optarg, w->reason);
	case 'o':
		return read_text(optarg, w->owner);
	case 'k':
		return read_text(optarg, w->ticket);
	case 'c':
		return read_cells(optarg, w);
	case 'i':
		return read_interface(optarg, id, w);
	case 'p':
		if (!parse_u64(optarg, 100, &percent))
			return false;
		w->percent = (int)percent;
		return true;
	case 't':
		if (!args_duration(optarg, &ttl_ms))
			return false;
		w->expires_at_ms = w->set_at_ms + ttl_ms;
		return true;
	default:
		return false;
	}
}

/* argv: set NAME on|off …, clear NAME … */
static int set(int argc, char **argv)
{
	const bool sets = !strcmp(argv[0], "set");
	flags_wish w = {.given = true, .percent = 100, .set_at_ms = clk_wall_ms()};
	int got, fixed = sets ? 3 : 2;

	if (argc < fixed || (sets && strcmp(argv[2], "on") != 0 && strcmp(argv[2], "off") != 0))
		return verb_usage(USAGE);
	const flags_id id = flag_named(argv[1]);
	if (id == FLAGS_COUNT)
		return VERB_USAGE;
	w.off = sets && !strcmp(argv[2], "off");
	audit_who(w.owner);
	optind = fixed;
	while ((got = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take(got, id, &w) || (!sets && got != 'r')) {
			if (optarg)
				fprintf(stderr, "hbctl: not as it should be: %s\n", optarg);
			return verb_usage(USAGE);
		}
	if (optind != argc || !*w.reason)
		return verb_usage(USAGE);
	char *group = sets ? flags_text_group(id, &w) : NULL;
	const int out =
		change(sets ? "flags set" : "flags clear", argv[1], group ? group : "", w.reason);
	free(group);
	return out;
}

static int check_file(const char *path)
{
	flags_wish wish[FLAGS_COUNT];
	char why[CFG_WHY_BYTES];
	char *text = cfg_slurp(path, why);
	const bool good = text && flags_parse(path, text, wish, why) == ERR_OK;

	free(text);
	if (good)
		printf("%s is right\n", path);
	else
		fprintf(stderr, "hbctl: %s\n", why);
	return good ? VERB_DONE : VERB_FAILED;
}

/* ---- list ---- */
static json_t *ask_site(site_job *j)
{
	const bool well = site_end(j, SITE_MS);
	char *text = site_output(j);
	json_t *says = well ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

	free(text);
	return says;
}

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static int64_t number_of(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

/* The breaker of that name; NULL: there is none. */
static const json_t *breaker_named(const json_t *site, const char *name)
{
	const json_t *all = json_object_get(site, "breakers");

	for (size_t i = 0; i < json_array_size(all); i++)
		if (!strcmp(text_of(json_array_get(all, i), "dependency"), name))
			return json_array_get(all, i);
	return NULL;
}

static bool holds_back(const json_t *breaker)
{
	return number_of(breaker, "open_in") + number_of(breaker, "recovering_in") > 0;
}

static const char *winner(const json_t *site, const json_t *f, int64_t now_ms)
{
	const int64_t expires = number_of(f, "expires_at_ms");
	const bool given = json_is_true(json_object_get(f, "given"));

	if (given && (!expires || expires > now_ms))
		return "manual";
	if (holds_back(breaker_named(site, text_of(f, "flag"))))
		return "breaker";
	return given ? "default (expired)" : "default";
}

/* What is off by a flag, or, where the breaker wins, by its breaker. */
static int64_t off_in(const json_t *site, const json_t *f, const char *who_wins)
{
	const json_t *b = breaker_named(site, text_of(f, "flag"));

	return strcmp(who_wins, "breaker") != 0
		       ? number_of(f, "off_in")
		       : number_of(b, "open_in") + number_of(b, "recovering_in");
}

static void print_flag(const json_t *site, const json_t *f, int64_t now_ms)
{
	char until[CLK_RFC3339_BYTES] = "-";
	const int64_t expires = number_of(f, "expires_at_ms");
	const bool given = json_is_true(json_object_get(f, "given"));
	const char *who = winner(site, f, now_ms);
	char wish[24] = "-", scope[48];

	if (expires)
		clk_rfc3339(expires, until);
	if (given)
		snprintf(wish, sizeof(wish), "%s %lld %%", text_of(f, "state"),
			(long long)number_of(f, "percent"));
	snprintf(scope, sizeof(scope), "%s%s", *text_of(f, "cells") ? text_of(f, "cells") : "all",
		number_of(f, "interfaces") ? ", some interfaces" : "");
	printf("%-14s  %-7s  %-10s  %-6s  %3lld of %-3lld  %-17s  %-24s  %-16s  %s\n",
		text_of(f, "flag"), text_of(site, "site"), wish, given ? scope : "-",
		(long long)off_in(site, f, who), (long long)number_of(site, "programs"), who, until,
		given ? text_of(f, "owner") : "-", given ? text_of(f, "reason") : "-");
}

static void print_flags(json_t *const *says, unsigned sites)
{
	printf("%-14s  %-7s  %-10s  %-6s  %-10s  %-17s  %-24s  %-16s  %s\n", "FLAG", "SITE", "WISH",
		"CELLS", "OFF IN", "WHO WINS", "UNTIL", "OWNER", "REASON");
	for (unsigned id = 0; id < FLAGS_COUNT; id++)
		for (unsigned i = 0; i < sites; i++)
			if (says[i])
				print_flag(says[i],
					json_array_get(json_object_get(says[i], "flags"), id),
					clk_wall_ms());
}

static void print_breakers(json_t *const *says, unsigned sites)
{
	printf("\n%-14s  %-7s  %-10s  %-13s  %s\n", "BREAKER", "SITE", "OPEN IN", "RECOVERING IN",
		"HELD BACK");
	for (unsigned of = 0; of < BREAKER_DEPENDENCIES; of++)
		for (unsigned i = 0; i < sites; i++) {
			const json_t *b = json_array_get(json_object_get(says[i], "breakers"), of);

			if (says[i])
				printf("%-14s  %-7s  %3lld of %-3lld  %13lld  %7lld %%\n",
					text_of(b, "dependency"), text_of(says[i], "site"),
					(long long)number_of(b, "open_in"),
					(long long)number_of(says[i], "programs"),
					(long long)number_of(b, "recovering_in"),
					(long long)number_of(b, "held_percent"));
		}
}

static int list(void)
{
	static const char *const args[] = {"flags", "show", NULL};
	const topology_t *t = verb_topology();
	site_job job[TOPOLOGY_SITES_MAX];
	json_t *says[TOPOLOGY_SITES_MAX] = {0}, *all = json_array();
	int out = VERB_DONE;

	for (unsigned i = 0; i < t->site_count; i++)
		site_begin_keeping(&t->site[i], t->site[i].run, args, &job[i]);
	for (unsigned i = 0; i < t->site_count; i++) {
		says[i] = ask_site(&job[i]);
		if (says[i]) {
			json_array_append_new(all, says[i]);
			continue;
		}
		fprintf(stderr, "hbctl: site %s does not answer\n", t->site[i].name);
		out = VERB_UNREACHABLE;
	}
	if (verb_json()) {
		json_dumpf(all, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_flags(says, t->site_count);
		print_breakers(says, t->site_count);
	}
	for (unsigned i = 0; i < t->site_count; i++) {
		const char *bad = says[i] ? text_of(says[i], "bad") : "";

		if (*bad || (says[i] && number_of(says[i], "behind") > 0)) {
			fprintf(stderr,
				"hbctl: site %s: %s%s%lld of %lld programs have another version\n",
				t->site[i].name, bad, *bad ? "; " : "",
				(long long)number_of(says[i], "behind"),
				(long long)number_of(says[i], "programs"));
			out = out == VERB_DONE ? VERB_FAILED : out;
		}
	}
	json_decref(all);
	return out;
}

static int check_sites(void)
{
	const topology_t *t = verb_topology();
	int out = VERB_DONE;

	for (unsigned i = 0; i < t->site_count; i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/live/%s/flags.cfg", verb_state(), t->site[i].name);
		out = check_file(path) == VERB_DONE ? out : VERB_FAILED;
	}
	return out;
}

int flags_verb(int argc, char **argv)
{
	if (!strcmp(argv[0], "list") && argc == 1)
		return list();
	if (!strcmp(argv[0], "set") || !strcmp(argv[0], "clear"))
		return set(argc, argv);
	if (!strcmp(argv[0], "check") && argc <= 2)
		return argc == 2 ? check_file(argv[1]) : check_sites();
	if (strcmp(argv[0], "here") != 0 || argc < 3 ||
		!topology_site_named(verb_topology(), argv[1]))
		return verb_usage(USAGE);
	if (!strcmp(argv[2], "show") && argc == 3)
		return flags_here_show(argv[1]);
	if (!strcmp(argv[2], "put") && (argc == 4 || argc == 5))
		return flag_named(argv[3]) == FLAGS_COUNT
			       ? VERB_USAGE
			       : flags_here_put(argv[1], argv[3], argc == 5 ? argv[4] : "");
	return verb_usage(USAGE);
}
