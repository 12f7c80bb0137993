/* hbctl orders: what is stuck or parked, one order with all that finance said of it, and the push that a
 * person gives. A push asks nobody itself: it makes the order due, and puts a parked message back
 * through the outbox; the workers do the rest, by the rules that always hold. */
#include "units/audit.h"
#include "units/verb.h"

#include "base/arena.h"
#include "base/clk.h"
#include "base/jw.h"
#include "domain/alert.h"
#include "domain/numbers.h"
#include "domain/orders.h"
#include "domain/outbox.h"
#include "domain/recon_claims.h"
#include "domain/states.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { IO_MS = 10000, LIST_MAX = 1000, OUTPUT_BYTES = 8 << 20, WHEN_BYTES = CLK_RFC3339_BYTES };

static const char USAGE[] = "orders stuck|parked [CELL…]\n"
			    "       hbctl orders show NUMBER\n"
			    "       hbctl orders push NUMBER --reason TEXT\n"
			    "       hbctl orders push --parked ID --cell CELL --reason TEXT";

static const struct {
	const char *kind;
	states_kind states;
} kinds[] = {{"payment", STATES_PAYMENT}, {"transfer", STATES_TRANSFER}, {"refund", STATES_REFUND},
	{"withdrawal", STATES_WITHDRAWAL}};

static const char *shown(const char *kind, unsigned state)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return states_shown(kinds[i].states, state);
	return "?";
}

static const char *when(int64_t ms, char out[WHEN_BYTES])
{
	if (ms <= 0)
		return "-";
	clk_rfc3339(ms, out);
	return out;
}

static int open_cell(const topology_cell *cell, db_t **out)
{
	control_record record;
	err_t err = control_get(verb_control(), cell->name, &record);
	const topology_member *primary =
		err == ERR_OK ? topology_member_at(cell, record.primary) : NULL;
	if (err == ERR_OK)
		err = primary ? verb_db(primary, "hongbao", IO_MS, out) : ERR_CONFIG_INVALID;
	return err == ERR_OK ? VERB_DONE : verb_fail(err, "cell %s", cell->name);
}

/* ---- lists ---- */

typedef int (*list_fn)(const topology_cell *cell, db_t *db, jw_t *w);

static err_t select_stuck(db_t *db, db_rows_t **out)
{
	return db_select(db, SQL_ORDERS_STUCK,
		DB_ARGS(db_u(STATES_PAYMENT_PENDING), db_u(STATES_PAYMENT_CLOSING),
			db_u(STATES_PAYMENT_REFUNDING), db_u(STATES_TRANSFER_PENDING),
			db_u(STATES_TRANSFER_REFUSED), db_u(STATES_REFUND_PENDING),
			db_u(STATES_REFUND_REFUSED), db_u(STATES_WITHDRAWAL_PENDING),
			db_u(STATES_WITHDRAWAL_REFUSING), db_u(LIST_MAX)),
		out);
}

err_t orders_count_stuck(db_t *db, uint64_t *out)
{
	db_rows_t *r;
	err_t err = select_stuck(db, &r);

	if (err != ERR_OK)
		return err;
	for (*out = 0; db_rows_next(r); ++*out)
		;
	db_rows_free(&r);
	return ERR_OK;
}

static int list_stuck(const topology_cell *cell, db_t *db, jw_t *w)
{
	char text[WHEN_BYTES];
	db_rows_t *r;
	err_t err = select_stuck(db, &r);
	if (err != ERR_OK)
		return verb_fail(err, "cell %s", cell->name);
	while (db_rows_next(r)) {
		const char *kind = db_rows_s(r, 0, NULL),
			   *state = shown(kind, (unsigned)db_rows_u(r, 4));
		if (!verb_json()) {
			printf("%-4s  %-10s  %-20" PRIu64 "  %-9s  %5" PRIu64 "  %12" PRId64
			       "  %s\n",
				cell->name, kind, db_rows_u(r, 1), state, db_rows_u(r, 5),
				db_rows_i(r, 3), when(db_rows_i(r, 7), text));
			continue;
		}
		jw_obj(w, NULL);
		jw_str(w, "cell", cell->name);
		jw_str(w, "kind", kind);
		jw_id(w, "order_no", db_rows_u(r, 1));
		jw_id(w, "uid", db_rows_u(r, 2));
		jw_money(w, "amount", db_rows_i(r, 3));
		jw_str(w, "state", state);
		jw_i64(w, "tries", db_rows_i(r, 5));
		jw_time(w, "next_check_at", db_rows_i(r, 6));
		jw_time(w, "changed_at", db_rows_i(r, 7));
		jw_obj_end(w);
	}
	db_rows_free(&r);
	return VERB_DONE;
}

