/* subsidy_row: a row of `subsidy` as every statement of subsidy.sql selects it; for the files of
 * subsidy.h only. */
#ifndef HB_DOMAIN_SUBSIDY_ROW_H
#define HB_DOMAIN_SUBSIDY_ROW_H

#include "domain/subsidy.h"

void subsidy_row_read(const db_rows_t *r, subsidy_row *s);
/* The one row of a query; ERR_NOT_FOUND. */
err_t subsidy_row_one(db_t *db, sql_id id, const db_val *v, size_t n, subsidy_row *out) MUST_CHECK;

#endif
