/* hbctl doctor: the cells' databases, caches and control records. What a setting must be is what
 * units/production/mariadb.cnf says, and why: an acknowledged claim is on two disks. */
#include "units/doctor.h"
#include "units/role.h"
#include "units/schema.h"

#include "base/clk.h"
#include "base/keys.h"
#include "domain/db_users.h"
#include "store/cache.h"
#include "store/endpoints.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SKEW_MS = 500, VALUE_BYTES = 512, CACHE_MS = 1000 };

/* ---- etcd ---- */

static void endpoint(doctor_t *d, const char *url)
{
	control_t *c = NULL;
	control_record r;
	err_t e = control_new(url, "/hongbao/", DOCTOR_IO_MS, &c);

	if (e == ERR_OK)
		e = control_get(c, verb_topology()->cell[0].name, &r);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		doctor_bad(d, "%s does not answer, or has no majority", url);
	control_free(&c);
}

static void record_of(doctor_t *d, const topology_cell *cell)
{
	control_record r;
	err_t e = control_get(verb_control(), cell->name, &r);

	if (e != ERR_OK) {
		doctor_bad(d, "cell %s: %s", cell->name,
			e == ERR_NOT_FOUND ? "there is no control record" : err_title(e));
		return;
	}
	if (!topology_member_at(cell, r.primary))
		doctor_bad(d, "cell %s: the primary %s is no member of the topology", cell->name,
			r.primary);
	if (!control_in_sync(&r, r.primary))
		doctor_bad(d, "cell %s: the primary is not among those in sync", cell->name);
	for (unsigned i = 0; i < r.in_sync_count; i++)
		if (!topology_member_at(cell, r.in_sync[i]))
			doctor_bad(d, "cell %s: %s is in sync and no member of the topology",
				cell->name, r.in_sync[i]);
	if (r.protection != CONTROL_PROTECTED)
		doctor_bad(d, "cell %s is UNPROTECTED: its commits are on one disk", cell->name);
	else if (r.in_sync_count < 2)
		doctor_bad(d, "cell %s: no replica is counted on", cell->name);
	if (r.change != CONTROL_STEADY)
		doctor_bad(d, "cell %s: a change of its primary is under way", cell->name);
}

void doctor_etcd(doctor_t *d)
{
	const topology_t *t = verb_topology();
	endpoints_t at;

	if (endpoints_read(t->etcd, &at) != ERR_OK) {
		doctor_bad(d, "the topology's etcd is no list of addresses");
		return;
	}
	for (unsigned i = 0; i < at.count; i++)
		endpoint(d, at.url[i]);
	for (unsigned i = 0; i < t->cell_count; i++)
		record_of(d, &t->cell[i]);
}

/* ---- MariaDB ---- */

/* `is`: the value; `has`: each of these words; `least`: a number from there on. */
static const struct {
	const char *name;
	enum { IS, HAS, LEAST } how;
	const char *wanted;
} settings[] = {
	{"SYNC_BINLOG", IS, "1"},
	{"INNODB_FLUSH_LOG_AT_TRX_COMMIT", IS, "1"},
	{"INNODB_DOUBLEWRITE", IS, "ON"},
	{"INNODB_ROLLBACK_ON_TIMEOUT", IS, "ON"},
	{"INNODB_STRICT_MODE", IS, "ON"},
	{"DEFAULT_STORAGE_ENGINE", IS, "InnoDB"},
	{"LOG_BIN", IS, "ON"},
	{"LOG_SLAVE_UPDATES", IS, "ON"},
	{"BINLOG_FORMAT", IS, "ROW"},
	{"BINLOG_ROW_IMAGE", IS, "MINIMAL"},
	{"GTID_STRICT_MODE", IS, "ON"},
	{"RELAY_LOG_RECOVERY", IS, "ON"},
	{"RPL_SEMI_SYNC_MASTER_WAIT_POINT", IS, "AFTER_SYNC"},
	{"RPL_SEMI_SYNC_MASTER_TIMEOUT", LEAST, "4294967295"},
	{"RPL_SEMI_SYNC_MASTER_WAIT_NO_SLAVE", IS, "ON"},
	{"SQL_MODE", HAS,
		"STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
		"NO_ENGINE_SUBSTITUTION"},
	{"TX_ISOLATION", IS, "READ-COMMITTED"},
	{"CHARACTER_SET_SERVER", IS, "utf8mb4"},
	{"COLLATION_SERVER", IS, "utf8mb4_bin"},
};

