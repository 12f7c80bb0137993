/* hbctl reconcile: one window of one cell, or (--live) conservation over all cells as they run. */
#include "units/verb.h"

#include "base/arena.h"
#include "base/jw.h"
#include "base/keys.h"
#include "base/parse.h"
#include "domain/recon.h"
#include "domain/recon_live.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { IO_MS = 600000, OUTPUT_BYTES = 64 << 20 };
static const char USAGE[] = "reconcile --cell CELL --window YYYY-MM-DD[Thh] --domain "
			    "c2c|b2c|claims [--file CSV] [--grace S]\n"
			    "       hbctl reconcile --live [--quiet]";

typedef struct {
	const char *cell, *window, *domain, *file, *grace;
	bool live, quiet;
} arguments;

static bool take_arguments(int argc, char **argv, arguments *a)
{
	const struct {
		const char *flag, **value;
		bool *set;
	} flags[] = {{"--cell", &a->cell, NULL}, {"--window", &a->window, NULL},
		{"--domain", &a->domain, NULL}, {"--file", &a->file, NULL},
		{"--grace", &a->grace, NULL}, {"--live", NULL, &a->live},
		{"--quiet", NULL, &a->quiet}};
	for (int i = 1; i < argc; i++) {
		size_t f = 0;
		while (f < sizeof flags / sizeof *flags && strcmp(argv[i], flags[f].flag) != 0)
			f++;
		if (f == sizeof flags / sizeof *flags || (flags[f].value && i + 1 == argc))
			return false;
		if (flags[f].value)
			*flags[f].value = argv[++i];
		else
			*flags[f].set = true;
	}
	return a->live ? !a->cell && !a->window && !a->domain && !a->file
		       : a->cell && a->window && a->domain && !a->quiet;
}

static err_t open_primary(void *ctx, const topology_cell *cell, db_t **out)
{
	control_record record;
	(void)ctx;
	err_t err = control_get(verb_control(), cell->name, &record);
	if (err != ERR_OK)
		return err;
	const topology_member *primary = topology_member_at(cell, record.primary);
	return primary ? verb_db(primary, "hongbao", IO_MS, out) : ERR_CONFIG_INVALID;
}

/* ---- one window ---- */

typedef struct {
	jw_t *w; /* NULL: as a table */
} output;

static void print_side(jw_t *w, const char *name, bool has, int64_t value)
{
	if (has)
		jw_i64(w, name, value);
	else
		jw_null(w, name);
}

static void print_difference(void *ctx, const recon_diff *d)
{
	output *o = ctx;
	if (!o->w) {
		char ours[24] = "-", theirs[24] = "-";
		if (d->has_ours)
			snprintf(ours, sizeof ours, "%lld", (long long)d->ours);
		if (d->has_theirs)
			snprintf(theirs, sizeof theirs, "%lld", (long long)d->theirs);
		printf("%-11s %-20llu %-14s %14s %14s\n", recon_thing_name(d->thing),
			(unsigned long long)d->no, recon_kind_name(d->kind), ours, theirs);
		return;
	}
	jw_obj(o->w, NULL);
	jw_str(o->w, "thing", recon_thing_name(d->thing));
	jw_id(o->w, "number", d->no);
	jw_str(o->w, "kind", recon_kind_name(d->kind));
	print_side(o->w, "ours", d->has_ours, d->ours);
	print_side(o->w, "theirs", d->has_theirs, d->theirs);
	jw_time(o->w, "found_at", d->found_at_ms);
	jw_obj_end(o->w);
}

static void print_table_head(const recon_job *j, const recon_sum *sum)
{
	printf("%s of cell %s: %llu here, %llu there, %llu waiting, %llu differences, %lld ms\n",
		recon_domain_name(j->domain), j->cell->name, (unsigned long long)sum->here,
		(unsigned long long)sum->there, (unsigned long long)sum->waiting,
		(unsigned long long)sum->differences, (long long)sum->took_ms);
	if (sum->left)
		printf("%llu envelopes of it have left: compared without their claims "
		       "(docs/ageing.md)\n",
			(unsigned long long)sum->left);
	if (sum->differences)
		printf("%-11s %-20s %-14s %14s %14s\n", "THING", "NUMBER", "KIND", "OURS",
			"THEIRS");
}

