/* hbctl campaign: the rains' rules, from a file into every cell. The file is checked as a whole,
 * then every cell is read and what would change is decided, and only then anything is written, cell
 * by cell, one transaction a campaign. Applying again does nothing; so after a broken run the answer
 * is to run it once more.
 *
 * What decides a draw's result never changes under a number: a repeated draw must repeat. Budgets
 * are booked under the version that they make, which is also what makes a rerun find itself. */
#include "units/audit.h"
#include "units/campaign_file.h"

#include "base/arena.h"
#include "base/clk.h"
#include "domain/ledger.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAMPAIGN_IO_MS = 10000, CONFIG_BYTES = 4096, WHAT_BYTES = 2048, BOOKING_BASE = 1000000 };
#define USAGE "campaign apply FILE --reason TEXT [--dry-run] | campaign list | campaign show NAME"

typedef enum { PLAN_SAME, PLAN_NEW, PLAN_CHANGED, PLAN_REFUSED } plan_kind;

typedef struct {
	const topology_cell *cell;
	const campaign_wanted *want;
	plan_kind kind;
	char config[CONFIG_BYTES];
	uint32_t version; /* that it will have */
	int64_t budget, before;
	char why[128]; /* of PLAN_REFUSED */
} plan;

static err_t open_cell(const topology_cell *cell, db_t **out)
{
	control_record record;
	err_t e = control_get(verb_control(), cell->name, &record);
	const topology_member *primary =
		e == ERR_OK ? topology_member_at(cell, record.primary) : NULL;

	if (e != ERR_OK)
		return e;
	return primary ? verb_db(primary, "hongbao", CAMPAIGN_IO_MS, out) : ERR_CONFIG_INVALID;
}

static void config_text(const campaign_t *c, char out[CONFIG_BYTES])
{
	jw_t w;

	jw_start_fixed(&w, out, CONFIG_BYTES);
	campaign_write(c, &w);
	BUG_ON(jw_end(&w) == 0);
}

static bool same_results(const campaign_t *a, const campaign_t *b)
{
	return a->starts_at_ms == b->starts_at_ms && a->every_ms == b->every_ms &&
	       a->lasts_ms == b->lasts_ms && a->expiry_ms == b->expiry_ms &&
	       a->prizes == b->prizes &&
	       memcmp(a->prize, b->prize, a->prizes * sizeof(a->prize[0])) == 0;
}

static void refuse(plan *p, const char *why)
{
	p->kind = PLAN_REFUSED;
	snprintf(p->why, sizeof(p->why), "%s", why);
}

/* The campaign as it is, against what is wanted; with the row locked when it is for writing. */
static err_t plan_against(db_t *db, const char *key_id, plan *p)
{
	campaign_t wanted = p->want->c, is = {0};
	db_rows_t *rows = NULL;
	size_t n;
	err_t e = db_select(db, SQL_CAMPAIGN_LOCK, DB_ARGS(db_u(wanted.number)), &rows);

	if (e != ERR_OK)
		return e;
	memcpy(wanted.key_id, key_id, strlen(key_id) + 1);
	p->kind = PLAN_NEW;
	p->version = 1;
	p->before = 0;
	if (db_rows_next(rows)) {
		const char *config = db_rows_s(rows, 3, &n);
		e = campaign_read(config, n, &is);
		memcpy(wanted.key_id, is.key_id, sizeof(is.key_id));
		config_text(&wanted, p->config);
		p->before = db_rows_i(rows, 2);
		bool same = p->before == p->budget && strcmp(config, p->config) == 0;
		p->kind = same ? PLAN_SAME : PLAN_CHANGED;
		p->version = (uint32_t)db_rows_u(rows, 1) + !same;
		if (strcmp(db_rows_s(rows, 0, NULL), wanted.name) != 0)
			refuse(p, "its number belongs to another campaign");
		else if (e == ERR_OK && !same_results(&wanted, &is))
			refuse(p, "prizes, rounds and expiry never change: use a new number");
		else if (p->version >= BOOKING_BASE)
			refuse(p, "it was changed too often: use a new number");
	}
	config_text(&wanted, p->config);
	db_rows_free(&rows);
	return e;
}

