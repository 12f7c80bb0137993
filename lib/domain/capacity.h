/* capacity: the expected traffic of a cell (capacity.def) as data, and the limits that follow from it and
 * from the options capacity.* and limits.*: how much of an interface a cell, an address and a user may
 * have at each nginx and program, how much of a program one interface may take, and what must be open to
 * finance, databases and queues. Threads: all safe, nothing is kept. */
#ifndef HB_DOMAIN_CAPACITY_H
#define HB_DOMAIN_CAPACITY_H

#include "base/conf.h"
#include "domain/routes.h"
#include "domain/topology.h"

typedef struct {
	int64_t per_s, burst; /* requests; per_s 0: no limit */
} capacity_rate;

/* Requests a second that a cell expects of an interface at the peak, rounded up. */
int64_t capacity_expected(const conf_t *c, routes_id route);
/* What one nginx lets through to a cell; never without a limit. */
capacity_rate capacity_of_cell(const conf_t *c, routes_id route);
/* What one nginx takes from an address, of all cells together. */
capacity_rate capacity_of_address(const conf_t *c, routes_id route);
/* What one program takes from a verified user (of partner: from a partner). */
capacity_rate capacity_of_user(const conf_t *c, routes_id route);
/* Requests of an interface that a program with so many threads and connections works on at once; 0: as
 * many as come. */
unsigned capacity_places(routes_id route, unsigned threads, unsigned connections);

/* Whether the options let as much out as the expected traffic needs, and a member has the connections
 * that the topology's programs open with them; what does not, a line each. */
bool capacity_check(const conf_t *c, const topology_t *t, FILE *to);
/* The outbound options with the values that it needs, as groups of hongbao.cfg. */
void capacity_print_config(const conf_t *c, FILE *to);
/* The tables of docs/capacity.md, with the values of `c`. */
void capacity_print_markdown(const conf_t *c, FILE *to);

#endif
