/* The rows of states.def become two arrays that everything here searches: they are short, and a
 * change of state is a database round trip anyway. */
#include "domain/states.h"
#include "base/logger.h"
#include "base/metrics.h"

typedef struct {
	states_kind kind;
	unsigned number;
	const char *shown;
	unsigned final;
} states_row;

typedef struct {
	states_kind kind;
	unsigned from, to;
	states_cause cause;
} states_change_row;

static const states_row states_table[] = {
#define STATE(kind, name, number, shown, final) {STATES_##kind, number, shown, final},
#define CHANGE(kind, from, to, cause)
#include "domain/states.def"
#undef STATE
#undef CHANGE
};

static const states_change_row states_changes[] = {
#define STATE(kind, name, number, shown, final)
#define CHANGE(kind, from, to, cause)                                                              \
	{STATES_##kind, STATES_##kind##_##from, STATES_##kind##_##to, STATES_BY_##cause},
#include "domain/states.def"
#undef STATE
#undef CHANGE
};

enum {
	STATES_ROWS = sizeof(states_table) / sizeof(*states_table),
	STATES_CHANGES = sizeof(states_changes) / sizeof(*states_changes),
};

static const struct {
	const char *name;
	sql_id statement;
	bool dated; /* the statement sets changed_at */
} states_kinds[STATES_KINDS] = {
	[STATES_PACKET] = {"packet", SQL_STATES_PACKET, false},
	[STATES_PAYMENT] = {"payment", SQL_STATES_PAYMENT, true},
	[STATES_TRANSFER] = {"transfer", SQL_STATES_TRANSFER, true},
	[STATES_REFUND] = {"refund", SQL_STATES_REFUND, true},
	[STATES_SUBSIDY] = {"subsidy", SQL_STATES_SUBSIDY, true},
	[STATES_WITHDRAWAL] = {"withdrawal", SQL_STATES_WITHDRAWAL, true},
	[STATES_LEASE] = {"lease", SQL_STATES_LEASE, false},
	[STATES_RANGE] = {"range", SQL_STATES_RANGE, false},
};

static const char *const states_causes[] = {
	[STATES_BY_CALLBACK] = "finance's word",
	[STATES_BY_CLAIM] = "claim",
	[STATES_BY_EXPIRE] = "expiry",
	[STATES_BY_SWEEP] = "sweep",
	[STATES_BY_SEND] = "send",
	[STATES_BY_CREDIT] = "credit",
	[STATES_BY_SETTLE] = "settlement",
	[STATES_BY_AGE] = "ageing",
};

static const char *const states_finals[] = {"", "yes", "until money comes in all the same"};

static const states_row *states_find(states_kind k, unsigned state)
{
	for (unsigned i = 0; i < STATES_ROWS; i++)
		if (states_table[i].kind == k && states_table[i].number == state)
			return &states_table[i];
	return NULL;
}

const char *states_shown(states_kind k, unsigned state)
{
	const states_row *r = states_find(k, state);

	return r ? r->shown : "?";
}

unsigned states_place(states_kind k, unsigned state)
{
	const states_row *r = states_find(k, state);

	BUG_ON(!r);
	return (unsigned)(r - states_table);
}

bool states_final(states_kind k, unsigned state)
{
	const states_row *r = states_find(k, state);

	return r && r->final != 0;
}

bool states_legal(states_kind k, unsigned from, unsigned to, states_cause cause)
{
	for (unsigned i = 0; i < STATES_CHANGES; i++) {
		const states_change_row *c = &states_changes[i];

		if (c->kind == k && c->from == from && c->to == to && c->cause == cause)
			return true;
	}
	return false;
}

err_t states_change(db_t *db, states_kind k, uint64_t id, unsigned from, unsigned to,
	states_cause cause, int64_t now_ms, int64_t next_at, bool *changed)
{
	uint64_t rows = 0;
	err_t e;

	BUG_ON((unsigned)k >= STATES_KINDS || (unsigned)cause > STATES_BY_AGE);
	if (!states_legal(k, from, to, cause)) {
		LOG(ERROR, "state.refused", {"kind", LOG_S(states_kinds[k].name)},
			{"id", LOG_U(id)}, {"from", LOG_S(states_shown(k, from))},
			{"to", LOG_S(states_shown(k, to))}, {"cause", LOG_S(states_causes[cause])});
		METRICS_INC(STATE_REFUSED);
		return ERR_STATE_REFUSED;
	}
	if (states_kinds[k].dated)
		e = db_exec(db, states_kinds[k].statement,
			DB_ARGS(db_u(to), db_i(next_at), db_i(now_ms), db_u(id), db_u(from)),
			&rows);
	else
		e = db_exec(db, states_kinds[k].statement,
			DB_ARGS(db_u(to), db_i(next_at), db_u(id), db_u(from)), &rows);
	if (e)
		return e;
	BUG_ON(rows > 1);
	if (rows)
		metrics_add(METRICS_STATE_CHANGES, states_place(k, to), 1);
	*changed = rows == 1;
	return ERR_OK;
}

void states_print_dot(FILE *to)
{
	fputs("digraph states {\n\trankdir=LR;\n\tnode [shape=box, style=rounded];\n", to);
	for (int k = 0; k < STATES_KINDS; k++) {
		const char *kind = states_kinds[k].name;

		fprintf(to, "\tsubgraph cluster_%s {\n\t\tlabel=\"%s\";\n", kind, kind);
		for (unsigned i = 0; i < STATES_ROWS; i++)
			if (states_table[i].kind == (states_kind)k)
				fprintf(to, "\t\t%s_%u [label=\"%s\"%s];\n", kind,
					states_table[i].number, states_table[i].shown,
					states_table[i].final ? ", peripheries=2" : "");
		for (unsigned i = 0; i < STATES_CHANGES; i++)
			if (states_changes[i].kind == (states_kind)k)
				fprintf(to, "\t\t%s_%u -> %s_%u [label=\"%s\"];\n", kind,
					states_changes[i].from, kind, states_changes[i].to,
					states_causes[states_changes[i].cause]);
		fputs("\t}\n", to);
	}
	fputs("}\n", to);
}

void states_print_markdown(FILE *to)
{
	fputs("# States of orders\n\nWritten by `hbctl states --markdown` from "
	      "lib/domain/states.def; "
	      "`hbctl states --dot` draws them.\n\n",
		to);
	for (int k = 0; k < STATES_KINDS; k++) {
		fprintf(to, "%s## %s\n\n| state | number | final |\n|---|---|---|\n", k ? "\n" : "",
			states_kinds[k].name);
		for (unsigned i = 0; i < STATES_ROWS; i++)
			if (states_table[i].kind == (states_kind)k)
				fprintf(to, "| %s | %u | %s |\n", states_table[i].shown,
					states_table[i].number,
					states_finals[states_table[i].final]);
		fputs("\n| from | to | caused by |\n|---|---|---|\n", to);
		for (unsigned i = 0; i < STATES_CHANGES; i++)
			if (states_changes[i].kind == (states_kind)k)
				fprintf(to, "| %s | %s | %s |\n",
					states_shown((states_kind)k, states_changes[i].from),
					states_shown((states_kind)k, states_changes[i].to),
					states_causes[states_changes[i].cause]);
	}
}
