/* hbctl keys: rotation without anybody noticing. A new key is first put into every site's file, where it
 * verifies; when every program has it, it is put on top, where it signs, and the old ones get an end. So
 * at no moment is anything signed that somebody cannot verify. */
#include "units/verb.h"

#include "base/clk.h"
#include "base/keys.h"
#include "base/parse.h"
#include "domain/rings.h"
#include "units/args.h"
#include "units/audit.h"
#include "units/keys_here.h"
#include "units/site.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SITE_MS = 15000, WHAT_BYTES = 256, KEY_DIGITS = 2 * KEYS_BYTES };
static const char USAGE[] =
	"keys list | rotate RING | add RING | use RING ID | drop RING ID --confirm ID; all but "
	"list with --reason TEXT, rotate and use also with --keep 2d";

/* One change, at every site at once; `input` goes to its standard input. */
static int at_every_site(const char *const *args, const char *input)
{
	if (site_every(verb_topology(), args, input, SITE_MS))
		return VERB_DONE;
	fputs("hbctl: partly done; see hbctl keys list\n", stderr);
	return VERB_PARTLY;
}

typedef struct {
	const char *ring, *reason, *confirm, *keep;
	const rings_row *row;
	char id[KEYS_ID_BYTES];
	int64_t keep_s; /* how long the others stay good; 0: for ever */
} wish;

static int add(wish *w)
{
	const char *const args[] = {"keys", "add", w->ring, w->id, NULL};
	uint8_t key[KEYS_BYTES];
	char hex[KEY_DIGITS + 1];

	keys_random(key, sizeof(key));
	parse_to_hex(key, sizeof(key), hex);
	return at_every_site(args, hex);
}

static int use(const wish *w)
{
	char until[24];
	const char *const args[] = {"keys", "use", w->ring, w->id, until, NULL};

	snprintf(until, sizeof(until), "%lld",
		(long long)(w->keep_s ? clk_wall_ms() / 1000 + w->keep_s : 0));
	return at_every_site(args, "");
}

static int drop(const wish *w)
{
	const char *const args[] = {"keys", "drop", w->ring, w->id, NULL};

	return at_every_site(args, "");
}

static void until_text(int64_t until_s, char out[CLK_RFC3339_BYTES])
{
	if (until_s)
		clk_rfc3339(until_s * 1000, out);
	else
		snprintf(out, CLK_RFC3339_BYTES, "for ever");
}

static int run(const char *verb, wish *w)
{
	const bool signs = !strcmp(verb, "use") || !strcmp(verb, "rotate");
	char name[32], what[WHAT_BYTES], rest[64] = "";
	int code = VERB_DONE;

	snprintf(name, sizeof(name), "keys %s", verb);
	if (signs && w->keep_s)
		snprintf(rest, sizeof(rest), " signs, the others end %lld s later",
			(long long)w->keep_s);
	else if (signs)
		snprintf(rest, sizeof(rest), " signs, the others stay good");
	snprintf(what, sizeof(what), "%s: key %s%s", w->ring, w->id, rest);
	if (audit_begin(name, what, w->reason) != ERR_OK)
		return VERB_FAILED;
	if (!strcmp(verb, "drop"))
		code = drop(w);
	if (!strcmp(verb, "add") || !strcmp(verb, "rotate"))
		code = add(w);
	if (code == VERB_DONE && signs)
		code = use(w);
	if (code == VERB_DONE)
		printf("%s\n", what);
	if (code == VERB_DONE && *w->row->others && strcmp(verb, "drop") != 0)
		printf("%s needs the key: it is in %s.keys\n", w->row->others, w->ring);
	return audit_end(name, what, w->reason, code);
}

static bool keep_read(wish *w)
{
	int64_t keep_ms = 0;

	if (w->keep && !args_duration(w->keep, &keep_ms))
		return false;
	if (w->keep || w->row->keep != CONF_COUNT)
		w->keep_s = w->keep ? keep_ms / 1000 : conf_i(verb_conf(), w->row->keep);
	return true;
}

