/* STOP SLAVE of a semi-synchronous replica logs in at its primary to end the sending there, and waits
 * for that as long as rpl_semi_sync_slave_kill_conn_timeout says (5 s by default, 24 s measured at 0);
 * at 1 s a stopped primary holds nobody up for longer. `SET GLOBAL read_only` and `STOP SLAVE` take
 * what time the server's threads need, which the connection's time-out bounds. */
#include "units/role.h"

#include "units/gtid.h"
#include "units/verb.h"

#include "base/clk.h"
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Columns of SHOW SLAVE STATUS, which has no other form in 10.11. */
enum {
	COL_HOST = 1,
	COL_PORT = 3,
	COL_IO_RUNNING = 10,
	COL_SQL_RUNNING = 11,
	COL_IO_ERRNO = 34,
	COL_SQL_ERRNO = 36,
	COL_GTID_IO_POS = 43,
};

static uint16_t greeting_port(const topology_member *m)
{
	return m->mysql_extra_port ? m->mysql_extra_port : m->mysql_port;
}

/* A socket on its way to being connected; -1 when it cannot be. */
static int connecting(const topology_member *m)
{
	struct addrinfo want = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
	char port[8];
	int fd = -1;

	snprintf(port, sizeof(port), "%u", (unsigned)greeting_port(m));
	if (getaddrinfo(m->host, port, &want, &found) == 0)
		fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		(void)connect(fd, found->ai_addr, found->ai_addrlen);
	if (found)
		freeaddrinfo(found);
	return fd;
}

bool role_greets(const topology_member *m, int64_t timeout_ms)
{
	struct pollfd p = {.fd = connecting(m), .events = POLLIN};
	char byte;
	bool greets = p.fd >= 0 && poll(&p, 1, (int)timeout_ms) == 1 &&
		      recv(p.fd, &byte, 1, MSG_PEEK) == 1;

	if (p.fd >= 0)
		close(p.fd);
	return greets;
}

err_t role_open(const topology_member *m, int64_t greet_ms, int64_t io_ms, db_t **out)
{
	if (!role_greets(m, greet_ms))
		return ERR_CELL_UNAVAILABLE;
	return verb_db(m, "hongbao", io_ms, out);
}

static void copy_text(const db_rows_t *rows, unsigned col, char *out, size_t room)
{
	const char *text = db_rows_s(rows, col, NULL);

	snprintf(out, room, "%s", text ? text : "");
}

static bool is_yes(const db_rows_t *rows, unsigned col)
{
	const char *text = db_rows_s(rows, col, NULL);

	return text && !strcmp(text, "Yes");
}

/* Without a row it follows nobody. */
static err_t read_following(db_t *db, role_view *out)
{
	db_rows_t *rows = NULL;
	err_t e = db_select(db, SQL_UNITS_SLAVE_STATUS, DB_NONE, &rows);

	if (e != ERR_OK)
		return e;
	out->follows = db_rows_next(rows);
	if (out->follows) {
		copy_text(rows, COL_HOST, out->primary_host, sizeof(out->primary_host));
		out->primary_port = (uint16_t)db_rows_u(rows, COL_PORT);
		out->receiving = is_yes(rows, COL_IO_RUNNING);
		out->applying = is_yes(rows, COL_SQL_RUNNING);
		out->receive_error = (unsigned)db_rows_u(rows, COL_IO_ERRNO);
		out->apply_error = (unsigned)db_rows_u(rows, COL_SQL_ERRNO);
		copy_text(rows, COL_GTID_IO_POS, out->received, sizeof(out->received));
	}
	db_rows_free(&rows);
	return ERR_OK;
}

err_t role_read(db_t *db, role_view *out)
{
	db_rows_t *rows = NULL;
	err_t e = db_select(db, SQL_UNITS_MEMBER_STATE, DB_NONE, &rows);

	if (e != ERR_OK)
		return e;
	BUG_ON(!db_rows_next(rows));
	*out = (role_view){.read_only = db_rows_i(rows, 0) != 0,
		.semi_sync_master = db_rows_i(rows, 3) != 0,
		.semi_sync_clients = db_rows_i(rows, 4),
		.acknowledges = db_rows_i(rows, 5) != 0,
		.stands_by = db_rows_i(rows, 6) != 0};
	copy_text(rows, 1, out->binlog_pos, sizeof(out->binlog_pos));
	copy_text(rows, 2, out->slave_pos, sizeof(out->slave_pos));
	db_rows_free(&rows);
	return read_following(db, out);
}

bool role_follows(const role_view *v, const topology_member *primary)
{
	return v->follows && v->primary_port == primary->mysql_port &&
	       !strcmp(v->primary_host, primary->host);
}

static err_t one_number(db_t *db, sql_id id, int64_t *out)
{
	db_rows_t *rows = NULL;
	err_t e = db_select(db, id, DB_NONE, &rows);

	if (e != ERR_OK)
		return e;
	*out = db_rows_next(rows) ? db_rows_i(rows, 0) : 0;
	db_rows_free(&rows);
	return ERR_OK;
}

err_t role_lock(db_t *db)
{
	int64_t got = 0;
	err_t e = db_exec(db, SQL_UNITS_ROLE_LOCK_ENDS, DB_NONE, NULL);

	if (e == ERR_OK)
		e = one_number(db, SQL_UNITS_ROLE_LOCK, &got);
	if (e == ERR_OK && got != 1)
		e = ERR_DB_RETRY;
	return e;
}