static err_t book_budget(db_t *db, const plan *p, int64_t now_ms)
{
	int64_t more = p->budget - p->before;
	uint64_t number = p->want->c.number, source = number * BOOKING_BASE + p->version;
	bool booked;

	if (more == 0)
		return ERR_OK;
	return ledger_book(db, more > 0 ? LEDGER_BY_FUND : LEDGER_BY_DEFUND, source, number, number,
		more > 0 ? more : -more, now_ms, &booked);
}

static err_t write_plan(db_t *db, const plan *p)
{
	const campaign_t *c = &p->want->c;
	int64_t now_ms = clk_wall_ms();
	uint64_t rows = 1;
	err_t e;

	if (p->kind == PLAN_NEW)
		e = db_exec(db, SQL_CAMPAIGN_INSERT,
			DB_ARGS(db_u(c->number), db_s(c->name), db_u(p->version), db_i(p->budget),
				db_s(p->config), db_i(now_ms)),
			NULL);
	else
		e = db_exec(db, SQL_CAMPAIGN_UPDATE,
			DB_ARGS(db_u(p->version), db_i(p->budget), db_s(p->config), db_i(now_ms),
				db_u(c->number), db_u(p->version - 1)),
			&rows);
	if (e == ERR_OK && rows != 1)
		e = ERR_DB_RETRY;
	return e == ERR_OK ? book_budget(db, p, now_ms) : e;
}

/* Planned again under the row's lock, then written. */
static err_t apply_one(db_t *db, const char *key_id, plan *p)
{
	err_t e = db_begin(db);

	if (e == ERR_OK)
		e = plan_against(db, key_id, p);
	if (e == ERR_OK && (p->kind == PLAN_NEW || p->kind == PLAN_CHANGED))
		e = write_plan(db, p);
	if (e == ERR_BALANCE_TOO_LOW) {
		refuse(p, "more of its budget is leased or given than would be left");
		e = ERR_OK;
	} else if (e == ERR_DB_DUPLICATE) {
		refuse(p, "its name belongs to another campaign");
		e = ERR_OK;
	}
	if (e == ERR_OK && p->kind != PLAN_REFUSED)
		return db_commit(db);
	db_rollback(db);
	return e;
}

static void plan_print(const plan *p)
{
	static const char *const said[] = {[PLAN_SAME] = "unchanged",
		[PLAN_NEW] = "new",
		[PLAN_CHANGED] = "changed",
		[PLAN_REFUSED] = "refused"};

	printf("cell %s: %s: %s", p->cell->name, p->want->c.name, said[p->kind]);
	if (p->kind == PLAN_REFUSED)
		printf(": %s", p->why);
	else if (p->kind != PLAN_SAME)
		printf(", version %u, budget %lld → %lld fen", p->version, (long long)p->before,
			(long long)p->budget);
	putchar('\n');
}

typedef struct {
	const campaign_wanted *wanted;
	unsigned count;
	char key_id[KEYS_ID_BYTES];
	plan *plan; /* count of each cell, cell by cell */
} applying;

static int plan_cell(const applying *a, const topology_cell *cell, plan *p, bool writes)
{
	db_t *db = NULL;
	err_t e = open_cell(cell, &db);
	size_t place = (size_t)(cell - verb_topology()->cell);

	for (unsigned i = 0; e == ERR_OK && i < a->count; i++) {
		p[i] = (plan){
			.cell = cell, .want = &a->wanted[i], .budget = a->wanted[i].budget[place]};
		e = writes ? apply_one(db, a->key_id, &p[i]) : plan_against(db, a->key_id, &p[i]);
		if (e == ERR_OK && (writes || p[i].kind == PLAN_REFUSED))
			plan_print(&p[i]);
	}
	db_close(&db);
	return e == ERR_OK ? VERB_DONE : verb_fail(e, "cell %s", cell->name);
}

