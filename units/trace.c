/* hbctl trace: one envelope's whole story, or one withdrawal's: what the cells' tables say of it and of
 * every order that hangs on it, in the cell of the envelope and in those of its claimers, and what this
 * machine's logs say of the same numbers; in the order of time. Of a request or a trace (base/trace.h), the
 * logs say which numbers it was about, and the story is theirs. Read only. */
#include "units/args.h"
#include "units/trace_logs.h"
#include "units/verb.h"

#include "base/arena.h"
#include "base/clk.h"
#include "base/jw.h"
#include "base/parse.h"
#include "base/trace.h"
#include "domain/ledger.h"
#include "domain/numbers.h"
#include "domain/states.h"
#include "store/finance.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	IO_MS = 10000,
	MOMENTS_MAX = 20000,
	NUMBERS_MAX = 4000,
	DETAIL_BYTES = 160,
	OUTPUT_BYTES = 16 << 20,
	IDS_MAX = 64,
	ID_LEAST = 8,
	ID_BYTES = 65,
};

static const char USAGE[] = "trace NUMBER|REQUEST_ID|TRACE_ID|TRACEPARENT [--no-logs]";

typedef struct {
	int64_t at_ms, changed_ms, amount;
	uint64_t number, uid;
	char cell[2], kind[12], state[24], detail[DETAIL_BYTES];
} moment;

typedef struct {
	db_t *db[TOPOLOGY_CELLS_MAX];
	moment *moment;
	unsigned moments;
	uint64_t number[NUMBERS_MAX]; /* of all that the story is about */
	unsigned numbers;
	char id[IDS_MAX][ID_BYTES]; /* of requests and traces that it is about */
	unsigned ids;
	bool cut; /* there is more than fits */
} story;

static const struct {
	const char *kind;
	states_kind states;
} kinds[] = {{"packet", STATES_PACKET}, {"payment", STATES_PAYMENT}, {"transfer", STATES_TRANSFER},
	{"credit", STATES_TRANSFER}, {"refund", STATES_REFUND}, {"withdrawal", STATES_WITHDRAWAL},
	{"subsidy", STATES_SUBSIDY}};

static void name_state(moment *m, unsigned state)
{
	const char *text = "";

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i].kind, m->kind))
			text = states_shown(kinds[i].states, state);
	if (!strcmp(m->kind, "callback"))
		text = finance_outcome_name((finance_outcome)state);
	else if (!strcmp(m->kind, "ledger"))
		text = ledger_booking_name(state);
	snprintf(m->state, sizeof m->state, "%s", text ? text : "?");
}

static moment *add(story *s)
{
	if (s->moments == MOMENTS_MAX) {
		s->cut = true;
		return NULL;
	}
	return &s->moment[s->moments++];
}

static void remember(story *s, uint64_t number)
{
	for (unsigned i = 0; i < s->numbers; i++)
		if (s->number[i] == number)
			return;
	if (s->numbers == NUMBERS_MAX)
		s->cut = true;
	else
		s->number[s->numbers++] = number;
}

static err_t open_cell(story *s, uint64_t number, db_t **out)
{
	const topology_t *t = verb_topology();
	const topology_cell *cell = topology_cell_of_slot(t, numbers_slot(number));
	const topology_member *primary;
	control_record record;
	db_t **db = &s->db[cell - t->cell];
	err_t e = ERR_OK;

	if (!*db) {
		e = control_get(verb_control(), cell->name, &record);
		primary = e == ERR_OK ? topology_member_at(cell, record.primary) : NULL;
		if (e == ERR_OK)
			e = primary ? verb_db(primary, "hongbao", IO_MS, db) : ERR_CONFIG_INVALID;
	}
	*out = *db;
	return e;
}

