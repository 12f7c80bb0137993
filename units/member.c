/* hbctl member run: how a mariadbd is started. The supervisor never decides a role; the control
 * record does, and while etcd cannot be asked nothing is started. The primary starts read-only with
 * its binlog kept and takes writes only once a replica has its whole position: a killed primary may
 * hold commits that nobody but its replica knows, or that nobody else knows at all. Everybody else
 * starts as a replica, drops what nobody was told (--init-rpl-role=SLAVE), and follows the primary.
 *
 * This process becomes the server, so that the supervisor watches the server itself; a child, the
 * settler, waits until it answers, gives it its role, and ends. It dies with the server. */
#include "units/gtid.h"
#include "units/role.h"
#include "units/verb.h"

#include "base/clk.h"
#include "base/logger.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	ASK_EVERY_MS = 300,
	GIVEN_UP_MS = 3000,
	LOOK_EVERY_MS = 150,
	GREET_MS = 1000,
	LOOK_IO_MS = 3000,
	SETTLE_IO_MS = 30000,
	ARGS_MAX = 64
};

typedef struct {
	const topology_cell *cell;
	const topology_member *member;
	control_record record;
	bool primary;
} post;

/* Files beside the go-live file, kept over restarts. */
#define RECOVERING "recovering"
#define HAS_RUN "has-run"

static void note_path(const post *p, const char *note, char out[512])
{
	snprintf(out, 512, "%s/live/%s/%s.%s", verb_state(), p->member->site, p->cell->name, note);
}

static err_t note_write(const post *p, const char *note)
{
	static const char text[] = "written by hbctl member run\n";
	char path[512];

	note_path(p, note, path);
	return verb_write_file(path, text, sizeof(text) - 1);
}

static bool note_is(const post *p, const char *note)
{
	char path[512];

	note_path(p, note, path);
	return access(path, F_OK) == 0;
}

/* A primary's start commits the tail of its binlog in no particular order. Killed in the middle and
 * started as a replica then, it would cut the tail at the first that is missing, and keep what is
 * committed behind it, which nobody could see. So until that start is over, and on disk, a file says
 * so, and only a copy (hbctl cells replicate … rebuild, which removes it) makes a replica of it. */
static err_t recovering_ends(const post *p, db_t *db)
{
	char path[512];
	err_t e = db_exec(db, SQL_UNITS_FLUSH_ENGINES, DB_NONE, NULL);

	note_path(p, RECOVERING, path);
	if (e == ERR_OK && unlink(path) != 0 && errno != ENOENT)
		e = ERR_INTERNAL;
	return e;
}

/* Asks until the record answers: a guess here can lose acknowledged commits. A primary that is being
 * given up is not started before it is known what becomes of it; and one that has run before waits
 * a moment, in which it may be given up, for its start would commit what nobody was told. */
static void ask_role(post *p)
{
	const int64_t began_ms = clk_mono_ms();
	control_t *control;
	err_t e, told = ERR_OK;
	bool wait = true;

	BUG_ON(control_new(verb_topology()->etcd, "/hongbao/", 2000, &control) != ERR_OK);
	while (wait) {
		e = control_get(control, p->cell->name, &p->record);
		if (e != ERR_OK && e != told)
			LOG(WARN, "member.no_record", {"error", LOG_E(e)});
		told = e;
		p->primary = e == ERR_OK && !strcmp(p->record.primary, p->member->site);
		wait = e != ERR_OK ||
		       (p->primary && (p->record.change == CONTROL_FAILING ||
					      (note_is(p, HAS_RUN) &&
						      clk_mono_ms() - began_ms < GIVEN_UP_MS)));
		if (wait)
			clk_sleep_ms(ASK_EVERY_MS);
	}
	control_free(&control);
}

/* Our own server, as soon as it answers. */
static db_t *own_db(const post *p)
{
	db_t *db = NULL;

	while (role_open(p->member, GREET_MS, SETTLE_IO_MS, &db) != ERR_OK)
		clk_sleep_ms(LOOK_EVERY_MS);
	return db;
}

/* Whether this replica has applied exactly what the primary has. One that has more shows that two
 * servers have written: never a reason to go on. */
static bool replica_has_all(const topology_member *m, const role_view *primary)
{
	db_t *db = NULL;
	role_view replica;
	bool has = false;

	if (role_open(m, GREET_MS, LOOK_IO_MS, &db) != ERR_OK)
		return false;
	if (role_read(db, &replica) == ERR_OK) {
		has = gtid_covers(replica.slave_pos, primary->binlog_pos);
		if (has && !gtid_covers(primary->binlog_pos, replica.slave_pos)) {
			LOG(ERROR, "member.replica_ahead", {"site", LOG_S(m->site)},
				{"primary", LOG_S(primary->binlog_pos)},
				{"replica", LOG_S(replica.slave_pos)});
			has = false;
		}
	}
	db_close(&db);
	return has;
}

