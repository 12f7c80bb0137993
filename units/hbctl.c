/* hbctl: the operators' tool. What it can do are the rows of one table; a verb is one function of a
 * file here. Configuration, topology and the control store are loaded by whoever first needs them,
 * so that verbs that need nothing (help, states, fairness) work anywhere. */
#include "config.h"

#include "units/audit.h"

#include "base/keys.h"
#include "base/logger.h"
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What of it is in the audit log: nothing, for it changes nothing, or only what a supervisor has it do; what
 * was typed; or what the verb itself writes there, who knows better what changes. */
typedef enum { NOTHING, TYPED, OWN } audited;

static const struct {
	const char *noun, *verb;
	int (*run)(int argc, char **argv);
	audited audit;
	const char *arguments, *help;
} rows[] = {
	{"cells", "init", cells_verb, TYPED, "",
		"make the control records that are missing, and the go-live files from the "
		"records"},
	{"cells", "status", status_verb, NOTHING, "[--ready | -w]",
		"each cell and its members; exit 6 when a control record cannot be read; --ready: "
		"exit 1 "
		"unless every primary takes writes as its record wants; -w: again and again"},
	{"cells", "failover", failover_verb, OWN,
		"CELL --reason TEXT --confirm CELL [--to SITE] [--expect-epoch N] [--force] "
		"[--accept-loss] [--dead SITE,…] [--undo] [--dry-run]",
		"the primary is given up and the member that has most takes over; run again, it "
		"finishes what was begun"},
	{"cells", "switchover", switchover_verb, OWN, "CELL --to SITE --reason TEXT [--dry-run]",
		"the primary moves on purpose, with a short pause"},
	{"cells", "failback", switchover_verb, OWN, "CELL --reason TEXT [--dry-run]",
		"switchover to the site where the topology has the cell"},
	{"cells", "drain", drain_verb, OWN,
		"CELL|SITE --reason TEXT --confirm CELL|SITE [--dead] [--undo]",
		"a site: its cells move away and nothing runs there; a cell: it takes no writes"},
	{"cells", "unprotect", unprotect_verb, OWN,
		"CELL --reason TEXT --confirm CELL [--dead SITE,…]",
		"no replica is left: the primary goes on alone"},
	{"cells", "replicate", replicate_verb, OWN,
		"CELL status | CELL rebuild SITE --reason TEXT --confirm SITE | CELL verify [SITE]",
		"the replicas of a cell; a new copy for one of them, which is readmitted; whether "
		"they "
		"have the same rows as the primary (exit 10: not)"},
	{"cells", "readmit", readmit_verb, OWN, "CELL SITE --reason TEXT",
		"a member that was given up, or is new, follows again and is counted on; run "
		"again, "
		"it finishes what was begun"},
	{"member", "run", member_verb, NOTHING, "CELL SITE -- COMMAND…",
		"ask the control record for the member's role and become its database server"},
	{"schema", "apply", schema_verb, TYPED, "[CELL…]", "apply the migrations that are missing"},
	{"nginx", "render", nginx_verb, NOTHING,
		"[--site SITE] [--out FILE] [--user NAME] [--offline]",
		"nginx's configuration from topology, routes and control records (--offline: "
		"without)"},
	{"nginx", "reload", nginx_verb, TYPED, "[--site SITE [--user NAME]]",
		"render etc/nginx-SITE.conf, have nginx check it, and reload the one that runs on "
		"this host; without a site: have every site do so"},
	{"units", "render", units_verb, TYPED, "--site SITE [--out DIR]",
		"drop-ins for systemd: where the programs of a site listen (DIR: "
		"/etc/systemd/system)"},
	{"config", "example", config_verb, NOTHING, "",
		"every option with its default, commented out: /etc/hongbao/hongbao.cfg of a new "
		"installation"},
	{"config", "check", config_verb, NOTHING, "", "read the configuration and the topology"},
	{"config", "show", config_verb, NOTHING, "", "every option with the value in force"},
	{"metrics", "markdown", metrics_verb, NOTHING, "", "the table of docs/metrics.md"},
	{"metrics", "names", metrics_verb, NOTHING, "",
		"what /metrics may show, a histogram's three parts each"},
	{"config", "markdown", config_verb, NOTHING, "", "the table of docs/config.md"},
	{"capacity", "show", capacity_verb, NOTHING, "",
		"expected traffic, and the limits that follow from it"},
	{"capacity", "config", capacity_verb, NOTHING, "",
		"what must be open to finance, databases and queues for it, as groups of "
		"hongbao.cfg"},
	{"capacity", "check", capacity_verb, NOTHING, "",
		"whether hongbao.cfg opens as much, and a member has the connections for it; exit "
		"10 when not"},
	{"capacity", "users", capacity_verb, NOTHING, "",
		"how many connections a member gives to each user of its database, as lines of "
		"sed for users.sql.in"},
	{"capacity", "markdown", capacity_verb, NOTHING, "", "the tables of docs/capacity.md"},
	{"campaign", "apply", campaign_verb, OWN, "FILE --reason TEXT [--dry-run]",
		"check a file of campaigns as a whole and write what differs into every cell; "
		"audited"},
	{"campaign", "list", campaign_verb, NOTHING, "",
		"the campaigns of each cell and their budgets"},
	{"campaign", "show", campaign_verb, NOTHING, "NAME", "one of them, with its rules"},
	{"flags", "list", flags_verb, NOTHING, "",
		"what is switched down, until when and why, and how many programs have applied it"},
	{"flags", "set", flags_verb, OWN,
		"NAME on|off --reason TEXT [--percent N] [--cells AB] [--interface NAME]… "
		"[--ttl 30m] [--owner WHO] [--ticket ID]",
		"write a flag into every site's flags.cfg; exit 4 unless every program has applied "
		"it"},
	{"flags", "clear", flags_verb, OWN, "NAME --reason TEXT", "take a flag out of them"},
	{"flags", "check", flags_verb, NOTHING, "[FILE]",
		"whether a flags.cfg is right, or each site's"},
	{"flags", "here", flags_verb, OWN, "SITE show | SITE put NAME [GROUP]",
		"what the others call at each site; GROUP in base64url"},
	{"doctor", "", doctor_verb, NOTHING, "[--stopped]",
		"look whether this installation is right, and say what is to be done: exit 1 when "
		"something is; --stopped: before its servers are started"},
	{"keys", "list", keys_verb, NOTHING, "",
		"each ring at each site: which key signs, which still verify and until when, and "
		"how many programs have that"},
	{"keys", "rotate", keys_verb, OWN, "RING --reason TEXT [--keep 2d]",
		"a new key at every site, and when every program has it, it signs; the old ones "
		"end "
		"after --keep, else after their ring's keys.…_s"},
	{"keys", "add", keys_verb, OWN, "RING --reason TEXT",
		"the first half of it: the new key verifies, and does not sign yet"},
	{"keys", "use", keys_verb, OWN, "RING ID --reason TEXT [--keep 2d]", "the second half"},
	{"keys", "drop", keys_verb, OWN, "RING ID --reason TEXT --confirm ID",
		"a key that was lost: what it signed is worth nothing any more"},
	{"keys", "here", keys_verb, OWN,
		"SITE list | SITE add RING ID | SITE use RING ID UNTIL | SITE drop RING ID",
		"what the others call at each site; a new key comes on standard input"},
	{"audit", "tail", audit_verb, NOTHING, "[LINES]", "who changed what, and why"},
	{"audit", "verify", audit_verb, NOTHING, "[--from HASH]",
		"whether any line was changed or taken out, and the last hash; --from: one that "
		"was kept elsewhere, without which the whole could be written anew; exit 10 when "
		"so"},
	{"orders", "stuck", orders_verb, NOTHING, "[CELL…]",
		"orders that were asked about in vain too often"},
	{"orders", "show", orders_verb, NOTHING, "NUMBER",
		"one order, and what finance called back about it"},
	{"orders", "push", orders_verb, OWN,
		"NUMBER --reason TEXT | --parked ID --cell CELL --reason TEXT",
		"make an order due now; put a parked message back on its way"},
	{"orders", "parked", orders_verb, NOTHING, "[CELL…]",
		"messages that were given up, and why"},
	{"trace", "", trace_verb, NOTHING, "NUMBER|REQUEST_ID|TRACE_ID|TRACEPARENT [--no-logs]",
		"the whole story of one envelope (or withdrawal), by its number or that of any "
		"order of it: over all cells, with finance's callbacks, bookings and this "
		"machine's logs"},
	{"states", "--dot", states_verb, NOTHING, "", "the orders' states as Graphviz"},
	{"states", "--markdown", states_verb, NOTHING, "", "the tables of docs/states.md"},
	{"reconcile", "", reconcile_verb, NOTHING,
		"--cell CELL --window YYYY-MM-DD[Thh] --domain c2c|b2c|claims [--file CSV] "
		"[--grace S] | "
		"--live [--quiet]",
		"compare the books with finance's (c2c) or with the ledger (b2c), or conservation "
		"over all cells as they run; exit 10 when there are differences"},
	{"fairness", "verify", fairness_verb, NOTHING,
		"--seed HEX --packet N --total FEN --count N --split lucky|equal [--nonce TEXT] "
		"[--commitment HEX] [--seed-hash HEX] | --vectors FILE",
		"recompute the shares of a packet"},
	{"subsidies", "backlog", subsidies_verb, NOTHING, "",
		"wins that wait to be recorded in each cell, at which rate, and until when"},
	{"token", "mint", token_verb, TYPED, "--uid N [--ttl S]", "a session token"},
	{"token", "grant", token_verb, TYPED,
		"--viewer N --sender N --relation friend|fan [--ttl S]",
		"a relation grant of the host app"},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static struct {
	const char *config, *share, *state;
	bool json;
	conf_t *conf;
	topology_t *topology;
	control_t *control;
} self;

enum { CONTROL_TIMEOUT_MS = 2000, TYPED_BYTES = 1024 };

static const struct {
	const char *flag, *variable, *fallback;
	const char **into;
} options[] = {
	{"--config", "HB_CONFIG", "/etc/hongbao/hongbao.cfg", &self.config},
	{"--share", "HB_SHARE", "/usr/share/hongbao", &self.share},
	{"--state", "HB_STATE", "/var/lib/hongbao", &self.state},
};
enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

const conf_t *verb_conf(void)
{
	char why[256];

	if (!self.conf && conf_load(self.config, why, &self.conf) != ERR_OK) {
		fprintf(stderr, "hbctl: %s\n", why);
		exit(VERB_FAILED);
	}
	return self.conf;
}

const char *verb_config(void)
{
	return self.config;
}

const topology_t *verb_topology(void)
{
	char why[256];

	if (!self.topology &&
		topology_load(conf_s(verb_conf(), CONF_TOPOLOGY), why, &self.topology) != ERR_OK) {
		fprintf(stderr, "hbctl: %s\n", why);
		exit(VERB_FAILED);
	}
	return self.topology;
}

control_t *verb_control(void)
{
	if (!self.control) {
		err_t e = control_new(
			verb_topology()->etcd, "/hongbao/", CONTROL_TIMEOUT_MS, &self.control);

		if (e != ERR_OK)
			exit(verb_fail(e, "the control store"));
	}
	return self.control;
}

const topology_cell *verb_cell(const char *name)
{
	const topology_cell *cell = topology_cell_named(verb_topology(), name);

	if (!cell) {
		fprintf(stderr, "hbctl: there is no cell \"%s\"\n", name);
		exit(VERB_USAGE);
	}
	return cell;
}

bool verb_json(void)
{
	return self.json;
}

const char *verb_share(void)
{
	return self.share;
}

const char *verb_state(void)
{
	return self.state;
}

err_t verb_secret(const char *name, char *out, size_t bytes)
{
	return keys_secret(conf_secret_path(verb_conf(), name), out, bytes);
}

err_t verb_db(const topology_member *m, const char *database, int64_t io_ms, db_t **out)
{
	const int64_t lock_wait_s = conf_i(verb_conf(), CONF_DB_LOCK_WAIT_S), io_s = io_ms / 1000;
	db_target t = {.connect_ms = conf_i(verb_conf(), CONF_DB_CONNECT_MS),
		.io_ms = io_ms,
		.lock_wait_s = lock_wait_s < io_s ? lock_wait_s
			       : io_s > 1         ? io_s - 1
						  : 1};
	err_t e = verb_secret("db.hb_ctl", t.password, sizeof(t.password));

	if (e != ERR_OK)
		return e;
	snprintf(t.host, sizeof(t.host), "%s", m->host);
	snprintf(t.user, sizeof(t.user), "hb_ctl");
	snprintf(t.database, sizeof(t.database), "%s", database);
	t.port = m->mysql_extra_port;
	e = t.port ? db_open(&t, out) : ERR_CELL_UNAVAILABLE;
	if (e == ERR_OK)
		return e;
	t.port = m->mysql_port; /* the few of the extra port may be taken */
	return db_open(&t, out);
}

static bool write_all(int fd, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, data, n);

		if (done < 0)
			return false;
		data += done;
		n -= (size_t)done;
	}
	return true;
}

