/* bench_sql: what the benchmark does at the database without any HTTP, as a program of the cell
 * with its keys and its epoch. */
#ifndef HB_LOAD_BENCH_SQL_H
#define HB_LOAD_BENCH_SQL_H

#include "domain/program.h"

/* argv[0] is the verb; exit codes as main's. */
int bench_fill(program_t *p, int argc, char **argv);
int bench_direct(program_t *p, int argc, char **argv);

/* A whole number of the command line; ends the program when it is none or above `most`. */
uint64_t bench_number(const char *text, const char *name, uint64_t most);

#endif
