/* verify: whether two members have the same rows, in chunks of a table's first key column, on live data: a
 * chunk that differs is looked at again until it is the same or has stayed different while the replica
 * passed the primary's position of the look before. */
#ifndef HB_UNITS_VERIFY_H
#define HB_UNITS_VERIFY_H

#include "store/db.h"

typedef struct {
	uint64_t tables, chunks, rows, again; /* looked at; chunks that needed another look */
	uint64_t different;                   /* chunks that stayed different */
} verify_sum;

typedef void (*verify_found_fn)(void *ctx, const char *table, const char *from, const char *to,
	uint64_t primary_rows, uint64_t replica_rows);

/* Both connections to the database hongbao. */
err_t verify_members(
	db_t *primary, db_t *replica, verify_found_fn found, void *ctx, verify_sum *out) MUST_CHECK;

#endif
