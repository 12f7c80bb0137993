/* schema: which migrations a database lacks, for hbctl doctor. */
#ifndef HB_UNITS_SCHEMA_H
#define HB_UNITS_SCHEMA_H

#include "units/verb.h"

/* Calls `found` for each that has not ended; `begun`: it was broken off. An error of the database's when it
 * has no table of versions: none was ever applied. */
err_t schema_pending(
	db_t *db, void (*found)(void *ctx, const char *name, bool begun), void *ctx) MUST_CHECK;

#endif