/* All cells; the worst that happened. */
static int plan_all(const applying *a, bool writes)
{
	const topology_t *t = verb_topology();

	for (unsigned i = 0; i < t->cell_count; i++) {
		int code = plan_cell(a, &t->cell[i], a->plan + i * a->count, writes);
		if (code != VERB_DONE)
			return writes && i > 0 ? VERB_PARTLY : code;
	}
	for (unsigned i = 0; i < t->cell_count * a->count; i++)
		if (a->plan[i].kind == PLAN_REFUSED)
			return writes ? VERB_PARTLY : VERB_REFUSED;
	return VERB_DONE;
}

/* What the audit log says of it; false when nothing would change. */
static bool changes(const applying *a, const char *path, char what[WHAT_BYTES])
{
	size_t n = (size_t)snprintf(what, WHAT_BYTES, "%s:", path),
	       all = verb_topology()->cell_count;
	bool any = false;

	for (unsigned i = 0; i < all * a->count; i++) {
		const plan *p = &a->plan[i];
		if (p->kind != PLAN_NEW && p->kind != PLAN_CHANGED)
			continue;
		any = true;
		if (n < WHAT_BYTES)
			n += (size_t)snprintf(what + n, WHAT_BYTES - n, " %s/%s v%u %lld→%lld fen;",
				p->cell->name, p->want->c.name, p->version, (long long)p->before,
				(long long)p->budget);
	}
	return any;
}

static int apply_planned(const applying *a, const char *path, const char *why)
{
	char what[WHAT_BYTES];

	if (!changes(a, path, what)) {
		printf("nothing to change\n");
		return VERB_DONE;
	}
	if (audit_begin("campaign apply", what, why) != ERR_OK)
		return VERB_FAILED;
	int code = plan_all(a, true);
	if (code == VERB_PARTLY)
		fprintf(stderr, "hbctl: run the same again, it goes on where it ended\n");
	return audit_end("campaign apply", what, why, code);
}

static err_t current_key(char out[KEYS_ID_BYTES])
{
	keys_ring_t *seal;
	err_t e = keys_load(conf_secret_path(verb_conf(), "seal.keys"), &seal);

	if (e != ERR_OK)
		return e;
	keys_current_id(seal, out);
	keys_free(&seal);
	return ERR_OK;
}

static int apply(const char *path, const char *why, bool dry)
{
	applying a = {0};
	campaign_wanted *wanted = calloc(CAMPAIGNS_MAX, sizeof(*wanted));
	int code;

	BUG_ON(!wanted);
	a.wanted = wanted;
	if (campaign_file_read(path, verb_topology(), wanted, &a.count) != ERR_OK ||
		current_key(a.key_id) != ERR_OK) {
		free(wanted);
		return VERB_FAILED;
	}
	a.plan = calloc((size_t)a.count * verb_topology()->cell_count, sizeof(*a.plan));
	BUG_ON(!a.plan);
	code = plan_all(&a, false);
	if (dry)
		for (unsigned i = 0; code == VERB_DONE && i < a.count * verb_topology()->cell_count;
			i++)
			plan_print(&a.plan[i]);
	else if (code == VERB_DONE)
		code = apply_planned(&a, path, why);
	free(a.plan);
	free(wanted);
	return code;
}

static int64_t balance_of(db_t *db, uint64_t number)
{
	int64_t fen = 0;

	return ledger_balance(db, LEDGER_CAMPAIGN, number, &fen) == ERR_OK ? fen : -1;
}

