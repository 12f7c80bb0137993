/* states: which states each order kind has and which changes are legal; rows in states.def. Every
 * change of a state goes through states_change, a compare-and-set on the old state. */
#ifndef HB_DOMAIN_STATES_H
#define HB_DOMAIN_STATES_H

#include "store/db.h"

typedef enum {
	STATES_PACKET,
	STATES_PAYMENT,
	STATES_TRANSFER,
	STATES_REFUND,
	STATES_SUBSIDY,
	STATES_WITHDRAWAL,
	STATES_LEASE,
	STATES_RANGE, /* of packets' numbers (age.h) */
	STATES_KINDS
} states_kind;
typedef enum {
	STATES_BY_CALLBACK,
	STATES_BY_CLAIM,
	STATES_BY_EXPIRE,
	STATES_BY_SWEEP,
	STATES_BY_SEND,
	STATES_BY_CREDIT,
	STATES_BY_SETTLE,
	STATES_BY_AGE
} states_cause;

enum {
#define STATE(kind, name, number, shown, final) STATES_##kind##_##name = number,
#define CHANGE(kind, from, to, cause)
#include "domain/states.def"
#undef STATE
#undef CHANGE
};

const char *states_shown(states_kind k, unsigned state); /* "open"; "?" for an unknown number */
/* The place of a state among all rows of states.def: the label of METRICS_STATE_CHANGES. */
unsigned states_place(states_kind k, unsigned state);
bool states_final(states_kind k, unsigned state); /* or at rest */
bool states_legal(states_kind k, unsigned from, unsigned to, states_cause cause);

/* Inside the caller's transaction: UPDATE … SET state = to, changed_at/expires_at as the kind's
 * statement says … WHERE id = ? AND state = from. `next_at` is the row's next due time
 * (next_check_at; for packets and subsidies expires_at, for leases settle_at, for ranges changed_at). *changed is false when the row was in another state
 * (somebody else was first): not an error. An illegal change is refused with ERR_STATE_REFUSED,
 * logged and counted. */
err_t states_change(db_t *db, states_kind k, uint64_t id, unsigned from, unsigned to,
	states_cause cause, int64_t now_ms, int64_t next_at, bool *changed) MUST_CHECK;

/* Graphviz of all kinds, for `hbctl states --dot`; and the Markdown tables of docs/states.md. */
#include <stdio.h>
void states_print_dot(FILE *to);
void states_print_markdown(FILE *to);

#endif
