/* topology: sites, cells, slots, members and ports, from the topology file (libconfig), checked as
 * a whole: every slot owned once, ports unique, each cell with a member at its active site and at
 * least one at another. Read-only after load. Here and not in units/, because the programs and the
 * relay need the slot map as well. */
#ifndef HB_DOMAIN_TOPOLOGY_H
#define HB_DOMAIN_TOPOLOGY_H

#include "base/err.h"
#include <stdint.h>

enum {
	TOPOLOGY_SLOTS = 1000,
	TOPOLOGY_SITES_MAX = 8,
	TOPOLOGY_CELLS_MAX = 26,
	TOPOLOGY_MEMBERS_MAX = 8,
	TOPOLOGY_PROGRAMS_MAX = 16,
	TOPOLOGY_COMMAND_BYTES = 512,
	TOPOLOGY_MQ_MAX = 8,
	TOPOLOGY_NGINX_MAX = 8,
};

/* `fence` and `run` are what a shell runs, followed by arguments (units/site.h); empty: the site can
 * be reached by nobody's command. */
typedef struct {
	char name[16];
	char fence[TOPOLOGY_COMMAND_BYTES], run[TOPOLOGY_COMMAND_BYTES];
} topology_site;

typedef struct {
	char site[16];
	char host[64];
	uint16_t mysql_port, memcached_port;
	uint16_t mysql_extra_port; /* hbctl's way in when the other is full; 0: none */
	uint16_t core_port[TOPOLOGY_PROGRAMS_MAX], query_port[TOPOLOGY_PROGRAMS_MAX],
		rain_port[TOPOLOGY_PROGRAMS_MAX];
	unsigned core_count, query_count, rain_count;
} topology_member;

typedef struct {
	char name[2];    /* "A" */
	unsigned number; /* 1..99: the two digits in its numbers */
	char active[16]; /* the site where it starts its life; the control record rules afterwards
			  */
	topology_member member[TOPOLOGY_MEMBERS_MAX];
	unsigned member_count;
} topology_cell;

typedef struct {
	char host[64];
	uint16_t port;
} topology_mq;

/* At most one at a site. */
typedef struct {
	char site[16];
	char host[64];
	uint16_t front_port, ops_port, internal_port, finance_port;
} topology_nginx;

typedef struct {
	topology_site site[TOPOLOGY_SITES_MAX];
	unsigned site_count;
	topology_cell cell[TOPOLOGY_CELLS_MAX];
	unsigned cell_count;
	int8_t slot_cell[TOPOLOGY_SLOTS]; /* index into cell */
	topology_mq mq[TOPOLOGY_MQ_MAX];  /* RabbitMQ's nodes: one cluster */
	unsigned mq_count;
	char etcd[256]; /* endpoints, comma-separated */
	topology_nginx nginx[TOPOLOGY_NGINX_MAX];
	unsigned nginx_count;
	char finance_host[64]; /* hb-finance-sim, which nginx passes finance to */
	uint16_t finance_port;
} topology_t;

err_t topology_load(const char *path, char why[256], topology_t **out) MUST_CHECK;
void topology_free(topology_t **t);
const topology_cell *topology_cell_named(
	const topology_t *t, const char *name); /* NULL when there is none */
const topology_cell *topology_cell_of_slot(
	const topology_t *t, unsigned slot); /* never NULL for slot < 1000 */
const topology_member *topology_member_at(
	const topology_cell *c, const char *site); /* NULL when there is none */
const topology_site *topology_site_named(
	const topology_t *t, const char *name); /* NULL when there is none */

/* NULL when there is none. */
const topology_nginx *topology_nginx_at(const topology_t *t, const char *site);

#endif