/* What root writes belongs to whom the file belonged or, when it is new, its folder: the programs replace it later. */
static bool keep_owner(const char *path, const char *folder, int fd)
{
	struct stat st;

	return geteuid() != 0 || (stat(path, &st) != 0 && stat(folder, &st) != 0) ||
	       fchown(fd, st.st_uid, st.st_gid) == 0;
}

/* `at`: the time that the file shall have; NULL: now. */
static err_t write_file(
	const char *path, const char *data, size_t n, mode_t mode, const struct timespec *at)
{
	const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, at ? *at : (struct timespec){0}};
	char beside[512], copy[512], *folder;
	int fd, dir;
	bool ok;

	snprintf(copy, sizeof(copy), "%s", path);
	folder = dirname(copy);
	if ((size_t)snprintf(beside, sizeof(beside), "%s.new", path) >= sizeof(beside))
		return ERR_CONFIG_INVALID;
	(void)!unlink(beside); /* one that was left may not be written to */
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	ok = fd >= 0 && keep_owner(path, folder, fd) && write_all(fd, data, n) &&
	     (!at || futimens(fd, times) == 0) && fsync(fd) == 0;
	if (fd >= 0)
		ok = close(fd) == 0 && ok;
	ok = ok && rename(beside, path) == 0;
	dir = ok ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	ok = dir >= 0 && fsync(dir) == 0;
	if (dir >= 0)
		close(dir);
	if (!ok)
		fprintf(stderr, "hbctl: cannot write %s: %m\n", path);
	return ok ? ERR_OK : ERR_CONFIG_INVALID;
}

