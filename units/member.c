/* hbctl member run: how a mariadbd is started. The supervisor never decides a role; the control
 * record does, and while etcd cannot be asked nothing is started. The primary starts read-only with
 * its binlog kept and takes writes only once a replica has its whole position: a killed primary may
 * hold commits that nobody but its replica knows, or that nobody else knows at all. Everybody else
 * starts as a replica, drops what nobody was told (--init-rpl-role=SLAVE), and follows the primary.
 *
 * This process becomes the server, so that the supervisor watches the server itself; a child, the
 * settler, waits until it answers, gives it its role, and ends. It dies with the server. */
#include "units/gtid.h"
#include "units/verb.h"

#include "base/clk.h"
#include "base/logger.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ASK_EVERY_MS = 300,
	LOOK_EVERY_MS = 150,
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

static bool in_sync(const control_record *r, const char *site)
{
	for (unsigned i = 0; i < r->in_sync_count; i++)
		if (!strcmp(r->in_sync[i], site))
			return true;
	return false;
}

/* Asks until the record answers: a guess here can lose acknowledged commits. */
static void ask_role(post *p)
{
	control_t *control;
	err_t e, told = ERR_OK;

	BUG_ON(control_new(verb_topology()->etcd, "/hongbao/", 2000, &control) != ERR_OK);
	while ((e = control_get(control, p->cell->name, &p->record)) != ERR_OK) {
		if (e != told)
			LOG(WARN, "member.no_record", {"error", LOG_E(e)});
		told = e;
		clk_sleep_ms(ASK_EVERY_MS);
	}
	control_free(&control);
	p->primary = !strcmp(p->record.primary, p->member->site);
}

