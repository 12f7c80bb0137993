/* choose: which member takes a cell over when its primary is given up. Pure functions over what the
 * in-sync members other than the old primary said after they had stopped receiving. Any one of them
 * may have been the only one to acknowledge the last commit, so the chosen one must have received all
 * that any of them has, and one that cannot be asked, or that has lost its relay log since it
 * acknowledged, leaves the question open. */
#ifndef HB_UNITS_CHOOSE_H
#define HB_UNITS_CHOOSE_H

#include <stdbool.h>

typedef struct {
	bool known;           /* has stopped receiving, and said what it has */
	bool kept;            /* has lost nothing since it acknowledged (role.h: acknowledges) */
	bool applies;         /* can apply what it has received */
	const char *received; /* GTID position */
} choose_member;

/* The first one that may hold an acknowledged commit that nobody can see; -1: none. */
int choose_doubt(const choose_member *m, unsigned n);
/* The one to take over; -1: none has all that the known ones have received. `preferred` (-1: nobody)
 * wins among equals, else the first. */
int choose(const choose_member *m, unsigned n, int preferred);
/* The same among those who can apply alone, whatever the others hold: acknowledged commits may be
 * lost. -1: nobody can. */
int choose_with_loss(const choose_member *m, unsigned n, int preferred);

#endif
