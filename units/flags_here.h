/* flags_here: one site's flags.cfg, and what its programs make of it. */
#ifndef HB_UNITS_FLAGS_HERE_H
#define HB_UNITS_FLAGS_HERE_H

#include "units/verb.h"

/* `flags here SITE show`: one JSON object on stdout. */
int flags_here_show(const char *site);
/* `flags here SITE put NAME [GROUP]`: changes the file, checks it as a whole, writes it and waits until
 * every program of the site has applied it. GROUP "" takes the flag out. */
int flags_here_put(const char *site, const char *name, const char *group_b64);

#endif