err_t verb_write_file(const char *path, const char *data, size_t n)
{
	return write_file(path, data, n, 0644, NULL);
}

err_t verb_write_secret(const char *path, const char *data, size_t n, const struct timespec *at)
{
	return write_file(path, data, n, 0400, at);
}

static verb_exit exit_of(err_t e)
{
	switch (e) {
	case ERR_OK:
		return VERB_DONE;
	case ERR_OUTCOME_UNKNOWN:
		return VERB_UNKNOWN;
	case ERR_CONTROL_CONFLICT:
		return VERB_REFUSED;
	case ERR_CONTROL_UNAVAILABLE:
	case ERR_CELL_UNAVAILABLE:
	case ERR_DB_LOST:
	case ERR_MQ_UNAVAILABLE:
		return VERB_UNREACHABLE;
	default:
		return VERB_FAILED;
	}
}

int verb_fail(err_t e, const char *what, ...)
{
	va_list ap;

	fputs("hbctl: ", stderr);
	va_start(ap, what);
	vfprintf(stderr, what, ap);
	va_end(ap);
	fprintf(stderr, ": %s (%s)\n", err_title(e), err_code(e));
	return exit_of(e);
}

int verb_begun(int code)
{
	if (code == VERB_DONE || code == VERB_PARTLY)
		return code;
	fputs("hbctl: what was done before that stands.\nNext: this command again\n", stderr);
	return VERB_PARTLY;
}