static int list_parked(const topology_cell *cell, db_t *db, jw_t *w)
{
	char text[WHEN_BYTES];
	db_rows_t *r;
	err_t err = db_select(db, SQL_PARKED_LIST, DB_ARGS(db_u(LIST_MAX)), &r);
	if (err != ERR_OK)
		return verb_fail(err, "cell %s", cell->name);
	while (db_rows_next(r)) {
		if (!verb_json()) {
			printf("%-4s  %8" PRIu64 "  %-16s  %-20s  %-24s  %s\n", cell->name,
				db_rows_u(r, 0), db_rows_s(r, 1, NULL), db_rows_s(r, 3, NULL),
				when(db_rows_i(r, 4), text), db_rows_s(r, 5, NULL));
			continue;
		}
		jw_obj(w, NULL);
		jw_str(w, "cell", cell->name);
		jw_i64(w, "id", db_rows_i(r, 0));
		jw_str(w, "queue", db_rows_s(r, 1, NULL));
		jw_i64(w, "kind", db_rows_i(r, 2));
		jw_str(w, "reason", db_rows_s(r, 3, NULL));
		jw_time(w, "parked_at", db_rows_i(r, 4));
		jw_str(w, "body", db_rows_s(r, 5, NULL));
		jw_obj_end(w);
	}
	db_rows_free(&r);
	return VERB_DONE;
}

static int list(list_fn each, const char *heads, int argc, char **argv)
{
	const topology_t *t = verb_topology();
	arena_t *a = arena_new(OUTPUT_BYTES);
	int status = VERB_DONE;
	jw_t w;
	jw_start(&w, a);
	jw_arr(&w, NULL);
	if (!verb_json())
		puts(heads);
	for (unsigned c = 0; c < t->cell_count; c++) {
		bool named = argc == 0;
		for (int i = 0; i < argc; i++)
			named |= verb_cell(argv[i]) == &t->cell[c];
		db_t *db = NULL;
		int one = named ? open_cell(&t->cell[c], &db) : VERB_DONE;
		if (db)
			one = each(&t->cell[c], db, &w);
		db_close(&db);
		if (one != VERB_DONE)
			status = one;
	}
	jw_arr_end(&w);
	jw_end(&w);
	if (verb_json())
		puts(w.buf);
	arena_free(&a);
	return status;
}

/* ---- one order ---- */

static void show_row(const db_rows_t *r, jw_t *w)
{
	char changed[WHEN_BYTES], next[WHEN_BYTES];
	const char *kind = db_rows_s(r, 0, NULL), *state = shown(kind, (unsigned)db_rows_u(r, 4));
	if (!verb_json()) {
		printf("%s %" PRIu64 ": %s%s, %" PRId64 " fen of user %" PRIu64 ", packet %" PRIu64
		       "\n  asked about %" PRIu64 " times since %s, next %s\n",
			kind, db_rows_u(r, 1), state, db_rows_u(r, 6) ? " (stuck)" : "",
			db_rows_i(r, 3), db_rows_u(r, 2), db_rows_u(r, 10), db_rows_u(r, 5),
			when(db_rows_i(r, 9), changed), when(db_rows_i(r, 7), next));
		return;
	}
	jw_str(w, "kind", kind);
	jw_id(w, "order_no", db_rows_u(r, 1));
	jw_id(w, "uid", db_rows_u(r, 2));
	jw_money(w, "amount", db_rows_i(r, 3));
	jw_str(w, "state", state);
	jw_i64(w, "tries", db_rows_i(r, 5));
	jw_bool(w, "stuck", db_rows_u(r, 6) != 0);
	jw_time(w, "next_check_at", db_rows_i(r, 7));
	jw_time(w, "created_at", db_rows_i(r, 8));
	jw_time(w, "changed_at", db_rows_i(r, 9));
	jw_id(w, "packet_id", db_rows_u(r, 10));
}

