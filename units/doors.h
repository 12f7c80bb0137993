/* doors: the nginx of every site, each told by its site's own command (topology: run, verb "nginx") to run with what
 * the control records say then. */
#ifndef HB_UNITS_DOORS_H
#define HB_UNITS_DOORS_H

#include "units/site.h"

typedef struct {
	site_job job[TOPOLOGY_NGINX_MAX];
} doors_t;

/* Each has files of its own, so they are told side by side. */
void doors_begin(doors_t *d);
/* How many were reloaded; says which were not, and what does it later. */
unsigned doors_end(doors_t *d) MUST_CHECK;
/* That of one site, which may have none; says so when it was not reloaded. */
void doors_reload_at(const char *site);

#endif
