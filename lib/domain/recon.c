/* A difference is written when it is found, in groups, and the whole run is marked done at its end;
 * so whoever is killed leaves a run without an end, and what it found. Rows that this run did not
 * see again are marked as gone, not deleted: that something was different once is worth knowing. */
#include "domain/recon.h"

#include "base/clk.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/alert.h"
#include "domain/recon_inner.h"
#include <stdio.h>
#include <string.h>

enum { LOGGED_MAX = 100 /* differences of one run; the rows have all */ };

typedef struct {
	unsigned number;
	const char *shown;
} name_row;

static const name_row DOMAINS[] = {
#define DOMAIN(name, number, shown, help) {number, shown},
#define THING(name, number, shown, help)
#define KIND(name, number, shown, help)
#include "domain/recon.def"
#undef DOMAIN
#undef THING
#undef KIND
};
static const name_row THINGS[] = {
#define DOMAIN(name, number, shown, help)
#define THING(name, number, shown, help) {number, shown},
#define KIND(name, number, shown, help)
#include "domain/recon.def"
#undef DOMAIN
#undef THING
#undef KIND
};
static const name_row KINDS[] = {
#define DOMAIN(name, number, shown, help)
#define THING(name, number, shown, help)
#define KIND(name, number, shown, help) {number, shown},
#include "domain/recon.def"
#undef DOMAIN
#undef THING
#undef KIND
};
#define NAME_OF(rows, n) name_of(rows, sizeof rows / sizeof *rows, n)

static const char *name_of(const name_row *rows, size_t count, unsigned number)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].number == number)
			return rows[i].shown;
	return "?";
}

const char *recon_domain_name(unsigned domain)
{
	return NAME_OF(DOMAINS, domain);
}

const char *recon_thing_name(unsigned thing)
{
	return NAME_OF(THINGS, thing);
}

const char *recon_kind_name(unsigned kind)
{
	return NAME_OF(KINDS, kind);
}

recon_domain recon_domain_named(const char *name)
{
	for (size_t i = 0; i < sizeof DOMAINS / sizeof *DOMAINS; i++)
		if (strcmp(DOMAINS[i].shown, name) == 0)
			return (recon_domain)DOMAINS[i].number;
	return 0;
}

err_t recon_window_parse(const char *text, recon_window *out)
{
	char full[CLK_RFC3339_BYTES];
	size_t n = strlen(text);
	bool day = n == strlen("2026-11-22"), hour = n == strlen("2026-11-22T08");
	if (!day && !hour)
		return ERR_INVALID_FIELD;
	snprintf(full, sizeof full, "%s%s", text, day ? "T00:00:00Z" : ":00:00Z");
	err_t err = clk_parse_rfc3339(full, &out->from_ms);
	if (err == ERR_OK)
		out->to_ms = out->from_ms + (day ? RECON_DAY_MS : RECON_HOUR_MS);
	return err;
}

static err_t write_group(recon_work *w)
{
	const recon_job *j = w->job;
	int64_t now_ms = clk_wall_ms();
	if (w->waiting_writes == 0)
		return ERR_OK;
	err_t err = db_begin(j->db);
	for (unsigned i = 0; i < w->waiting_writes && err == ERR_OK; i++) {
		const recon_diff *d = &w->waiting_write[i];
		err = db_exec(j->db, SQL_RECON_DIFF_ADD,
			DB_ARGS(db_u(j->domain), db_i(j->window.from_ms), db_i(j->window.to_ms),
				db_u(d->thing), db_u(d->no), db_u(d->kind),
				d->has_ours ? db_i(d->ours) : db_null(),
				d->has_theirs ? db_i(d->theirs) : db_null(), db_i(now_ms),
				db_i(now_ms)),
			NULL);
	}
	if (err == ERR_OK)
		err = db_commit(j->db);
	else
		db_rollback(j->db);
	w->waiting_writes = 0;
	return err;
}

err_t recon_found(recon_work *w, const recon_diff *d)
{
	if (w->sum.differences < LOGGED_MAX)
		LOG(ERROR, "recon.difference", {"domain", LOG_S(recon_domain_name(w->job->domain))},
			{"thing", LOG_S(recon_thing_name(d->thing))}, {"number", LOG_U(d->no)},
			{"kind", LOG_S(recon_kind_name(d->kind))}, {"ours", LOG_I(d->ours)},
			{"theirs", LOG_I(d->theirs)});
	metrics_add(METRICS_RECON_DIFFERENCES, d->kind - 1, 1);
	w->sum.differences++;
	if (w->of_kind[d->kind].count++ == 0)
		w->of_kind[d->kind].first = *d;
	w->waiting_write[w->waiting_writes++] = *d;
	bool full = w->waiting_writes == sizeof w->waiting_write / sizeof *w->waiting_write;
	return full ? write_group(w) : ERR_OK;
}

static err_t begin(recon_work *w)
{
	const recon_job *j = w->job;
	w->began_ms = clk_wall_ms();
	return db_exec(j->db, SQL_RECON_RUN_BEGIN,
		DB_ARGS(db_u(j->domain), db_i(j->window.from_ms), db_i(j->window.to_ms),
			db_i(w->began_ms), db_u(j->file != NULL)),
		NULL);
}

/* "2026-11-22" or "2026-11-22T08", as recon_window_parse takes them. */
static void window_text(const recon_window *window, char out[CLK_RFC3339_BYTES])
{
	clk_rfc3339(window->from_ms, out);
	out[strlen(window->to_ms - window->from_ms < RECON_DAY_MS ? "2026-11-22T08"
								  : "2026-11-22")] = 0;
}

