/* subsidy_row: a row of `subsidy` as every statement of subsidy.sql selects it; for the files of
 * subsidy.h only. */
#ifndef HB_DOMAIN_SUBSIDY_ROW_H
#define HB_DOMAIN_SUBSIDY_ROW_H

#include "domain/subsidy.h"

void subsidy_row_read(const db_rows_t *r, subsidy_row *s);
/* The one row of a query; ERR_NOT_FOUND. */
err_t subsidy_row_one(db_t *db, sql_id id, const db_val *v, size_t n, subsidy_row *out) MUST_CHECK;

/* A win as a row. ERR_ORDER_CONFLICT (logged) for one that cannot be of the rain. */
err_t subsidy_of_win(const token_win *win, int64_t now_ms, subsidy_row *out) MUST_CHECK;
/* When it expires and of which lease it is may differ: a repeated draw wins the same once more. */
bool subsidy_same_values(const subsidy_row *a, const subsidy_row *b);
/* Keeps the lease from being settled until the transaction ends. ERR_ORDER_CONFLICT: none of the
 * campaign's; ERR_SUBSIDY_EXPIRED: it is settled. */
err_t subsidy_lease_share(db_t *db, const subsidy_row *s) MUST_CHECK;

#endif