/* The rows of one of trace.sql's statements, asked in the cell of `at`. */
static err_t ask(story *s, uint64_t at, sql_id id, const db_val *args, size_t n)
{
	const topology_cell *cell = topology_cell_of_slot(verb_topology(), numbers_slot(at));
	db_rows_t *r = NULL;
	db_t *db;
	err_t e = open_cell(s, at, &db);

	if (e == ERR_OK)
		e = db_select(db, id, args, n, &r);
	while (e == ERR_OK && db_rows_next(r)) {
		moment *m = add(s);

		if (!m)
			break;
		*m = (moment){.at_ms = db_rows_i(r, 0),
			.number = db_rows_u(r, 2),
			.uid = db_rows_u(r, 3),
			.amount = db_rows_i(r, 4),
			.changed_ms = db_rows_i(r, 7)};
		snprintf(m->cell, sizeof m->cell, "%s", cell->name);
		snprintf(m->kind, sizeof m->kind, "%s", db_rows_s(r, 1, NULL));
		snprintf(m->detail, sizeof m->detail, "%s", db_rows_s(r, 6, NULL));
		name_state(m, (unsigned)db_rows_u(r, 5));
	}
	db_rows_free(&r);
	return e;
}

/* The envelope that a number belongs to; 0: none. */
static err_t packet_of(story *s, uint64_t number, uint64_t *packet)
{
	db_rows_t *r = NULL;
	db_t *db;
	err_t e = open_cell(s, number, &db);

	*packet = 0;
	if (e == ERR_OK)
		e = db_select(db, SQL_TRACE_PACKET_OF,
			DB_ARGS(db_u(number), db_u(number), db_u(number), db_u(number),
				db_u(number)),
			&r);
	if (e == ERR_OK && db_rows_next(r))
		*packet = db_rows_u(r, 0);
	db_rows_free(&r);
	return e;
}

static err_t tell_packet(story *s, uint64_t p)
{
	return ask(s, p, SQL_TRACE_PACKET,
		DB_ARGS(db_u(p), db_u(p), db_u(p), db_u(p), db_u(p), db_u(p), db_u(p)));
}

static err_t tell_order(story *s, uint64_t n)
{
	return ask(s, n, SQL_TRACE_ORDER, DB_ARGS(db_u(n), db_u(n)));
}

/* What finance called back about each order, what was booked under each number, and what came of each
 * claim in its claimer's cell. */
static err_t tell_around(story *s)
{
	const unsigned rows = s->moments;
	err_t e = ERR_OK;

	BUG_ON(rows > 0 && !s->moment);
	for (unsigned i = 0; i < rows; i++)
		if (strcmp(s->moment[i].kind, "outbox") != 0)
			remember(s, s->moment[i].number);
	for (unsigned i = 0; i < s->numbers && e == ERR_OK; i++) {
		const uint64_t n = s->number[i];

		e = ask(s, n, SQL_TRACE_EVENTS, DB_ARGS(db_u(n)));
		if (e == ERR_OK)
			e = ask(s, n, SQL_TRACE_LEDGER, DB_ARGS(db_u(n)));
	}
	for (unsigned i = 0; i < rows && e == ERR_OK; i++) {
		const moment m = s->moment[i];

		if (strcmp(m.kind, "claim") != 0)
			continue;
		e = ask(s, m.uid, SQL_TRACE_RECEIVED, DB_ARGS(db_u(m.uid), db_u(m.number)));
		if (e == ERR_OK &&
			topology_cell_of_slot(verb_topology(), numbers_slot(m.uid)) !=
				topology_cell_of_slot(verb_topology(), numbers_slot(m.number)))
			e = ask(s, m.uid, SQL_TRACE_LEDGER, DB_ARGS(db_u(m.number)));
	}
	return e;
}

static bool has_number(const story *s, const char *line)
{
	for (const char *at = line; *at;) {
		const size_t n = strspn(at, "0123456789");
		uint64_t v;

		if (n >= 7 && parse_u64n(at, n, UINT64_MAX, &v))
			for (unsigned i = 0; i < s->numbers; i++)
				if (s->number[i] == v)
					return true;
		at += n ? n : 1;
	}
	return false;
}

static bool has_id(const story *s, const char *line)
{
	for (unsigned i = 0; i < s->ids; i++)
		if (strstr(line, s->id[i]))
			return true;
	return false;
}

