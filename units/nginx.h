/* nginx: its configuration, for hbctl nginx and hbctl doctor. */
#ifndef HB_UNITS_NGINX_H
#define HB_UNITS_NGINX_H

#include "units/verb.h"

/* What the configuration of one nginx must be now; the caller frees *text. `user`: of its workers, NULL or
 * "": nginx's default. `offline`: as the topology has it, without the control records. */
err_t nginx_text(const topology_nginx *self, const char *user, bool offline, char **text,
	size_t *n) MUST_CHECK;
/* nginx -t; what it says against it goes to stderr. */
bool nginx_accepts(const char *path);
/* The master process that runs from the state's file; 0: none. */
long nginx_running(const topology_nginx *self);

#endif