static bool some_replica_has_all(const post *p, const role_view *primary)
{
	for (unsigned i = 0; i < p->cell->member_count; i++) {
		const topology_member *m = &p->cell->member[i];

		if (m != p->member && control_in_sync(&p->record, m->site) &&
			replica_has_all(m, primary))
			return true;
	}
	return false;
}

static void read_record(post *p)
{
	while (control_get(verb_control(), p->cell->name, &p->record) != ERR_OK)
		clk_sleep_ms(ASK_EVERY_MS);
}

/* A failover may have happened while we waited. The server that then is not the primary's is ended
 * at once; started again, it asks for its role. */
static void still_primary_or_end(const post *p, uint64_t epoch)
{
	if (p->record.epoch == epoch && !strcmp(p->record.primary, p->member->site))
		return;
	LOG(ERROR, "member.deposed", {"primary", LOG_S(p->record.primary)},
		{"epoch", LOG_U(p->record.epoch)});
	kill(getppid(), SIGKILL);
	exit(VERB_REFUSED);
}

/* With the lock held and the record just read. One that was named and died before it took over still
 * has the configuration of its following, but nothing that it had not applied (units/move.c). While a change is under way that gives us up, nobody
 * makes us writable. Without protection the record itself says that no copy is waited for. */
static err_t open_if_ready(const post *p, db_t *db, bool *done)
{
	const bool alone = p->record.protection == CONTROL_UNPROTECTED;
	role_view self;
	err_t e;

	if (p->record.change != CONTROL_STEADY && p->record.change != CONTROL_MOVING)
		return ERR_OK;
	e = role_take_over(db, !alone);
	if (e == ERR_OK)
		e = role_read(db, &self);
	if (e != ERR_OK ||
		!(alone || (self.semi_sync_clients > 0 && some_replica_has_all(p, &self))))
		return e;
	if (p->record.epoch > 1) /* the first epoch is written with the first tables */
		e = role_acknowledged(p->member, LOOK_IO_MS, p->record.epoch);
	if (e == ERR_OK)
		e = role_writable(db);
	*done = e == ERR_OK;
	return e;
}

static err_t settle_primary(post *p, db_t *db)
{
	const uint64_t epoch = p->record.epoch;
	bool done = false;
	err_t e = recovering_ends(p, db);

	while (e == ERR_OK && !done) {
		e = role_lock(db);
		if (e != ERR_OK)
			break;
		read_record(p);
		still_primary_or_end(p, epoch);
		e = open_if_ready(p, db, &done);
		if (e == ERR_OK)
			e = role_unlock(db);
		if (!done)
			clk_sleep_ms(LOOK_EVERY_MS);
	}
	return e;
}

static bool position_of(const topology_member *m, char out[ROLE_POSITION_BYTES])
{
	db_t *db = NULL;
	role_view view;
	bool known =
		role_open(m, GREET_MS, LOOK_IO_MS, &db) == ERR_OK && role_read(db, &view) == ERR_OK;

	if (known)
		snprintf(out, ROLE_POSITION_BYTES, "%s", view.binlog_pos);
	db_close(&db);
	return known;
}

static bool record_changed(const post *p)
{
	control_record now;

	return control_get(verb_control(), p->cell->name, &now) == ERR_OK &&
	       now.revision != p->record.revision;
}

/* Waits until we have received all that the primary had after we were started: what we acknowledged
 * before may be gone with our relay log, so until then we do not count (units/choose.h). False when
 * the record has changed, or our own server is lost. */
static bool catch_up(const post *p, const topology_member *primary, db_t *own)
{
	char goal[ROLE_POSITION_BYTES];
	bool known = false;
	role_view self;

	while (!record_changed(p)) {
		if (role_read(own, &self) != ERR_OK)
			return false;
		known = known || position_of(primary, goal);
		if (known && gtid_covers(self.received, goal))
			return true;
		clk_sleep_ms(LOOK_EVERY_MS);
	}
	return false;
}

/* Under the lock, by the record as it is then. NULL: there is nobody to follow now. */
static err_t follow_as_recorded(post *p, db_t *db, const topology_member **primary)
{
	err_t e = role_lock(db);

	*primary = NULL;
	if (e != ERR_OK)
		return e;
	read_record(p);
	if (p->record.change != CONTROL_FAILING &&
		strcmp(p->record.primary, p->member->site) != 0) {
		*primary = topology_member_at(p->cell, p->record.primary);
		if (!*primary)
			e = ERR_CONFIG_INVALID;
		else if (control_in_sync(&p->record, p->member->site))
			e = role_follow_anew(db, *primary);
		else
			e = role_stand_by(db);
	}
	return e == ERR_OK ? role_unlock(db) : e;
}

/* *done only if the record is still the one by which it has caught up. */
static err_t caught_up_as_recorded(post *p, db_t *db, bool *done)
{
	const int64_t revision = p->record.revision;
	err_t e = role_lock(db);

	if (e != ERR_OK)
		return e;
	read_record(p);
	*done = p->record.revision == revision;
	if (*done)
		e = role_caught_up(db);
	return e == ERR_OK ? role_unlock(db) : e;
}

