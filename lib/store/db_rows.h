/* db_rows: between db.c and db_rows.c only; the accessors are in db.h. */
#ifndef HB_STORE_DB_ROWS_H
#define HB_STORE_DB_ROWS_H

#include "store/db.h"
#include <mysql.h>

#ifndef MARIADB_BASE_VERSION
typedef bool my_bool; /* libmysqlclient 8 has dropped it */
#endif

/* All rows of an executed statement; NULL on error, which the statement then holds. */
db_rows_t *db_rows_read(MYSQL_STMT *st);

#endif
