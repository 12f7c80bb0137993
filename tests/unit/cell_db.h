/* cell_db: an empty cell's database for a test, made from sql/migrations, in the server that
 * HB_TEST_MYSQL names. */
#ifndef HB_TESTS_UNIT_CELL_DB_H
#define HB_TESTS_UNIT_CELL_DB_H

#include "store/db.h"

/* Drops and makes the database `name`; cell A, epoch 1. */
void cell_db_make(const char *name, db_target *out);
/* Runs SQL text; ends the program when it fails. */
void cell_db_run(db_t *db, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* One number from a query. */
int64_t cell_db_number(db_t *db, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