static void show_row(const topology_cell *cell, db_t *db, const db_rows_t *r, bool whole)
{
	char applied[CLK_RFC3339_BYTES];

	clk_rfc3339(db_rows_i(r, 5), applied);
	printf("%-4s  %6llu  %-32s  %7llu  %14lld  %14lld  %s\n", cell->name,
		(unsigned long long)db_rows_u(r, 0), db_rows_s(r, 1, NULL),
		(unsigned long long)db_rows_u(r, 2), (long long)db_rows_i(r, 3),
		(long long)balance_of(db, db_rows_u(r, 0)), applied);
	if (whole)
		printf("%s\n", db_rows_s(r, 4, NULL));
}

static void json_row(const topology_cell *cell, db_t *db, const db_rows_t *r, jw_t *w)
{
	size_t n;
	const char *config = db_rows_s(r, 4, &n);

	jw_obj(w, NULL);
	jw_str(w, "cell", cell->name);
	jw_i64(w, "number", db_rows_i(r, 0));
	jw_str(w, "name", db_rows_s(r, 1, NULL));
	jw_i64(w, "version", db_rows_i(r, 2));
	jw_i64(w, "budget_fen", db_rows_i(r, 3));
	jw_i64(w, "free_fen", balance_of(db, db_rows_u(r, 0)));
	jw_time(w, "applied_at", db_rows_i(r, 5));
	jw_raw(w, "config", config, n);
	jw_obj_end(w);
}

static err_t list_cell(const topology_cell *cell, const char *name, jw_t *w, unsigned *found)
{
	db_t *db = NULL;
	db_rows_t *rows = NULL;
	err_t e = open_cell(cell, &db);

	if (e == ERR_OK)
		e = db_select(db, SQL_CAMPAIGN_ALL, DB_NONE, &rows);
	while (e == ERR_OK && db_rows_next(rows)) {
		if (name && strcmp(name, db_rows_s(rows, 1, NULL)) != 0)
			continue;
		++*found;
		if (verb_json())
			json_row(cell, db, rows, w);
		else
			show_row(cell, db, rows, name != NULL);
	}
	db_rows_free(&rows);
	db_close(&db);
	return e;
}

static int list(const char *name)
{
	const topology_t *t = verb_topology();
	arena_t *a = arena_new(1 << 22);
	unsigned found = 0;
	int code = VERB_DONE;
	jw_t w;

	jw_start(&w, a);
	jw_arr(&w, NULL);
	if (!verb_json())
		printf("%-4s  %6s  %-32s  %7s  %14s  %14s  %s\n", "CELL", "NUMBER", "NAME",
			"VERSION", "BUDGET_FEN", "FREE_FEN", "APPLIED");
	for (unsigned i = 0; i < t->cell_count && code == VERB_DONE; i++) {
		err_t e = list_cell(&t->cell[i], name, &w, &found);
		if (e != ERR_OK)
			code = verb_fail(e, "cell %s", t->cell[i].name);
	}
	jw_arr_end(&w);
	jw_end(&w);
	if (verb_json() && code == VERB_DONE)
		puts(w.buf);
	arena_free(&a);
	if (code == VERB_DONE && name && found == 0) {
		fprintf(stderr, "hbctl: there is no campaign \"%s\"\n", name);
		return VERB_FAILED;
	}
	return code;
}

int campaign_verb(int argc, char **argv)
{
	static const struct option options[] = {{"reason", required_argument, NULL, 'r'},
		{"dry-run", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
	const char *verb = argv[0], *why = NULL;
	bool dry = false;
	int got;

	optind = 0;
	while ((got = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (got == 'r')
			why = optarg;
		else if (got == 'n')
			dry = true;
		else
			return verb_usage(USAGE);
	}
	int left = argc - optind;
	bool applies = !strcmp(verb, "apply"), shows = !strcmp(verb, "show");
	if (left != (applies || shows) || (!applies && (why || dry)) ||
		(applies && !dry && (!why || !*why)))
		return verb_usage(USAGE);
	return applies ? apply(argv[optind], why, dry) : list(shows ? argv[optind] : NULL);
}