static err_t print_json(const recon_job *j, const recon_sum *sum)
{
	arena_t *a = arena_new(OUTPUT_BYTES);
	jw_t w;
	output o = {&w};
	jw_start(&w, a);
	jw_obj(&w, NULL);
	jw_str(&w, "cell", j->cell->name);
	jw_str(&w, "domain", recon_domain_name(j->domain));
	jw_time(&w, "from", j->window.from_ms);
	jw_time(&w, "to", j->window.to_ms);
	jw_i64(&w, "here", (int64_t)sum->here);
	jw_i64(&w, "there", (int64_t)sum->there);
	jw_i64(&w, "waiting", (int64_t)sum->waiting);
	jw_i64(&w, "left", (int64_t)sum->left);
	jw_i64(&w, "took_ms", sum->took_ms);
	jw_arr(&w, "differences");
	err_t err = recon_differences(j->db, j->domain, &j->window, print_difference, &o);
	jw_arr_end(&w);
	jw_obj_end(&w);
	size_t n = jw_end(&w);
	if (err == ERR_OK)
		printf("%.*s\n", (int)n, w.buf);
	arena_free(&a);
	return err;
}

static err_t run_window(recon_job *j, recon_sum *sum)
{
	err_t err = recon_run(j, sum);
	if (err != ERR_OK)
		return err;
	if (verb_json())
		return print_json(j, sum);
	print_table_head(j, sum);
	output o = {NULL};
	return recon_differences(j->db, j->domain, &j->window, print_difference, &o);
}

static err_t open_finance(keys_ring_t **keys, finance_t **out)
{
	const conf_t *conf = verb_conf();
	finance_target t = {.connect_ms = conf_i(conf, CONF_FINANCE_CONNECT_MS),
		.total_ms = conf_i(conf, CONF_FINANCE_TOTAL_MS)};
	err_t err = keys_load(conf_secret_path(conf, "finance.keys"), keys);
	if (err != ERR_OK)
		return err;
	t.keys = *keys;
	snprintf(t.urls, sizeof t.urls, "%s", conf_s(conf, CONF_FINANCE_URL));
	snprintf(t.merchant, sizeof t.merchant, "%s", conf_s(conf, CONF_FINANCE_MERCHANT));
	return finance_new(&t, out);
}

static int window_verb(const arguments *a)
{
	char folder[300];
	uint64_t grace_s = 0;
	keys_ring_t *keys = NULL;
	finance_t *finance = NULL;
	recon_sum sum = {0};
	recon_job j = {.domain = recon_domain_named(a->domain),
		.topo = verb_topology(),
		.file = a->file,
		.wins = conf_s(verb_conf(), CONF_WINS_DIR),
		.folder = folder,
		.skew_ms = conf_i(verb_conf(), CONF_FINANCE_SKEW_S) * 1000,
		.peer = open_primary};
	if (!j.domain || recon_window_parse(a->window, &j.window) != ERR_OK ||
		(a->grace && !parse_u64(a->grace, 86400, &grace_s)))
		return verb_usage(USAGE);
	if (!a->grace)
		grace_s = (uint64_t)conf_i(verb_conf(),
			j.domain == RECON_CLAIMS ? CONF_RECON_CLAIM_GRACE_S : CONF_RECON_GRACE_S);
	if (j.domain == RECON_C2C && j.window.to_ms - j.window.from_ms != RECON_DAY_MS)
		return verb_usage(
			"reconcile: the windows of c2c are days, as finance's statements are");
	j.grace_ms = (int64_t)grace_s * 1000;
	j.cell = verb_cell(a->cell);
	snprintf(folder, sizeof folder, "%s/recon", verb_state());
	mkdir(folder, 0750); /* what is wrong with it shows at the first file */
	err_t err = open_primary(NULL, j.cell, &j.db);
	if (err == ERR_OK && j.domain == RECON_C2C && !j.file)
		err = open_finance(&keys, &finance);
	j.finance = finance;
	if (err == ERR_OK)
		err = run_window(&j, &sum);
	finance_free(&finance);
	keys_free(&keys);
	db_close(&j.db);
	if (err != ERR_OK)
		return verb_fail(err, "reconcile");
	return sum.differences ? VERB_DIFFERENCES : VERB_DONE;
}

/* ---- live ---- */

typedef struct {
	const topology_cell *cell;
	uint64_t broken;
	jw_t *w;
} live_packets;

