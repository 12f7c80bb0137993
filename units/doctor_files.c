/* hbctl doctor: what can be told from this host's files and kernel alone. The user that owns the folder of
 * the secrets is taken for the one that the programs run as. */
#include "units/doctor.h"

#include "base/clk.h"
#include "base/keys.h"
#include "domain/flags.h"
#include "domain/live.h"
#include "domain/rings.h"
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

enum {
	PATH_BYTES = 768,
	PASSWORD_LEAST = 16,
	ROTATION_WARN_DAYS = 30,
	FREE_BAD_PERCENT = 3,
	FREE_NOTE_PERCENT = 10,
	BACKLOG = 4096, /* of nginx and of our programs */
	DAY_S = 86400
};

void doctor_config(doctor_t *d)
{
	static const conf_id needed[] = {
		CONF_TOPOLOGY, CONF_SECRETS, CONF_METRICS_DIR, CONF_WINS_DIR};
	char why[256];
	conf_t *conf;
	topology_t *t;

	if (conf_load(verb_config(), why, &conf) != ERR_OK) {
		doctor_bad(d, "%s", why);
		return;
	}
	if (topology_load(conf_s(conf, CONF_TOPOLOGY), why, &t) != ERR_OK)
		doctor_bad(d, "%s", why);
	else
		topology_free(&t);
	for (unsigned i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (!*conf_s(conf, needed[i]))
			doctor_bad(d,
				"%s: paths.topology, paths.secrets, paths.metrics and "
				"paths.wins must be set",
				verb_config());
	if (!*conf_s(conf, CONF_FINANCE_URL) && !conf_b(conf, CONF_FINANCE_MOCK))
		doctor_bad(d, "%s: finance.url is not set", verb_config());
	if (conf_b(conf, CONF_FINANCE_MOCK))
		doctor_bad(d, "%s: finance.mock is on, so no money moves", verb_config());
	conf_free(&conf);
}

/* The programs' user; false, and said, when there is no such folder. */
static bool owner(doctor_t *d, uid_t *out)
{
	struct stat st;

	if (stat(conf_s(verb_conf(), CONF_SECRETS), &st) != 0) {
		doctor_bad(d, "%s: %s", conf_s(verb_conf(), CONF_SECRETS), strerror(errno));
		return false;
	}
	*out = st.st_uid;
	return true;
}

static void folder(doctor_t *d, const char *path, mode_t never, uid_t uid)
{
	struct stat st;

	if (stat(path, &st) != 0)
		doctor_bad(d, "%s: %s", path, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		doctor_bad(d, "%s is not a folder", path);
	else if (st.st_mode & never)
		doctor_bad(d, "%s has mode %04o, of which %04o may not be", path,
			(unsigned)(st.st_mode & 07777), (unsigned)(st.st_mode & never));
	else if (st.st_uid != uid)
		doctor_bad(d, "%s belongs to user %u, not to %u, who has the secrets", path,
			(unsigned)st.st_uid, (unsigned)uid);
}

static void share_file(doctor_t *d, const char *name)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", verb_share(), name);
	if (access(path, R_OK) != 0)
		doctor_bad(d, "%s: %s", path, strerror(errno));
}

void doctor_folders(doctor_t *d)
{
	const topology_t *t = verb_topology();
	char path[PATH_BYTES];
	uid_t uid;

	if (!owner(d, &uid))
		return;
	folder(d, conf_s(verb_conf(), CONF_SECRETS), 077, uid);
	folder(d, conf_s(verb_conf(), CONF_METRICS_DIR), 002, uid);
	folder(d, conf_s(verb_conf(), CONF_WINS_DIR), 002, uid);
	for (unsigned i = 0; i < t->site_count; i++)
		if (doctor_site_here(t->site[i].name)) {
			snprintf(path, sizeof(path), "%s/live/%s", verb_state(), t->site[i].name);
			folder(d, path, 002, uid);
		}
	share_file(d, "nginx/hongbao.conf.in");
	share_file(d, "nginx/params.conf");
	share_file(d, "sql/migrations/001_first.sql");
	share_file(d, "web/index.html");
}

/* What must be there; further ones (partner.NAME.keys, alert.url, alert.secret) are looked at when they are. */
static const char *const needed_secrets[] = {"session.keys", "grant.keys", "seal.keys",
	"finance.keys", "internal.keys", "db.hb_core", "db.hb_query", "db.hb_worker", "db.hb_rain",
	"db.hb_age", "db.hb_ctl", "db.hb_repl", "mq.hongbao"};

/* The content is judged by whoever reads it in the programs, too; their reason goes to stderr. */
static void secret_content(doctor_t *d, const char *path, bool ring)
{
	char text[1024];
	keys_ring_t *keys = NULL;

	if (ring) {
		if (keys_load(path, &keys) == ERR_OK)
			keys_free(&keys);
		else
			doctor_bad(d, "%s is not a key ring: lines of `<key id> <64 hex digits>`",
				path);
	} else if (keys_secret(path, text, sizeof(text)) != ERR_OK) {
		doctor_bad(d, "%s cannot be read, or its first line is empty", path);
	} else if (strlen(text) < PASSWORD_LEAST) {
		doctor_bad(d, "%s has %zu characters, at least %d are needed", path, strlen(text),
			PASSWORD_LEAST);
	}
	explicit_bzero(text, sizeof(text));
}

static void secret(doctor_t *d, const char *name, uid_t uid)
{
	char path[PATH_BYTES];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", conf_s(verb_conf(), CONF_SECRETS), name);
	if (stat(path, &st) != 0)
		doctor_bad(d, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0400)
		doctor_bad(d, "%s has mode %04o and must be a file of mode 0400", path,
			(unsigned)(st.st_mode & 07777));
	else if (st.st_uid != uid)
		doctor_bad(d, "%s belongs to user %u, its folder to %u", path, (unsigned)st.st_uid,
			(unsigned)uid);
	else if (access(path, R_OK) != 0)
		doctor_skip(d, "%s cannot be read by us: run doctor as root", path);
	else
		secret_content(d, path, fnmatch("*.keys", name, 0) == 0);
}

/* Calls `look` for what is in the folder of the secrets and fits. */
static void each_secret(doctor_t *d, const char *pattern,
	void (*look)(doctor_t *d, const char *name, uid_t uid), uid_t uid)
{
	DIR *dir = opendir(conf_s(verb_conf(), CONF_SECRETS));
	const struct dirent *e;

	if (!dir) {
		doctor_skip(d, "%s: %s", conf_s(verb_conf(), CONF_SECRETS), strerror(errno));
		return;
	}
	while ((e = readdir(dir)))
		if (fnmatch(pattern, e->d_name, FNM_PERIOD) == 0)
			look(d, e->d_name, uid);
	closedir(dir);
}

void doctor_secrets(doctor_t *d)
{
	uid_t uid;

	if (!owner(d, &uid))
		return;
	for (unsigned i = 0; i < sizeof(needed_secrets) / sizeof(*needed_secrets); i++)
		secret(d, needed_secrets[i], uid);
	each_secret(d, "partner.*", secret, uid);
	each_secret(d, "alert.*", secret, uid);
}

/* When the key that signs was made, by its id. One without a date is at least as old as its file, whose time
 * changes only when another key signs (keys_here.c). */
static int64_t made_s(const char *path, char id[KEYS_ID_BYTES], bool *exact)
{
	keys_ring_t *ring = NULL;
	struct stat st;
	int64_t made;

	if (access(path, R_OK) != 0 || stat(path, &st) != 0 || keys_load(path, &ring) != ERR_OK)
		return 0; /* that is the check `secrets` */
	keys_current_id(ring, id);
	keys_free(&ring);
	made = rings_key_made_s(id);
	*exact = made > 0;
	return *exact ? made : (int64_t)st.st_mtime;
}

static void ring_age(doctor_t *d, const char *name, uid_t uid)
{
	const int64_t most = conf_i(verb_conf(), CONF_KEYS_ROTATE_DAYS);
	char path[PATH_BYTES], id[KEYS_ID_BYTES];
	bool exact;
	int64_t made, days;

	(void)uid;
	snprintf(path, sizeof(path), "%s/%s", conf_s(verb_conf(), CONF_SECRETS), name);
	made = made_s(path, id, &exact);
	if (made == 0)
		return;
	days = (clk_wall_ms() / 1000 - made) / DAY_S;
	if (days >= most)
		doctor_bad(d, "%s: the key %s is %s%lld days old, %lld is the limit", name, id,
			exact ? "" : "at least ", (long long)days, (long long)most);
	else if (days >= most - ROTATION_WARN_DAYS)
		doctor_note(d, "%s: the key %s is %s%lld days old and due in %lld days", name, id,
			exact ? "" : "at least ", (long long)days, (long long)(most - days));
}

void doctor_rotation(doctor_t *d)
{
	each_secret(d, "*.keys", ring_age, 0);
}

static void space(doctor_t *d, const char *path)
{
	struct statvfs v;
	unsigned room, inodes;

	if (!*path || statvfs(path, &v) != 0 || v.f_blocks == 0)
		return; /* that it is not there is another check's */
	room = (unsigned)(100 * v.f_bavail / v.f_blocks);
	inodes = v.f_files ? (unsigned)(100 * v.f_favail / v.f_files) : 100;
	if (room < FREE_BAD_PERCENT || inodes < FREE_BAD_PERCENT)
		doctor_bad(d, "%s: %u %% of the space and %u %% of the inodes are free", path, room,
			inodes);
	else if (room < FREE_NOTE_PERCENT || inodes < FREE_NOTE_PERCENT)
		doctor_note(d, "%s: %u %% of the space and %u %% of the inodes are free", path,
			room, inodes);
}

void doctor_disk(doctor_t *d)
{
	static const conf_id folders[] = {
		CONF_METRICS_DIR, CONF_WINS_DIR, CONF_RECON_FOLDER, CONF_AGE_FOLDER};

	space(d, verb_state());
	for (unsigned i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		space(d, conf_s(verb_conf(), folders[i]));
}

static bool read_number(const char *path, long *out)
{
	FILE *f = fopen(path, "re");
	bool got = f && fscanf(f, "%ld", out) == 1;

	if (f)
		fclose(f);
	return got;
}

void doctor_kernel(doctor_t *d)
{
	struct timex t = {.modes = 0};
	long most = 0;

	if (read_number("/proc/sys/net/core/somaxconn", &most) && most < BACKLOG)
		doctor_bad(d, "net.core.somaxconn is %ld, below the %d that our sockets ask for",
			most, BACKLOG);
	if (adjtimex(&t) == TIME_ERROR)
		doctor_note(d, "the kernel's clock is not synchronised (adjtimex)");
}

/* What nginx may open to a program: idle connections of its two workers, and requests of both kinds; libfcgi
 * takes two files for each. And as much again for databases, queues and calls. */
static long files_needed(void)
{
	const conf_t *c = verb_conf();
	const long per_nginx = 2 * (2 * (long)conf_i(c, CONF_HTTP_KEEPALIVE) +
					   (long)conf_i(c, CONF_HTTP_UPSTREAM_MAX));

	return 1024 + 2 * per_nginx * (long)verb_topology()->nginx_count;
}

/* Whether a process is a program of ours, started with this configuration. */
static bool is_ours(const char *pid, char name[16])
{
	char path[64], text[4096];
	FILE *f;
	size_t n;
	bool ours = false;

	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	f = fopen(path, "re");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = '\0';
	for (const char *at = text; n > 0 && at < text + n && !ours; at += strlen(at) + 1)
		ours = strcmp(at, verb_config()) == 0;
	snprintf(name, 16, "%s", strrchr(text, '/') ? strrchr(text, '/') + 1 : text);
	return ours && fnmatch("hb-*", name, 0) == 0;
}

static long files_of(const char *pid)
{
	char path[64], line[256];
	long soft = 0, hard = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/limits", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Max open files %ld %ld", &soft, &hard) == 2)
			break;
	if (f)
		fclose(f);
	return hard;
}