static bool has_word(const char *list, const char *word, size_t n)
{
	for (const char *at = list; *at; at += *at == ',') {
		const size_t len = strcspn(at, ",");

		if (len == n && !strncmp(at, word, n))
			return true;
		at += len;
	}
	return false;
}

static bool fits(unsigned i, const char *value)
{
	const char *wanted = settings[i].wanted;
	bool fit = true;

	if (settings[i].how == IS)
		return !strcmp(value, wanted);
	if (settings[i].how == LEAST)
		return strtoull(value, NULL, 10) >= strtoull(wanted, NULL, 10);
	for (const char *at = wanted; *at && fit; at += *at == ',') {
		const size_t n = strcspn(at, ",");

		fit = has_word(value, at, n);
		at += n;
	}
	return fit;
}

static void judge_setting(doctor_t *d, const topology_cell *cell, const topology_member *m,
	const char *name, const char *value)
{
	static const char *const relation[] = {[IS] = "", [HAS] = "with ", [LEAST] = "at least "};

	for (unsigned i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (!strcmp(settings[i].name, name) && !fits(i, value))
			doctor_bad(d, "%s %s: %s is %s, must be %s%s", cell->name, m->site, name,
				value, relation[settings[i].how], settings[i].wanted);
}

static void settings_of(doctor_t *d, const topology_cell *cell, const topology_member *m, db_t *db)
{
	db_rows_t *rows = NULL;

	if (db_select(db, SQL_UNITS_SETTINGS, DB_NONE, &rows) != ERR_OK) {
		doctor_bad(d, "%s %s does not say its settings", cell->name, m->site);
		return;
	}
	while (db_rows_next(rows))
		judge_setting(d, cell, m, db_rows_s(rows, 0, NULL), db_rows_s(rows, 1, NULL));
	db_rows_free(&rows);
}

/* Here as well those that do not answer are said, which the other checks pass over. */
void doctor_mariadb(doctor_t *d)
{
	const topology_t *t = verb_topology();

	for (unsigned c = 0; c < t->cell_count; c++)
		for (unsigned i = 0; i < t->cell[c].member_count; i++) {
			const topology_member *m = &t->cell[c].member[i];
			db_t *db = NULL;

			if (role_open(m, DOCTOR_GREET_MS, DOCTOR_IO_MS, &db) != ERR_OK)
				doctor_bad(d, "%s %s (%s:%u) does not answer, or refuses hb_ctl",
					t->cell[c].name, m->site, m->host, (unsigned)m->mysql_port);
			else
				settings_of(d, &t->cell[c], m, db);
			db_close(&db);
		}
}

static void logins_at(
	doctor_t *d, const topology_cell *cell, const topology_member *m, db_t *unused)
{
	(void)unused;
	for (unsigned i = 0; i < DB_USERS_COUNT; i++) {
		const char *user = db_users_name((db_users_id)i);
		db_target t = {.port = m->mysql_port,
			.database = "hongbao",
			.connect_ms = DOCTOR_IO_MS,
			.io_ms = DOCTOR_IO_MS,
			.lock_wait_s = 1};
		char secret[32];
		db_t *db = NULL;

		snprintf(t.host, sizeof(t.host), "%s", m->host);
		snprintf(t.user, sizeof(t.user), "%s", user);
		snprintf(secret, sizeof(secret), "db.%s", user);
		if (verb_secret(secret, t.password, sizeof(t.password)) != ERR_OK)
			continue; /* that is the check `secrets` */
		if (db_open(&t, &db) != ERR_OK)
			doctor_bad(d, "%s %s: %s cannot log in with secrets/%s", cell->name,
				m->site, user, secret);
		db_close(&db);
	}
}

void doctor_logins(doctor_t *d)
{
	doctor_members(d, logins_at);
}

static void role_of(doctor_t *d, const topology_cell *cell, const control_record *r,
	const topology_member *m, const role_view *v)
{
	const topology_member *primary = topology_member_at(cell, r->primary);

	if (m == primary) {
		if (v->read_only)
			doctor_bad(
				d, "%s %s is the primary and takes no writes", cell->name, m->site);
		if (r->protection == CONTROL_PROTECTED &&
			(!v->semi_sync_master || v->semi_sync_clients < 1))
			doctor_bad(d,
				"%s %s waits for no acknowledgement: semi-sync is %s, %lld "
				"acknowledge",
				cell->name, m->site, v->semi_sync_master ? "on" : "off",
				(long long)v->semi_sync_clients);
		return;
	}
	if (!v->read_only)
		doctor_bad(d, "%s %s is a replica and takes writes", cell->name, m->site);
	if (!control_in_sync(r, m->site))
		doctor_note(d, "%s %s is not counted on: hbctl cells readmit", cell->name, m->site);
	else if (!primary || !role_follows(v, primary) || !v->receiving || !v->applying)
		doctor_bad(d, "%s %s does not follow the primary at %s (errors %u and %u)",
			cell->name, m->site, r->primary, v->receive_error, v->apply_error);
	else if (!v->acknowledges)
		doctor_bad(d, "%s %s is counted on and does not acknowledge", cell->name, m->site);
}

static void replication_of(
	doctor_t *d, const topology_cell *cell, const topology_member *m, db_t *db)
{
	control_record r;
	role_view v;
	uint64_t epoch = 0;

	if (!doctor_record(cell, &r)) {
		doctor_skip(d, "cell %s has no readable record", cell->name);
		return;
	}
	if (role_read(db, &v) != ERR_OK) {
		doctor_bad(d, "%s %s does not say what it is", cell->name, m->site);
		return;
	}
	role_of(d, cell, &r, m, &v);
	if (role_epoch(db, &epoch) == ERR_OK && epoch && epoch != r.epoch)
		doctor_bad(d, "%s %s has epoch %llu in its tables, the record %llu", cell->name,
			m->site, (unsigned long long)epoch, (unsigned long long)r.epoch);
}

void doctor_replication(doctor_t *d)
{
	doctor_members(d, replication_of);
}

/* The server's clock is read between two looks at ours. */
static void clock_of(doctor_t *d, const topology_cell *cell, const topology_member *m, db_t *db)
{
	const int64_t before_ms = clk_wall_ms();
	db_rows_t *rows = NULL;
	int64_t theirs_ms, after_ms;

	if (db_select(db, SQL_UNITS_CLOCK, DB_NONE, &rows) != ERR_OK)
		return;
	after_ms = clk_wall_ms();
	theirs_ms = db_rows_next(rows) ? db_rows_i(rows, 0) : 0;
	db_rows_free(&rows);
	if (theirs_ms < before_ms - SKEW_MS || theirs_ms > after_ms + SKEW_MS)
		doctor_bad(d, "%s %s (%s): its clock is %lld ms off ours", cell->name, m->site,
			m->host, (long long)(theirs_ms - before_ms));
}

void doctor_clocks(doctor_t *d)
{
	doctor_members(d, clock_of);
}

typedef struct {
	doctor_t *d;
	const topology_cell *cell;
} pending;

static void on_pending(void *ctx, const char *name, bool begun)
{
	const pending *p = ctx;

	doctor_bad(p->d, "cell %s: %s %s", p->cell->name, name,
		begun ? "was broken off" : "has not been applied");
}

static void schema_at(doctor_t *d, const topology_cell *cell, const topology_member *m, db_t *db)
{
	pending p = {d, cell};
	control_record r;

	if (!doctor_record(cell, &r) || strcmp(r.primary, m->site) != 0)
		return;
	if (schema_pending(db, on_pending, &p) != ERR_OK)
		doctor_bad(d, "cell %s: no migration has been applied", cell->name);
}

void doctor_schema(doctor_t *d)
{
	doctor_members(d, schema_at);
}

/* ---- memcached ---- */

static void cache_at(doctor_t *d, const topology_cell *cell, const topology_member *m)
{
	static const char key[] = "hongbao.doctor";
	uint64_t sent = (uint64_t)clk_wall_ms(), got = 0;
	size_t n = sizeof(got);
	cache_t *c = NULL;
	/* Of two questions: it never opens. */
	const breaker_conf breaker = {.of = BREAKER_MEMCACHED,
		.window_ms = CACHE_MS,
		.min_calls = 3,
		.error_percent = 100,
		.slow_percent = 100,
		.open_ms = CACHE_MS,
		.probes = 1};
	err_t e = cache_new(m->host, m->memcached_port, CACHE_MS, &breaker, 1, &c);

	if (e == ERR_OK)
		e = cache_set(c, key, &sent, sizeof(sent), 60);
	if (e == ERR_OK)
		e = cache_get(c, key, &got, &n);
	if (e != ERR_OK || n != sizeof(got) || got != sent)
		doctor_bad(d, "%s %s: memcached at %s:%u does not give back what it was given",
			cell->name, m->site, m->host, (unsigned)m->memcached_port);
	if (c)
		cache_free(&c);
}

void doctor_memcached(doctor_t *d)
{
	const topology_t *t = verb_topology();

	for (unsigned c = 0; c < t->cell_count; c++)
		for (unsigned i = 0; i < t->cell[c].member_count; i++)
			cache_at(d, &t->cell[c], &t->cell[c].member[i]);
}