static void remember_id(story *s, const json_t *id)
{
	const size_t n = json_string_length(id);

	if (n < ID_LEAST || n >= ID_BYTES || has_id(s, json_string_value(id)))
		return;
	if (s->ids == IDS_MAX)
		s->cut = true;
	else
		snprintf(s->id[s->ids++], ID_BYTES, "%s", json_string_value(id));
}

/* Of /v1/packets/{number}/claim and the like. */
static void remember_path(story *s, const char *path)
{
	for (const char *at = path; at && (at = strchr(at, '/'));) {
		const size_t n = strspn(++at, "0123456789");
		uint64_t v;

		if (n >= 7 && (at[n] == '/' || at[n] == ' ' || !at[n]) &&
			parse_u64n(at, n, INT64_MAX, &v))
			remember(s, v);
	}
}

/* What a line of one of the story's requests is about. */
static void learn_line(void *ctx, const char *line)
{
	story *s = ctx;
	static const char *const names[] = {"packet_id", "order_no"};
	json_t *o = has_id(s, line) ? json_loads(line, 0, NULL) : NULL;

	remember_id(s, json_object_get(o, "trace_id"));
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const json_int_t v = json_integer_value(json_object_get(o, names[i]));

		if (v > 0)
			remember(s, (uint64_t)v);
	}
	remember_path(s, json_string_value(json_object_get(o, "request")));
	remember_path(s, json_string_value(json_object_get(o, "path")));
	json_decref(o);
}

static void tell_line(void *ctx, const char *line)
{
	story *s = ctx;
	json_t *o = has_number(s, line) || has_id(s, line) ? json_loads(line, 0, NULL) : NULL;
	const char *ts = json_string_value(json_object_get(o, "ts"));
	const char *event = json_string_value(json_object_get(o, "event"));
	const char *program = json_string_value(json_object_get(o, "program"));
	const char *cell = json_string_value(json_object_get(o, "cell"));
	const char *request = json_string_value(json_object_get(o, "request"));
	const char *path = json_string_value(json_object_get(o, "path"));
	const char *queue = json_string_value(json_object_get(o, "queue"));
	const char *status = json_string_value(json_object_get(o, "status"));
	const char *id = json_string_value(json_object_get(o, "request_id"));
	moment *m = ts && event ? add(s) : NULL;

	if (m) {
		*m = (moment){
			.number = (uint64_t)json_integer_value(json_object_get(o, "order_no"))};
		if (clk_parse_rfc3339(ts, &m->at_ms) != ERR_OK)
			m->at_ms = 0;
		m->changed_ms = m->at_ms;
		snprintf(m->cell, sizeof m->cell, "%s", cell ? cell : "");
		snprintf(m->kind, sizeof m->kind, "log");
		snprintf(m->state, sizeof m->state, "%s", status ? status : event);
		snprintf(m->detail, sizeof m->detail, "%s %s%s%s", program ? program : "?",
			request ? request
			: path  ? path
			: queue ? queue
				: event,
			id ? " " : "", id ? id : "");
	}
	json_decref(o);
}

static void read_logs(story *s, trace_logs_line each)
{
	if (!trace_logs_each(each, s))
		s->cut = true;
}

