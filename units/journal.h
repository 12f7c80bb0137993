/* journal: what an operation on a cell has done so far: one line of JSON per step, synced, in
 * <state>/journal/<cell>-<epoch>-<verb>.jsonl, and the same to the operator. It is for people and for
 * tests; where an operation stands, and how it goes on after hbctl was killed, is said by the control
 * record and by the members themselves, so that any host can finish it. The journal's lock keeps two
 * hbctl of one host off one cell. */
#ifndef HB_UNITS_JOURNAL_H
#define HB_UNITS_JOURNAL_H

#include "units/verb.h"

typedef struct journal journal_t;

/* ERR_CONTROL_CONFLICT: another hbctl is at work on this cell (said on stderr). `epoch` is the one
 * that the operation leads to. */
err_t journal_open(const char *cell, const char *verb, uint64_t epoch, journal_t **out) MUST_CHECK;
void journal_close(journal_t **j);
/* A step is done. */
void journal_step(journal_t *j, const char *step, const char *text, ...) PRINTF_LIKE(3, 4);
/* Whether the file of this operation, left by an hbctl that was killed, has this step. */
bool journal_has(const journal_t *j, const char *step);
int64_t journal_ms(const journal_t *j); /* since it was opened */

#endif