static void print_packet(void *ctx, const recon_packet *p)
{
	live_packets *l = ctx;
	l->broken++;
	if (!l->w) {
		printf("packet %llu: %s (total %lld, paid %lld, claimed %lld, transferred %lld, "
		       "refunded %lld)\n",
			(unsigned long long)p->packet_id, p->rule, (long long)p->total_fen,
			(long long)p->paid_fen, (long long)p->claimed_fen, (long long)p->moved_fen,
			(long long)p->refunded_fen);
		return;
	}
	jw_obj(l->w, NULL);
	jw_id(l->w, "packet", p->packet_id);
	jw_str(l->w, "cell", l->cell->name);
	jw_str(l->w, "rule", p->rule);
	jw_i64(l->w, "total", p->total_fen);
	jw_i64(l->w, "paid", p->paid_fen);
	jw_i64(l->w, "claimed", p->claimed_fen);
	jw_i64(l->w, "transferred", p->moved_fen);
	jw_i64(l->w, "refunded", p->refunded_fen);
	jw_obj_end(l->w);
}

static bool flow_wrong(const recon_flow *f, bool quiet)
{
	return f->in_fen > f->out_fen || (quiet && f->in_fen != f->out_fen);
}

static void print_flow(jw_t *w, const recon_flow *f, bool quiet)
{
	bool wrong = flow_wrong(f, quiet);
	if (!w) {
		printf("%s to %s: %lld fen out, %lld in, %lld under way%s\n", f->from->name,
			f->to->name, (long long)f->out_fen, (long long)f->in_fen,
			(long long)(f->out_fen - f->in_fen), wrong ? ": WRONG" : "");
		return;
	}
	jw_obj(w, NULL);
	jw_str(w, "from", f->from->name);
	jw_str(w, "to", f->to->name);
	jw_i64(w, "out", f->out_fen);
	jw_i64(w, "in", f->in_fen);
	jw_bool(w, "wrong", wrong);
	jw_obj_end(w);
}

static err_t live_flows(db_t *const *db, bool quiet, jw_t *w, uint64_t *wrong)
{
	const topology_t *t = verb_topology();
	err_t err = ERR_OK;
	for (unsigned from = 0; from < t->cell_count; from++)
		for (unsigned to = 0; to < t->cell_count && err == ERR_OK; to++) {
			recon_flow f = {.from = &t->cell[from], .to = &t->cell[to]};
			err = recon_live_flow(db[from], db[to], &f);
			if (err == ERR_OK) {
				print_flow(w, &f, quiet);
				*wrong += flow_wrong(&f, quiet);
			}
		}
	return err;
}

static err_t live_all(db_t *const *db, bool quiet, jw_t *w, uint64_t *wrong)
{
	const topology_t *t = verb_topology();
	uint64_t looked = 0;
	if (w)
		jw_arr(w, "flows");
	err_t err = live_flows(db, quiet, w, wrong);
	if (w) {
		jw_arr_end(w);
		jw_arr(w, "packets");
	}
	for (unsigned c = 0; c < t->cell_count && err == ERR_OK; c++) {
		live_packets l = {.cell = &t->cell[c], .w = w};
		uint64_t count = 0;
		err = recon_live_packets(db[c], print_packet, &l, &count);
		*wrong += l.broken;
		looked += count;
	}
	if (w) {
		jw_arr_end(w);
		jw_i64(w, "looked_at", (int64_t)looked);
	} else {
		printf("%llu envelopes looked at, %llu findings\n", (unsigned long long)looked,
			(unsigned long long)*wrong);
	}
	return err;
}

static int live_verb(bool quiet)
{
	const topology_t *t = verb_topology();
	db_t *db[TOPOLOGY_CELLS_MAX] = {0};
	uint64_t wrong = 0;
	arena_t *a = arena_new(OUTPUT_BYTES);
	jw_t w;
	err_t err = ERR_OK;
	for (unsigned c = 0; c < t->cell_count && err == ERR_OK; c++)
		err = open_primary(NULL, &t->cell[c], &db[c]);
	jw_start(&w, a);
	jw_obj(&w, NULL);
	if (err == ERR_OK)
		err = live_all(db, quiet, verb_json() ? &w : NULL, &wrong);
	if (err == ERR_OK && verb_json()) {
		jw_obj_end(&w);
		size_t n = jw_end(&w);
		printf("%.*s\n", (int)n, w.buf);
	}
	arena_free(&a);
	for (unsigned c = 0; c < t->cell_count; c++)
		db_close(&db[c]);
	if (err != ERR_OK)
		return verb_fail(err, "reconcile");
	return wrong ? VERB_DIFFERENCES : VERB_DONE;
}

int reconcile_verb(int argc, char **argv)
{
	arguments a = {0};
	if (!take_arguments(argc, argv, &a))
		return verb_usage(USAGE);
	return a.live ? live_verb(a.quiet) : window_verb(&a);
}
