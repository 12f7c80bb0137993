/* gtid: comparing MariaDB's positions, lists of domain-server-sequence ("0-28020-15,1-7-3"; "" is
 * the position before the first transaction). Pure functions. */
#ifndef HB_UNITS_GTID_H
#define HB_UNITS_GTID_H

#include <stdbool.h>
#include <stdint.h>

/* Whether `have` contains all of `want`: of each domain in `want`, at least its sequence. False
 * when either is malformed. */
bool gtid_covers(const char *have, const char *want);

/* How many transactions of `want` are missing in `have`, over all domains; 0 when malformed. */
uint64_t gtid_missing(const char *have, const char *want);

#endif