int verb_usage(const char *text)
{
	fprintf(stderr, "usage: hbctl %s\n", text);
	return VERB_USAGE;
}

static void help(FILE *to)
{
	fputs("usage: hbctl [--config FILE] [--share DIR] [--state DIR] [-o table|json] NOUN VERB "
	      "…\n\n",
		to);
	for (unsigned i = 0; i < ROWS; i++)
		fprintf(to, "  %s%s%s%s%s\n      %s\n", rows[i].noun, *rows[i].verb ? " " : "",
			rows[i].verb, *rows[i].arguments ? " " : "", rows[i].arguments,
			rows[i].help);
	fputs("\nExit: 0 done, 1 failed, 2 usage, 3 refused and nothing changed, 4 partly done, "
	      "5 outcome unknown, 6 unreachable, 10 differences found.\n",
		to);
}

/* Takes argv[at] out when it is one of hbctl's own options; returns how many words it was, -1 when
 * its value is missing or wrong. */
static int take_option(int argc, char **argv, int at)
{
	for (unsigned i = 0; i < OPTIONS; i++) {
		if (strcmp(argv[at], options[i].flag) != 0)
			continue;
		if (at + 1 == argc)
			return -1;
		*options[i].into = argv[at + 1];
		return 2;
	}
	if (strcmp(argv[at], "-o") != 0)
		return 0;
	if (at + 1 == argc ||
		(strcmp(argv[at + 1], "json") != 0 && strcmp(argv[at + 1], "table") != 0))
		return -1;
	self.json = !strcmp(argv[at + 1], "json");
	return 2;
}

