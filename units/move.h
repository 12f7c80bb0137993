/* move: what the changes of a cell's primary have in common. A move holds the cell's control record as
 * it last was, connections to the members that can be reached, and the journal. Where a move stands is
 * in the record (control.h: change), so each function here may run again after hbctl was killed. */
#ifndef HB_UNITS_MOVE_H
#define HB_UNITS_MOVE_H

#include "units/journal.h"
#include "units/role.h"
#include "units/verb.h"

enum { MOVE_GREET_MS = 400, MOVE_IO_MS = 5000 };

typedef struct {
	const topology_member *at;
	db_t *db; /* NULL: not reached */
	role_view view;
} move_member;

typedef struct {
	const topology_cell *cell;
	const char *verb, *reason;
	control_record record;
	journal_t *journal;
	move_member member[TOPOLOGY_MEMBERS_MAX]; /* as in the cell */
} move_t;

/* Reads the record; a verb's exit code. */
int move_start(
	move_t *m, const topology_cell *cell, const char *verb, const char *reason) MUST_CHECK;
void move_end(move_t *m);

/* Compare-and-set of the whole record; m->record is the new one afterwards. An answer that was lost is
 * looked for in the record itself. */
err_t move_record(move_t *m, control_record want) MUST_CHECK;
void control_record_drop(control_record *r, const char *site); /* from in_sync */
void control_record_add(control_record *r, const char *site);

move_member *move_at(move_t *m, const char *site);
move_member *move_primary(move_t *m);
/* Connects, unless it has, and reads its view. */
err_t move_reach(move_member *mm, int64_t greet_ms) MUST_CHECK;
/* The same with its role lock; somebody else's is waited for. */
err_t move_reach_locked(move_member *mm, int64_t wait_ms) MUST_CHECK;
/* The same, and ERR_CONTROL_CONFLICT, without the lock, when the record is another one than m->record by then:
 * nothing may be done by that any more. */
err_t move_lock(move_t *m, move_member *mm, int64_t wait_ms) MUST_CHECK;
void move_leave(move_member *mm);

/* The only way in which hbctl has a primary take writes, by a record that is written already: under its lock,
 * it waits for acknowledgements if the record says protected, and one has come for all that it has. */
int move_open(move_t *m);

/* From a record that says MOVING to a cell that works: the new primary takes over, the others follow
 * it, the epoch is written and acknowledged, everybody may write, the programs of all sites are told,
 * nginx follows, a write goes through the front door, and the record says steady. VERB_DONE or VERB_PARTLY. */
int move_finish(move_t *m);

#endif