/* One for each kind of the window, told once; what is no more found may be told again when it comes back. */
static err_t alert_kind_of(recon_work *w, unsigned kind, int64_t now_ms)
{
	const recon_job *j = w->job;
	const recon_diff *d = &w->of_kind[kind].first;
	const char *domain = recon_domain_name(j->domain);
	char window[CLK_RFC3339_BYTES], subject[ALERT_SUBJECT_BYTES], text[ALERT_TEXT_BYTES];
	window_text(&j->window, window);
	snprintf(subject, sizeof subject, "%s %s %s", domain, window, recon_kind_name(kind));
	if (w->of_kind[kind].count == 0)
		return alert_clear(j->db, ALERT_DIFFERENCE, subject);
	snprintf(text, sizeof text,
		"the books of %s %s differ: %s, %llu time%s, first %s %llu: "
		"hbctl reconcile --cell %s --window %s --domain %s",
		domain, window, recon_kind_name(kind), (unsigned long long)w->of_kind[kind].count,
		w->of_kind[kind].count == 1 ? "" : "s", recon_thing_name(d->thing),
		(unsigned long long)d->no, j->cell->name, window, domain);
	return alert_add(j->db, ALERT_DIFFERENCE, subject, text, now_ms);
}

static err_t alert_all(recon_work *w, int64_t now_ms)
{
	err_t err = ERR_OK;
	for (unsigned kind = 1; kind < RECON_KINDS && err == ERR_OK; kind++)
		err = alert_kind_of(w, kind, now_ms);
	return err;
}

static err_t end(recon_work *w)
{
	const recon_job *j = w->job;
	int64_t now_ms = clk_wall_ms();
	err_t err = db_begin(j->db);
	if (err == ERR_OK)
		err = db_exec(j->db, SQL_RECON_DIFF_GONE,
			DB_ARGS(db_i(now_ms), db_u(j->domain), db_i(j->window.from_ms),
				db_i(j->window.to_ms), db_i(w->began_ms)),
			NULL);
	if (err == ERR_OK)
		err = alert_all(w, now_ms);
	if (err == ERR_OK)
		err = db_exec(j->db, SQL_RECON_RUN_END,
			DB_ARGS(db_i(now_ms), db_u(w->sum.here), db_u(w->sum.there),
				db_u(w->sum.waiting), db_u(w->sum.differences), db_u(j->domain),
				db_i(j->window.from_ms), db_i(j->window.to_ms)),
			NULL);
	if (err == ERR_OK)
		return db_commit(j->db);
	db_rollback(j->db);
	return err;
}

err_t recon_run(const recon_job *job, recon_sum *out)
{
	static err_t (*const compare[])(recon_work * w) = {
		[RECON_C2C] = recon_c2c, [RECON_B2C] = recon_b2c, [RECON_CLAIMS] = recon_claims};
	recon_work w = {.job = job};
	int64_t from_ms = clk_mono_ms();
	err_t err = begin(&w);
	if (err == ERR_OK)
		err = compare[job->domain](&w);
	err_t written = write_group(&w);
	if (err == ERR_OK)
		err = written;
	if (err == ERR_OK)
		err = end(&w);
	w.sum.took_ms = clk_mono_ms() - from_ms;
	*out = w.sum;
	if (err == ERR_OK)
		metrics_add(METRICS_RECON_RUNS, job->domain - 1, 1);
	return err;
}

err_t recon_done(
	db_t *db, recon_domain domain, const recon_window *window, int64_t grace_ms, bool *done)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_RECON_RUN_FIND,
		DB_ARGS(db_u(domain), db_i(window->from_ms), db_i(window->to_ms),
			db_i(window->to_ms + grace_ms)),
		&r);
	if (err != ERR_OK)
		return err;
	*done = db_rows_count(r) > 0;
	db_rows_free(&r);
	return ERR_OK;
}

err_t recon_first(db_t *db, recon_domain domain, int64_t length_ms, int64_t *from_ms)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_RECON_RUN_FIRST, DB_ARGS(db_u(domain), db_i(length_ms)), &r);
	if (err != ERR_OK)
		return err;
	*from_ms = db_rows_next(r) && !db_rows_null(r, 0) ? db_rows_i(r, 0) : 0;
	db_rows_free(&r);
	return ERR_OK;
}

err_t recon_differences(
	db_t *db, recon_domain domain, const recon_window *window, recon_diff_fn each, void *ctx)
{
	recon_diff d = {0};
	size_t count = RECON_PAGE;
	while (count == RECON_PAGE) {
		db_rows_t *r;
		err_t err = db_select(db, SQL_RECON_DIFF_PAGE,
			DB_ARGS(db_u(domain), db_i(window->from_ms), db_i(window->to_ms),
				db_u(d.thing), db_u(d.thing), db_u(d.no), db_u(d.no), db_u(d.kind),
				db_u(RECON_PAGE)),
			&r);
		if (err != ERR_OK)
			return err;
		for (count = 0; db_rows_next(r); count++) {
			d = (recon_diff){.thing = (unsigned)db_rows_u(r, 0),
				.no = db_rows_u(r, 1),
				.kind = (unsigned)db_rows_u(r, 2),
				.has_ours = !db_rows_null(r, 3),
				.has_theirs = !db_rows_null(r, 4),
				.ours = db_rows_i(r, 3),
				.theirs = db_rows_i(r, 4),
				.found_at_ms = db_rows_i(r, 5)};
			each(ctx, &d);
		}
		db_rows_free(&r);
	}
	return ERR_OK;
}