/* A member that the record does not count as in sync follows nobody: it must be readmitted first, for
 * what it received without acknowledging might be waited for for ever (docs/decisions.md 51). While a
 * failover is under way nobody follows anybody: a replica that came back to the old primary now could
 * acknowledge what the chosen one will never have. When the record has come to name us as primary, hbctl
 * does the rest: this server was chosen as it ran. */
static err_t settle_replica(post *p, db_t *db)
{
	const topology_member *primary;
	bool done = false;
	err_t e = ERR_OK;

	if (note_is(p, RECOVERING)) {
		LOG(ERROR, "member.must_be_rebuilt", {"site", LOG_S(p->member->site)});
		exit(VERB_REFUSED);
	}
	while (e == ERR_OK && !done) {
		e = follow_as_recorded(p, db, &primary);
		if (e != ERR_OK || !strcmp(p->record.primary, p->member->site))
			break;
		if (primary && !control_in_sync(&p->record, p->member->site))
			break;
		if (primary && catch_up(p, primary, db))
			e = caught_up_as_recorded(p, db, &done);
		else
			clk_sleep_ms(LOOK_EVERY_MS);
	}
	return e;
}

static _Noreturn void settle(post *p)
{
	err_t e;

	do {
		db_t *db = own_db(p);

		e = p->primary ? settle_primary(p, db) : settle_replica(p, db);
		if (e == ERR_OK)
			e = note_write(p, HAS_RUN);
		db_close(&db);
		if (e != ERR_OK) {
			LOG(ERROR, "member.not_settled", {"error", LOG_E(e)});
			clk_sleep_ms(ASK_EVERY_MS);
		}
	} while (e != ERR_OK);
	LOG(INFO, "member.settled", {"site", LOG_S(p->member->site)},
		{"role", LOG_S(p->primary ? "primary" : "replica")},
		{"epoch", LOG_U(p->record.epoch)});
	exit(VERB_DONE);
}

/* Nobody reaps the settler in the server, so the kernel must. */
static err_t start_settler(post *p)
{
	pid_t server = getpid(), child;

	signal(SIGCHLD, SIG_IGN);
	child = fork();
	if (child < 0)
		return ERR_INTERNAL;
	if (child > 0)
		return ERR_OK;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != server)
		exit(VERB_FAILED);
	settle(p);
}

static const char *const primary_args[] = {
	"--init-rpl-role=MASTER", "--read-only=1", "--skip-slave-start", NULL};
static const char *const replica_args[] = {
	"--init-rpl-role=SLAVE", "--read-only=1", "--skip-slave-start", NULL};

/* A replica skips, without a word, what bears its own server_id, unless it acknowledges (MDEV-27760). A
 * killed primary whose tail is cut at its start gets that tail from its successor, which may have
 * acknowledged it: so no member starts as a replica under a number that it has written under as
 * primary. It was one in an older epoch than the record's. */
static void server_id_arg(const post *p, char out[40])
{
	const uint64_t id =
		p->record.epoch * TOPOLOGY_MEMBERS_MAX + (uint64_t)(p->member - p->cell->member);

	BUG_ON(id > UINT32_MAX);
	snprintf(out, 40, "--server-id=%llu", (unsigned long long)id);
}

int member_verb(int argc, char **argv)
{
	const char *const *extra;
	char *command[ARGS_MAX], server_id[40];
	unsigned n = 0;
	post p;

	if (argc < 5 || strcmp(argv[3], "--") != 0 || argc > ARGS_MAX - 8)
		return verb_usage("member run CELL SITE -- COMMAND…");
	p.cell = verb_cell(argv[1]);
	p.member = topology_member_at(p.cell, argv[2]);
	if (!p.member) {
		fprintf(stderr, "hbctl: cell %s has no member at \"%s\"\n", argv[1], argv[2]);
		return VERB_USAGE;
	}
	logger_init("hbctl", p.cell->name, 0, LOGGER_INFO);
	ask_role(&p);
	if (p.primary && note_write(&p, RECOVERING) != ERR_OK)
		return verb_fail(ERR_CONFIG_INVALID, "%s/live", verb_state());
	if (start_settler(&p) != ERR_OK)
		return verb_fail(ERR_INTERNAL, "fork");
	for (int i = 4; i < argc; i++)
		command[n++] = argv[i];
	extra = p.primary ? primary_args : replica_args;
	for (unsigned i = 0; extra[i]; i++)
		command[n++] = (char *)(uintptr_t)extra[i];
	server_id_arg(&p, server_id);
	command[n++] = server_id;
	command[n] = NULL;
	execvp(command[0], command);
	fprintf(stderr, "hbctl: cannot run %s: %s\n", command[0], strerror(errno));
	return VERB_FAILED;
}