static int change(int argc, char **argv)
{
	wish w = {0};
	const args_row rows[] = {{"reason", &w.reason, NULL}, {"confirm", &w.confirm, NULL},
		{"keep", &w.keep, NULL}};
	const char *const verb = argv[0];
	const bool named = !strcmp(verb, "use") || !strcmp(verb, "drop");
	const int words = args_take(argc, argv, rows, 3);

	if (words != (named ? 2 : 1) || !w.reason || !*w.reason || keys_init() != ERR_OK)
		return verb_usage(USAGE);
	w.ring = argv[1];
	w.row = rings_named(w.ring);
	if (!w.row || !keep_read(&w) || (named && strlen(argv[2]) >= KEYS_ID_BYTES))
		return verb_usage(USAGE);
	if (named)
		snprintf(w.id, sizeof(w.id), "%s", argv[2]);
	else
		rings_key_id(clk_wall_ms() / 1000, w.id);
	if (!strcmp(verb, "drop") && (!w.confirm || strcmp(w.confirm, w.id) != 0)) {
		fprintf(stderr,
			"hbctl: what key %s has signed is worth nothing afterwards: --confirm %s\n",
			w.id, w.id);
		return VERB_REFUSED;
	}
	if (w.row->keep == CONF_COUNT && (!strcmp(verb, "drop") || w.keep)) {
		fprintf(stderr,
			"hbctl: what ring %s has sealed lies in the database: its keys stay\n",
			w.ring);
		return VERB_REFUSED;
	}
	if (w.row->before && !strcmp(verb, "rotate")) {
		fprintf(stderr,
			"hbctl: %s must have a key before it signs: keys add %s, hand it over, "
			"keys use %s "
			"ID\n",
			w.row->others, w.ring, w.ring);
		return VERB_REFUSED;
	}
	return run(verb, &w);
}

/* ---- list ---- */
static void print_key(const char *site, const json_t *ring, const json_t *key)
{
	const int64_t until_s = json_integer_value(json_object_get(key, "until_s"));
	const bool signs = json_is_true(json_object_get(key, "signs"));
	char until[CLK_RFC3339_BYTES];

	until_text(until_s, until);
	printf("%-16s  %-7s  %-8s  %-8s  %-24s  %3lld of %lld\n",
		json_string_value(json_object_get(ring, "ring")), site,
		json_string_value(json_object_get(key, "id")), signs ? "signs" : "verifies",
		signs || !until_s ? "-" : until,
		(long long)(json_integer_value(json_object_get(ring, "programs")) -
			    json_integer_value(json_object_get(ring, "behind"))),
		(long long)json_integer_value(json_object_get(ring, "programs")));
}

static void print_site(const json_t *says)
{
	size_t i, k;
	json_t *ring, *key;

	json_array_foreach (json_object_get(says, "rings"), i, ring)
		json_array_foreach (json_object_get(ring, "keys"), k, key)
			print_key(json_string_value(json_object_get(says, "site")), ring, key);
}

static int list(void)
{
	static const char *const args[] = {"keys", "list", NULL};
	const topology_t *t = verb_topology();
	site_job job[TOPOLOGY_SITES_MAX];
	json_t *all = json_array();
	int out = VERB_DONE;

	for (unsigned i = 0; i < t->site_count; i++)
		site_begin_keeping(&t->site[i], t->site[i].run, args, &job[i]);
	if (!verb_json())
		printf("%-16s  %-7s  %-8s  %-8s  %-24s  %s\n", "RING", "SITE", "KEY", "DOES",
			"UNTIL", "PROGRAMS");
	for (unsigned i = 0; i < t->site_count; i++) {
		const bool well = site_end(&job[i], SITE_MS);
		char *text = site_output(&job[i]);
		json_t *says = well ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

		free(text);
		if (!says) {
			fprintf(stderr, "hbctl: site %s does not answer\n", t->site[i].name);
			out = VERB_UNREACHABLE;
			continue;
		}
		if (!verb_json())
			print_site(says);
		json_array_append_new(all, says);
	}
	if (verb_json()) {
		json_dumpf(all, stdout, JSON_COMPACT);
		putchar('\n');
	}
	json_decref(all);
	return out;
}

int keys_verb(int argc, char **argv)
{
	if (!strcmp(argv[0], "list"))
		return argc == 1 ? list() : verb_usage(USAGE);
	if (strcmp(argv[0], "here") != 0)
		return change(argc, argv);
	if (argc < 3 || !topology_site_named(verb_topology(), argv[1]))
		return verb_usage(USAGE);
	return !strcmp(argv[2], "list") && argc == 3
		       ? keys_here_list(argv[1])
		       : keys_here_change(argv[1], argc - 2, argv + 2);
}
