/* Counted where the options are, not where the pools are made: whoever adds a connection to a program adds
 * it here, or its last one is refused under load and at no other time. */
#include "domain/db_users.h"

#include <string.h>

enum { PERCENT = 100 };

static const struct {
	const char *name;
	int64_t percent, least;
} users[DB_USERS_COUNT] = {
#define DB_USER(name, percent, least) {#name, percent, least},
#include "domain/db_users.def"
#undef DB_USER
};

static const struct {
	db_users_id user;
	bool waits;
} roles[] = {
#define ROLE(name, waits, user, help, ...) {DB_USERS_##user, waits},
#include "domain/roles.def"
#undef ROLE
};

const char *db_users_name(db_users_id id)
{
	return users[id].name;
}

db_users_id db_users_named(const char *name)
{
	unsigned id = 0;

	while (id < DB_USERS_COUNT && strcmp(users[id].name, name) != 0)
		id++;
	return (db_users_id)id;
}

/* hb_worker.c: a pool of the threads and one more. */
static int64_t of_roles(const conf_t *c, db_users_id user)
{
	int64_t n = 0;

	for (unsigned i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		if (roles[i].user == user)
			n += 1 + (roles[i].waits ? conf_i(c, CONF_WORKER_THREADS) : 1);
	return n;
}

int64_t db_users_open(
	const conf_t *c, const topology_t *t, const topology_member *m, db_users_id id)
{
	switch (id) {
	case DB_USERS_hb_core: /* the pool, the claims' executors, and the lease of numbers */
		return m->core_count *
		       (conf_i(c, CONF_DB_POOL_CORE) + conf_i(c, CONF_CLAIM_EXECUTORS) + 1);
	case DB_USERS_hb_query: /* the pool, and the one that reads the heartbeat */
		return m->query_count * (conf_i(c, CONF_DB_POOL_QUERY) + 1);
	case DB_USERS_hb_rain:
		return m->rain_count * conf_i(c, CONF_DB_POOL_RAIN);
	case DB_USERS_hb_worker: /* and those by which every cell's watch and reconcile look */
		return of_roles(c, id) + 2 * (int64_t)t->cell_count;
	case DB_USERS_hb_age: /* and the one that exports */
		return of_roles(c, id) + 1;
	case DB_USERS_COUNT:
		break;
	}
	return 0;
}

int64_t db_users_given(const conf_t *c, const topology_t *t, db_users_id id)
{
	int64_t most = 0;

	for (unsigned i = 0; i < t->cell_count; i++)
		for (unsigned k = 0; k < t->cell[i].member_count; k++) {
			const int64_t open = db_users_open(c, t, &t->cell[i].member[k], id);

			most = open > most ? open : most;
		}
	most = (most * users[id].percent + PERCENT - 1) / PERCENT;
	return most > users[id].least ? most : users[id].least;
}
