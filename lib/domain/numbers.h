/* numbers: packet ids and order numbers. number = seq × 100000 + birth cell (2 digits) × 1000 +
 * slot (3 digits), below 2^63. seq comes from blocks leased in the cell's database (one
 * small transaction per block), so numbers are unique over processes, restarts and failovers
 * without any clock, and rise within a cell block by block. Numbers of a block that was not used up
 * are lost. Threads: all safe. */
#ifndef HB_DOMAIN_NUMBERS_H
#define HB_DOMAIN_NUMBERS_H

#include "store/db.h"

enum { NUMBERS_TEXT_BYTES = 20 };

typedef struct numbers numbers_t;
err_t numbers_new(db_pool_t *pool, unsigned cell_number, int64_t block, numbers_t **out) MUST_CHECK;
void numbers_free(numbers_t **n);
/* Throws away what is left of the blocks in hand, whose numbers are too old (docs/ageing.md), and leases
 * a new one. */
err_t numbers_renew(numbers_t *n) MUST_CHECK;
err_t numbers_next(numbers_t *n, unsigned slot, uint64_t *out) MUST_CHECK;
/* `count` numbers of one slot, rising but not always adjacent. */
err_t numbers_take(numbers_t *n, unsigned slot, unsigned count, uint64_t *out) MUST_CHECK;

static inline unsigned numbers_slot(uint64_t number)
{
	return (unsigned)(number % 1000);
}
static inline unsigned numbers_cell(uint64_t number)
{
	return (unsigned)(number / 1000 % 100);
}
/* Digits only, 1 ≤ n < 2^63, no leading zero. */
bool numbers_parse(const char *s, uint64_t *out);

#endif