static bool listens(const topology_member *m)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(m->mysql_port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 && inet_pton(AF_INET, m->host, &to.sin_addr) == 1 &&
		   connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

/* Our own server, as soon as it answers. */
static db_t *own_db(const post *p)
{
	db_t *db = NULL;

	while (!listens(p->member) || verb_db(p->member, "", SETTLE_IO_MS, &db) != ERR_OK)
		clk_sleep_ms(LOOK_EVERY_MS);
	return db;
}

err_t verb_member_read(db_t *db, verb_member *out)
{
	db_rows_t *rows = NULL;
	err_t e = db_select(db, SQL_UNITS_MEMBER_STATE, DB_NONE, &rows);

	if (e != ERR_OK)
		return e;
	BUG_ON(!db_rows_next(rows));
	out->read_only = db_rows_i(rows, 0) != 0;
	snprintf(out->binlog_pos, sizeof(out->binlog_pos), "%s", db_rows_s(rows, 1, NULL));
	snprintf(out->slave_pos, sizeof(out->slave_pos), "%s", db_rows_s(rows, 2, NULL));
	out->semi_sync_master = db_rows_i(rows, 3) != 0;
	out->semi_sync_clients = db_rows_i(rows, 4);
	db_rows_free(&rows);
	return ERR_OK;
}

/* Whether this replica has applied exactly what the primary has. One that has more shows that two
 * servers have written: never a reason to go on. */
static bool replica_has_all(const topology_member *m, const verb_member *primary)
{
	db_t *db = NULL;
	verb_member replica;
	bool has = false;

	if (!listens(m) || verb_db(m, "", LOOK_IO_MS, &db) != ERR_OK)
		return false;
	if (verb_member_read(db, &replica) == ERR_OK) {
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

static bool some_replica_has_all(const post *p, const verb_member *primary)
{
	for (unsigned i = 0; i < p->cell->member_count; i++) {
		const topology_member *m = &p->cell->member[i];

		if (m != p->member && in_sync(&p->record, m->site) && replica_has_all(m, primary))
			return true;
	}
	return false;
}

/* A failover may have happened while we waited. The server that then is not the primary's is ended
 * at once; started again, it asks for its role. */
static void still_primary_or_end(const post *p)
{
	control_record now;

	while (control_get(verb_control(), p->cell->name, &now) != ERR_OK)
		clk_sleep_ms(ASK_EVERY_MS);
	if (now.epoch == p->record.epoch && !strcmp(now.primary, p->member->site))
		return;
	LOG(ERROR, "member.deposed", {"primary", LOG_S(now.primary)}, {"epoch", LOG_U(now.epoch)});
	kill(getppid(), SIGKILL);
	exit(VERB_REFUSED);
}

static err_t settle_primary(const post *p, db_t *db)
{
	verb_member self;
	err_t e = db_exec(db, SQL_UNITS_SEMI_SYNC_MASTER_ON, DB_NONE, NULL);

	while (e == ERR_OK) {
		bool ready;

		e = verb_member_read(db, &self);
		ready = e == ERR_OK && self.semi_sync_clients > 0 && some_replica_has_all(p, &self);
		still_primary_or_end(p);
		if (ready)
			return db_exec(db, SQL_UNITS_WRITABLE, DB_NONE, NULL);
		clk_sleep_ms(LOOK_EVERY_MS);
	}
	return e;
}

/* CHANGE MASTER takes no parameters; what goes into its text is checked to need no quoting. */
static bool plain(const char *s)
{
	return *s &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
		       strlen(s);
}

static err_t change_master(db_t *db, const topology_member *primary)
{
	char sql[512], password[80];
	err_t e = verb_secret("db.hb_repl", password, sizeof(password));
	int n;

	if (e != ERR_OK)
		return e;
	if (!plain(password) || !plain(primary->host))
		return ERR_CONFIG_INVALID;
	n = snprintf(sql, sizeof(sql),
		"CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%u, MASTER_USER='hb_repl', "
		"MASTER_PASSWORD='%s', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos, "
		"MASTER_DEMOTE_TO_SLAVE=1",
		primary->host, (unsigned)primary->mysql_port, password);
	BUG_ON(n < 0 || (size_t)n >= sizeof(sql));
	return db_script(db, sql, (size_t)n, NULL, NULL);
}

/* A member that the record does not count as in sync follows without acknowledging: it must be
 * readmitted first. */
static err_t settle_replica(const post *p, db_t *db)
{
	const topology_member *primary = topology_member_at(p->cell, p->record.primary);
	err_t e;

	if (!primary)
		return ERR_CONFIG_INVALID;
	e = db_exec(db, SQL_UNITS_SLAVE_STOP, DB_NONE, NULL);
	if (e == ERR_OK)
		e = change_master(db, primary);
	if (e == ERR_OK && in_sync(&p->record, p->member->site))
		e = db_exec(db, SQL_UNITS_SEMI_SYNC_SLAVE_ON, DB_NONE, NULL);
	if (e == ERR_OK)
		e = db_exec(db, SQL_UNITS_SLAVE_START, DB_NONE, NULL);
	return e;
}

static _Noreturn void settle(const post *p)
{
	err_t e;

	do {
		db_t *db = own_db(p);

		e = p->primary ? settle_primary(p, db) : settle_replica(p, db);
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
static err_t start_settler(const post *p)
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

static const char *const primary_args[] = {"--init-rpl-role=MASTER", "--read-only=1", NULL};
static const char *const replica_args[] = {
	"--init-rpl-role=SLAVE", "--read-only=1", "--skip-slave-start", NULL};

int member_verb(int argc, char **argv)
{
	const char *const *extra;
	char *command[ARGS_MAX];
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
	if (start_settler(&p) != ERR_OK)
		return verb_fail(ERR_INTERNAL, "fork");
	for (int i = 4; i < argc; i++)
		command[n++] = argv[i];
	extra = p.primary ? primary_args : replica_args;
	for (unsigned i = 0; extra[i]; i++)
		command[n++] = (char *)(uintptr_t)extra[i];
	command[n] = NULL;
	execvp(command[0], command);
	fprintf(stderr, "hbctl: cannot run %s: %s\n", command[0], strerror(errno));
	return VERB_FAILED;
}