static void show_event(const db_rows_t *r, jw_t *w)
{
	char received[WHEN_BYTES], handled[WHEN_BYTES];
	const char *outcome = finance_outcome_name((finance_outcome)db_rows_u(r, 1));
	if (!verb_json()) {
		printf("  callback %s: %s, %" PRId64 " fen, received %s, handled %s\n",
			db_rows_s(r, 0, NULL), outcome, db_rows_i(r, 2),
			when(db_rows_i(r, 3), received), when(db_rows_i(r, 4), handled));
		return;
	}
	jw_obj(w, NULL);
	jw_str(w, "event_id", db_rows_s(r, 0, NULL));
	jw_str(w, "outcome", outcome);
	jw_money(w, "amount", db_rows_i(r, 2));
	jw_time(w, "received_at", db_rows_i(r, 3));
	jw_bool(w, "handled", !db_rows_null(r, 4));
	jw_obj_end(w);
}

static err_t find(db_t *db, uint64_t no, db_rows_t **out)
{
	err_t err = db_select(
		db, SQL_ORDERS_SHOW, DB_ARGS(db_u(no), db_u(no), db_u(no), db_u(no)), out);
	if (err == ERR_OK && !db_rows_next(*out)) {
		db_rows_free(out);
		err = ERR_NOT_FOUND;
	}
	return err;
}

static int show(db_t *db, uint64_t no)
{
	db_rows_t *r, *events = NULL;
	arena_t *a = arena_new(OUTPUT_BYTES);
	jw_t w;
	err_t err = find(db, no, &r);
	if (err == ERR_OK)
		err = db_select(db, SQL_ORDERS_EVENTS, DB_ARGS(db_u(no)), &events);
	if (err == ERR_OK) {
		jw_start(&w, a);
		jw_obj(&w, NULL);
		show_row(r, &w);
		jw_arr(&w, "callbacks");
		while (db_rows_next(events))
			show_event(events, &w);
		jw_arr_end(&w);
		jw_obj_end(&w);
		jw_end(&w);
		if (verb_json())
			puts(w.buf);
		db_rows_free(&r);
	}
	db_rows_free(&events);
	arena_free(&a);
	return err == ERR_OK ? VERB_DONE : verb_fail(err, "order %" PRIu64, no);
}

/* ---- push ---- */

/* Ends the transaction that `err` came from, or began it with. */
static err_t end(db_t *db, err_t err)
{
	if (err == ERR_OK)
		return db_commit(db);
	db_rollback(db);
	return err;
}

typedef struct {
	db_t *db;
	uint64_t claim_no;
	bool pushed;
} claim_push;

static err_t push_lost(void *ctx, const recon_claim *c)
{
	claim_push *p = ctx;
	if (c->claim_no != p->claim_no || !c->lost)
		return ERR_OK;
	outbox_event e = {.no = c->claim_no,
		.packet_id = c->packet_id,
		.uid = c->uid,
		.sender = c->sender,
		.amount_fen = c->amount_fen,
		.claimed_at_ms = c->claimed_at_ms,
		.packet_kind = c->packet_kind};
	p->pushed = true;
	return outbox_claim(p->db, &e, clk_wall_ms());
}

/* A claim that has no transfer is found by the window in which reconciliation has seen that: claims have no index
 * of their numbers. Its message, written once more, makes the transfer. */
static int push_claim(db_t *db, uint64_t no)
{
	claim_push p = {.db = db, .claim_no = no};
	recon_window window;
	uint64_t envelopes;
	err_t err = recon_claim_window(db, no, &window);
	if (err == ERR_OK)
		err = db_begin(db);
	if (err == ERR_OK)
		err = end(db, recon_claims_walk(db, &window, push_lost, &p, &envelopes));
	if (err == ERR_OK && !p.pushed)
		err = ERR_NOT_FOUND;
	if (err != ERR_OK)
		return verb_fail(err, "order %" PRIu64, no);
	printf("the message of claim %" PRIu64 " is on its way again; hbctl orders show %" PRIu64
	       "\n",
		no, no);
	return VERB_DONE;
}

static int push_order(db_t *db, uint64_t no)
{
	db_rows_t *r;
	bool pushed = false;
	err_t err = find(db, no, &r);
	if (err == ERR_NOT_FOUND)
		return push_claim(db, no);
	if (err != ERR_OK)
		return verb_fail(err, "order %" PRIu64, no);
	finance_kind kind = finance_kind_named(db_rows_s(r, 0, NULL));
	const char *state = shown(finance_kind_name(kind), (unsigned)db_rows_u(r, 4));
	err = db_begin(db);
	if (err == ERR_OK)
		err = end(db, orders_push(db, kind, no, clk_wall_ms(), &pushed));
	db_rows_free(&r);
	if (err != ERR_OK)
		return verb_fail(err, "order %" PRIu64, no);
	if (!pushed) {
		fprintf(stderr, "hbctl: %s %" PRIu64 " is %s: there is nothing to push\n",
			finance_kind_name(kind), no, state);
		return VERB_REFUSED;
	}
	printf("%s %" PRIu64 " is due now; hbctl orders show %" PRIu64 "\n",
		finance_kind_name(kind), no, no);
	return VERB_DONE;
}

