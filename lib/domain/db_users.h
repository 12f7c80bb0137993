/* db_users: the database users of the programs (db_users.def), and how many connections each needs and is
 * given. Threads: all safe, nothing is kept. */
#ifndef HB_DOMAIN_DB_USERS_H
#define HB_DOMAIN_DB_USERS_H

#include "base/conf.h"
#include "domain/topology.h"

typedef enum {
#define DB_USER(name, percent, least) DB_USERS_##name,
#include "domain/db_users.def"
#undef DB_USER
	DB_USERS_COUNT
} db_users_id;

/* Of db.member_connections, what is left to hbctl and the replicas. */
enum { DB_USERS_OTHERS = 16 };

const char *db_users_name(db_users_id id);
/* The user of that name; DB_USERS_COUNT when it is none of the programs'. */
db_users_id db_users_named(const char *name);
/* Connections that a user's programs open to a member. */
int64_t db_users_open(
	const conf_t *c, const topology_t *t, const topology_member *m, db_users_id id);
/* Connections that a member gives it: the same at all of them, for the one with most programs. */
int64_t db_users_given(const conf_t *c, const topology_t *t, db_users_id id);

#endif