static int by_time(const void *a, const void *b)
{
	const moment *x = a, *y = b;

	return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

static void print_moment(const moment *m, jw_t *w)
{
	char at[CLK_RFC3339_BYTES], changed[CLK_RFC3339_BYTES];

	clk_rfc3339(m->at_ms, at);
	if (!verb_json()) {
		clk_rfc3339(m->changed_ms, changed);
		printf("%s  %-4s  %-10s  %-20" PRIu64 "  %10" PRId64 "  %-20" PRIu64
		       "  %-16s  %s%s%s\n",
			at, *m->cell ? m->cell : "-", m->kind, m->number, m->amount, m->uid,
			m->state, m->detail, m->changed_ms > m->at_ms ? ", changed " : "",
			m->changed_ms > m->at_ms ? changed : "");
		return;
	}
	jw_obj(w, NULL);
	jw_time(w, "at", m->at_ms);
	jw_str(w, "cell", m->cell);
	jw_str(w, "kind", m->kind);
	jw_id(w, "number", m->number);
	jw_id(w, "uid", m->uid);
	jw_i64(w, "amount", m->amount);
	jw_str(w, "state", m->state);
	jw_str(w, "detail", m->detail);
	jw_time(w, "changed_at", m->changed_ms);
	jw_obj_end(w);
}

static void print(const story *s)
{
	arena_t *a = arena_new(OUTPUT_BYTES);
	jw_t w;

	jw_start(&w, a);
	jw_arr(&w, NULL);
	if (!verb_json())
		printf("%-24s  %-4s  %-10s  %-20s  %10s  %-20s  %-16s  %s\n", "AT", "CELL", "WHAT",
			"NUMBER", "FEN", "USER", "STATE", "");
	for (unsigned i = 0; i < s->moments; i++)
		print_moment(&s->moment[i], &w);
	jw_arr_end(&w);
	jw_end(&w);
	if (verb_json())
		puts(w.buf);
	arena_free(&a);
	if (s->cut)
		fputs("hbctl: there is more of it than is shown\n", stderr);
}

static bool told(const story *s, uint64_t number)
{
	for (unsigned i = 0; i < s->moments; i++)
		if (s->moment[i].number == number)
			return true;
	return false;
}

/* Of one that is none of ours (a user's, say) there is nothing to tell. */
static err_t tell_number(story *s, uint64_t number)
{
	uint64_t packet;

	if (told(s, number) || numbers_slot(number) >= TOPOLOGY_SLOTS)
		return ERR_OK;
	const err_t e = packet_of(s, number, &packet);
	if (e != ERR_OK || (packet && told(s, packet)))
		return e;
	return packet ? tell_packet(s, packet) : tell_order(s, number);
}

/* The story of the numbers that are remembered now. */
static err_t tell(story *s, bool no_logs)
{
	const unsigned numbers = s->numbers;
	err_t e = ERR_OK;

	for (unsigned i = 0; i < numbers && e == ERR_OK; i++)
		e = tell_number(s, s->number[i]);
	if (e == ERR_OK && s->moments == 0 && s->ids == 0)
		return ERR_NOT_FOUND;
	if (e == ERR_OK)
		e = tell_around(s);
	if (e == ERR_OK && !no_logs)
		read_logs(s, tell_line);
	return e == ERR_OK && s->moments == 0 ? ERR_NOT_FOUND : e;
}

/* A number, or the id of a request or of a trace; false: neither. */
static bool take(story *s, const char *text)
{
	const size_t n = strlen(text);
	uint64_t number;

	if (parse_u64(text, INT64_MAX, &number)) {
		remember(s, number);
		return true;
	}
	if (trace_ok(text))
		snprintf(s->id[0], ID_BYTES, "%.*s", (int)TRACE_ID_CHARS, text + TRACE_ID_AT);
	else if (n >= ID_LEAST && n < ID_BYTES &&
		 strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") ==
			 n)
		snprintf(s->id[0], ID_BYTES, "%s", text);
	else
		return false;
	s->ids = 1;
	read_logs(s, learn_line); /* once for the trace of a request, */
	read_logs(s, learn_line); /* and once for what else belongs to that trace */
	return true;
}

int trace_verb(int argc, char **argv)
{
	bool no_logs = false;
	const args_row rows[] = {{"no-logs", NULL, &no_logs}};
	story *s;
	err_t e;

	if (args_take(argc, argv, rows, 1) != 1)
		return verb_usage(USAGE);
	s = calloc(1, sizeof *s);
	BUG_ON(!s);
	s->moment = calloc(MOMENTS_MAX, sizeof *s->moment);
	BUG_ON(!s->moment);
	if (!take(s, argv[1])) {
		free(s->moment);
		free(s);
		return verb_usage(USAGE);
	}
	e = tell(s, no_logs);
	if (e == ERR_OK) {
		qsort(s->moment, s->moments, sizeof *s->moment, by_time);
		print(s);
	}
	for (unsigned i = 0; i < TOPOLOGY_CELLS_MAX; i++)
		db_close(&s->db[i]);
	free(s->moment);
	free(s);
	return e == ERR_OK ? VERB_DONE : verb_fail(e, "%s", argv[1]);
}