void doctor_files(doctor_t *d)
{
	DIR *dir = opendir("/proc");
	const long need = files_needed();
	const struct dirent *e;
	char name[16];

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || !is_ours(e->d_name, name))
			continue;
		const long hard = files_of(e->d_name);
		if (hard > 0 && hard < need)
			doctor_bad(d, "%s (pid %s) may open %ld files, and may need %ld", name,
				e->d_name, hard, need);
	}
	closedir(dir);
}

static void flags_of(doctor_t *d, const char *site)
{
	flags_wish wish[FLAGS_COUNT];
	char path[PATH_BYTES], why[CFG_WHY_BYTES];
	char *text;

	snprintf(path, sizeof(path), "%s/live/%s/flags.cfg", verb_state(), site);
	text = cfg_slurp(path, why);
	if (!text || flags_parse(path, text, wish, why) != ERR_OK) {
		doctor_bad(d, "%s", why);
		free(text);
		return;
	}
	for (unsigned i = 0; i < FLAGS_COUNT; i++)
		if (wish[i].given && wish[i].expires_at_ms && wish[i].expires_at_ms < clk_wall_ms())
			doctor_note(d, "%s: %s has expired, and is on again", path,
				flags_table()[i].name);
	free(text);
}

void doctor_flags(doctor_t *d)
{
	const topology_t *t = verb_topology();

	for (unsigned i = 0; i < t->site_count; i++)
		if (doctor_site_here(t->site[i].name))
			flags_of(d, t->site[i].name);
}