/* Leaves only the noun, the verb and its arguments; what stands behind "--" is not ours. */
static int take_options(int argc, char **argv)
{
	int kept = 1, at = 1;

	for (unsigned i = 0; i < OPTIONS; i++) {
		const char *value = getenv(options[i].variable);

		*options[i].into = value && *value ? value : options[i].fallback;
	}
	while (at < argc && strcmp(argv[at], "--") != 0) {
		int words = take_option(argc, argv, at);

		if (words < 0)
			return -1;
		if (words == 0)
			argv[kept++] = argv[at++];
		at += words;
	}
	while (at < argc)
		argv[kept++] = argv[at++];
	argv[kept] = NULL;
	return kept;
}

/* argv[0] is the verb. */
static int run_row(unsigned i, int argc, char **argv)
{
	char name[32], typed[TYPED_BYTES] = "";
	size_t n = 0;

	if (rows[i].audit != TYPED)
		return rows[i].run(argc, argv);
	snprintf(name, sizeof(name), "%s %s", rows[i].noun, rows[i].verb);
	for (int at = 1; at < argc && n < sizeof(typed); at++)
		n += (size_t)snprintf(
			typed + n, sizeof(typed) - n, "%s%s", at > 1 ? " " : "", argv[at]);
	if (audit_begin(name, typed, "") != ERR_OK)
		return VERB_FAILED;
	return audit_end(name, typed, "", rows[i].run(argc, argv));
}

int main(int argc, char **argv)
{
	argc = take_options(argc, argv);
	if (argc > 1 && (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") ||
				!strcmp(argv[1], "-h"))) {
		help(stdout);
		return VERB_DONE;
	}
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("hbctl " PACKAGE_VERSION);
		return VERB_DONE;
	}
	logger_init("hbctl", "", 0, LOGGER_WARN);
	if (keys_init() != ERR_OK)
		return VERB_FAILED;
	for (unsigned i = 0; argc > 1 && i < ROWS; i++) {
		int words = *rows[i].verb ? 2 : 1; /* a few nouns do one thing only */

		if (!strcmp(rows[i].noun, argv[1]) &&
			(words == 1 || (argc > 2 && !strcmp(rows[i].verb, argv[2]))))
			return run_row(i, argc - words, argv + words);
	}
	if (argc > 1)
		fprintf(stderr, "hbctl: there is no \"%s%s%s\"; see hbctl help\n", argv[1],
			argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
	else
		help(stderr);
	return VERB_USAGE;
}
