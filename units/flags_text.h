/* flags_text: flags.cfg as a text in which one flag's group is put, replaced or taken out, and
 * everything else (comments, order, hand edits) stays as it is. */
#ifndef HB_UNITS_FLAGS_TEXT_H
#define HB_UNITS_FLAGS_TEXT_H

#include "domain/flags.h"

/* `c2c_send = { … };` as hbctl writes it; malloc'ed. Texts with control characters are refused by
 * whoever calls. */
char *flags_text_group(flags_id id, const flags_wish *w);
/* `text` with the group of flag `name` made `group` ("" takes it out); a new one comes before the last
 * line. `text` has passed flags_parse. malloc'ed. */
char *flags_text_with(const char *text, const char *name, const char *group);

#endif