err_t role_unlock(db_t *db)
{
	int64_t got = 0;

	return one_number(db, SQL_UNITS_ROLE_UNLOCK, &got);
}

static err_t run_all(db_t *db, const sql_id *ids, unsigned n)
{
	err_t e = ERR_OK;

	for (unsigned i = 0; i < n && e == ERR_OK; i++)
		e = db_exec(db, ids[i], DB_NONE, NULL);
	return e;
}

#define RUN(db, ...)                                                                               \
	run_all(db, (const sql_id[]){__VA_ARGS__},                                                 \
		sizeof((const sql_id[]){__VA_ARGS__}) / sizeof(sql_id))

err_t role_stop_receiving(db_t *db)
{
	return RUN(db, SQL_UNITS_SEMI_SYNC_KILL_WAIT, SQL_UNITS_RECEIVE_STOP);
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
		"MASTER_PASSWORD='%s', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos",
		primary->host, (unsigned)primary->mysql_port, password);
	BUG_ON(n < 0 || (size_t)n >= sizeof(sql));
	return db_script(db, sql, (size_t)n, NULL, NULL);
}

/* What it wrote as primary counts as what it has applied. MASTER_DEMOTE_TO_SLAVE would see to that only
 * for a server whose number is still the one it wrote under (units/member.c). The binlog of one that
 * was rebuilt is empty, and its position came with the copy. */
static err_t count_own(db_t *db)
{
	role_view v;
	err_t e = role_read(db, &v);

	if (e != ERR_OK || !*v.binlog_pos || !gtid_covers(v.binlog_pos, v.slave_pos) ||
		gtid_covers(v.slave_pos, v.binlog_pos))
		return e;
	return db_exec(db, SQL_UNITS_SLAVE_POS_OWN, DB_NONE, NULL);
}

static err_t be_replica(db_t *db, sql_id semi_sync)
{
	err_t e = RUN(db, SQL_UNITS_READ_ONLY, SQL_UNITS_SEMI_SYNC_KILL_WAIT, SQL_UNITS_SLAVE_STOP,
		SQL_UNITS_SEMI_SYNC_MASTER_OFF, semi_sync);

	return e == ERR_OK ? count_own(db) : e;
}

static err_t follow(db_t *db, const topology_member *primary, sql_id kept)
{
	err_t e = RUN(db, kept);

	if (e == ERR_OK)
		e = be_replica(db, SQL_UNITS_SEMI_SYNC_SLAVE_ON);
	if (e == ERR_OK)
		e = change_master(db, primary);
	return e == ERR_OK ? RUN(db, SQL_UNITS_SLAVE_START) : e;
}

err_t role_follow(db_t *db, const topology_member *primary)
{
	return follow(db, primary, SQL_UNITS_SEMI_SYNC_SLAVE_KEPT);
}

err_t role_follow_anew(db_t *db, const topology_member *primary)
{
	return follow(db, primary, SQL_UNITS_SEMI_SYNC_SLAVE_ANEW);
}

err_t role_stand_by(db_t *db)
{
	err_t e = be_replica(db, SQL_UNITS_SEMI_SYNC_SLAVE_OFF);

	return e == ERR_OK ? RUN(db, SQL_UNITS_SLAVE_RESET, SQL_UNITS_STANDS_BY) : e;
}

err_t role_caught_up(db_t *db)
{
	return RUN(db, SQL_UNITS_SEMI_SYNC_SLAVE_KEPT);
}

err_t role_receive_again(db_t *db)
{
	return RUN(db, SQL_UNITS_RECEIVE_START);
}

err_t role_take_over(db_t *db, bool waits_for_ack)
{
	role_view v;
	err_t e = role_read(db, &v);

	if (e != ERR_OK || (!v.follows && v.semi_sync_master == waits_for_ack))
		return e;
	return RUN(db, SQL_UNITS_SEMI_SYNC_KILL_WAIT, SQL_UNITS_SLAVE_STOP, SQL_UNITS_SLAVE_RESET,
		SQL_UNITS_SEMI_SYNC_SLAVE_OFF,
		waits_for_ack ? SQL_UNITS_SEMI_SYNC_MASTER_ON : SQL_UNITS_SEMI_SYNC_MASTER_OFF);
}

err_t role_acknowledged(const topology_member *m, int64_t io_ms, uint64_t epoch)
{
	db_t *db = NULL;
	uint64_t raised = 0;
	role_view v;
	err_t e = verb_db(m, "hongbao", io_ms, &db);

	if (e == ERR_OK)
		e = role_read(db, &v);
	if (e == ERR_OK)
		e = db_exec(db, SQL_UNITS_EPOCH_RAISE, DB_ARGS(db_u(epoch), db_u(epoch)), &raised);
	if (e == ERR_OK && raised == 0 && v.read_only) /* an update of nothing waits for nobody */
		e = db_exec(db, SQL_UNITS_BEAT, DB_NONE, NULL);
	db_close(&db);
	return e;
}

err_t role_writable(db_t *db)
{
	return RUN(db, SQL_UNITS_WRITABLE);
}

err_t role_epoch(db_t *db, uint64_t *out)
{
	int64_t epoch = 0;
	err_t e = one_number(db, SQL_UNITS_EPOCH_NUMBER, &epoch);

	if (e == ERR_OK)
		*out = (uint64_t)epoch;
	return e;
}
