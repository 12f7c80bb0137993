/* keys_here: the key rings of one site's secrets' folder, and what its programs make of them. */
#ifndef HB_UNITS_KEYS_HERE_H
#define HB_UNITS_KEYS_HERE_H

#include "units/verb.h"

/* `keys here SITE list`: one JSON object on stdout. No key is in it. */
int keys_here_list(const char *site);
/* `keys here SITE add RING ID`: with the key, 64 hex digits, on stdin: at the bottom, with the words of
 * the key that signs. `use RING ID UNTIL`: on top; the others end at UNTIL, in seconds since 1970, unless
 * they already have an end; "0": never. `drop RING ID`. Each writes the file and waits until every
 * program of the site has it; done again it changes nothing. */
int keys_here_change(const char *site, int argc, char **argv);

#endif