static err_t put_back(db_t *db, uint64_t id, bool *possible)
{
	db_rows_t *r;
	size_t n;
	err_t err = db_select(db, SQL_PARKED_LOCK, DB_ARGS(db_u(id)), &r);
	if (err != ERR_OK)
		return err;
	if (!db_rows_next(r)) {
		db_rows_free(&r);
		return ERR_NOT_FOUND;
	}
	const char *body = db_rows_s(r, 1, &n);
	outbox_kind kind = (outbox_kind)db_rows_u(r, 0);
	*possible = kind != 0 && n >= 2 && body[0] == '[';
	if (*possible)
		err = outbox_add(db, kind, id, clk_wall_ms(), body, n);
	db_rows_free(&r);
	if (!*possible || err != ERR_OK)
		return err;
	err = db_exec(db, SQL_PARKED_DELETE, DB_ARGS(db_u(id)), NULL);
	return err == ERR_OK ? alert_parked_clear(db, id) : err;
}

static int push_parked(db_t *db, uint64_t id)
{
	bool possible = false;
	err_t err = db_begin(db);
	if (err == ERR_OK)
		err = end(db, put_back(db, id, &possible));
	if (err != ERR_OK)
		return verb_fail(err, "parked message %" PRIu64, id);
	if (!possible) {
		fprintf(stderr, "hbctl: what message %" PRIu64 " is about cannot be told\n", id);
		return VERB_REFUSED;
	}
	printf("message %" PRIu64 " is on its way again\n", id);
	return VERB_DONE;
}

static int push(int argc, char **argv)
{
	const char *number = NULL, *parked = NULL, *cell = NULL, *reason = NULL;
	const struct {
		const char *flag, **value;
	} flags[] = {{"--parked", &parked}, {"--cell", &cell}, {"--reason", &reason}};
	for (int i = 1; i < argc; i++) {
		size_t f = 0;
		while (f < sizeof flags / sizeof *flags && strcmp(argv[i], flags[f].flag) != 0)
			f++;
		if (f < sizeof flags / sizeof *flags && i + 1 < argc)
			*flags[f].value = argv[++i];
		else if (f == sizeof flags / sizeof *flags && !number)
			number = argv[i];
		else
			return verb_usage(USAGE);
	}
	uint64_t no = 0;
	if (!reason || !*reason || !number == !parked || !parked != !cell ||
		!numbers_parse(number ? number : parked, &no))
		return verb_usage(USAGE);
	char what[80];
	snprintf(what, sizeof what, "%s %" PRIu64 "%s%s", number ? "order" : "parked message", no,
		cell ? " of cell " : "", cell ? cell : "");
	db_t *db = NULL;
	int status = open_cell(
		cell ? verb_cell(cell) : topology_cell_of_slot(verb_topology(), numbers_slot(no)),
		&db);
	if (status == VERB_DONE)
		status = audit_begin("orders push", what, reason) != ERR_OK
				 ? VERB_FAILED
				 : audit_end("orders push", what, reason,
					   number ? push_order(db, no) : push_parked(db, no));
	db_close(&db);
	return status;
}

int orders_verb(int argc, char **argv)
{
	uint64_t no;
	if (strcmp(argv[0], "stuck") == 0)
		return list(list_stuck,
			"CELL  KIND        ORDER                 STATE      TRIES           FEN  "
			"SINCE",
			argc - 1, argv + 1);
	if (strcmp(argv[0], "parked") == 0)
		return list(list_parked,
			"CELL        ID  QUEUE             REASON                PARKED            "
			"        "
			"BODY",
			argc - 1, argv + 1);
	if (strcmp(argv[0], "push") == 0)
		return push(argc, argv);
	if (argc != 2 || !numbers_parse(argv[1], &no))
		return verb_usage(USAGE);
	db_t *db = NULL;
	int status = open_cell(topology_cell_of_slot(verb_topology(), numbers_slot(no)), &db);
	if (status == VERB_DONE)
		status = show(db, no);
	db_close(&db);
	return status;
}