static void live_of(
	doctor_t *d, const topology_cell *cell, const control_record *r, const char *site)
{
	char path[PATH_BYTES], is[LIVE_BYTES], wanted[LIVE_BYTES];

	snprintf(path, sizeof(path), "%s/live/%s/%s.cfg", verb_state(), site, cell->name);
	snprintf(wanted, sizeof(wanted), "epoch = %lluL;\nprimary = \"%s\";\n",
		(unsigned long long)r->epoch, r->primary);
	if (!live_text(path, is))
		doctor_bad(d, "%s is not there, so its programs are standbys", path);
	else if (strcmp(is, wanted) != 0)
		doctor_bad(d, "%s is not as the record: epoch %llu, primary %s", path,
			(unsigned long long)r->epoch, r->primary);
}

void doctor_live(doctor_t *d)
{
	const topology_t *t = verb_topology();

	for (unsigned c = 0; c < t->cell_count; c++) {
		const topology_cell *cell = &t->cell[c];
		control_record r;

		if (!doctor_record(cell, &r)) {
			doctor_skip(d, "cell %s has no readable record", cell->name);
			continue;
		}
		for (unsigned i = 0; i < cell->member_count; i++)
			if (doctor_here(cell->member[i].host))
				live_of(d, cell, &r, cell->member[i].site);
	}
}
