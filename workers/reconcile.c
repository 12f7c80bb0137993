/* A timer: the day before (c2c) and the hour before (b2c, claims) are compared once they are over and what
 * was on its way then has had the time to arrive; and before them those that were missed while nobody
 * ran, oldest first, back to recon.back_s. Two of these at once write the same rows. How far back all
 * has been compared is shown in /metrics, for a window that fails again and again is told by nothing
 * else. */
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/primary.h"
#include "domain/recon.h"
#include "workers/outage.h"
#include "workers/role.h"

/* A rule walks over a whole window: a connection of its own, with patience. */
enum { QUERY_MS = 600000, CONTROL_MS = 2000 };

typedef struct {
	recon_domain domain;
	int64_t length_ms;
	conf_id grace_s;
} timer;
static const timer timers[] = {{RECON_C2C, RECON_DAY_MS, CONF_RECON_GRACE_S},
	{RECON_B2C, RECON_HOUR_MS, CONF_RECON_GRACE_S},
	{RECON_CLAIMS, RECON_HOUR_MS, CONF_RECON_CLAIM_GRACE_S}};

typedef struct {
	worker_t *w;
	control_t *control; /* where the other cells are */
} rounds;

static err_t open_peer(void *ctx, const topology_cell *cell, db_t **out)
{
	const rounds *s = ctx;
	db_target t = s->w->p->db;
	const topology_member *m;
	err_t err = primary_of(s->control, cell, &m);
	if (err != ERR_OK)
		return err;
	snprintf(t.host, sizeof t.host, "%s", m->host);
	t.port = m->mysql_port;
	t.io_ms = QUERY_MS;
	t.epoch = 0; /* nothing is written there */
	return db_open(&t, out);
}

static err_t compare(rounds *s, db_t *db, const timer *t, const recon_window *window)
{
	const worker_t *w = s->w;
	const conf_t *conf = w->p->conf;
	const char *folder = conf_s(conf, CONF_RECON_FOLDER);
	recon_sum sum = {0};
	recon_job j = {.domain = t->domain,
		.window = *window,
		.topo = w->p->topo,
		.cell = w->p->cell,
		.db = db,
		.finance = w->desk.finance,
		.wins = conf_s(conf, CONF_WINS_DIR),
		.folder = folder[0] ? folder : ".",
		.grace_ms = conf_i(conf, t->grace_s) * 1000,
		.skew_ms = conf_i(conf, CONF_FINANCE_SKEW_S) * 1000,
		.peer = open_peer,
		.ctx = s};
	bool done = false;
	err_t err = recon_done(db, t->domain, window, j.grace_ms, &done);
	if (err == ERR_OK && !done) {
		err = recon_run(&j, &sum);
		LOG(INFO, "recon.done", {"domain", LOG_S(recon_domain_name(t->domain))},
			{"from_ms", LOG_I(window->from_ms)}, {"here", LOG_U(sum.here)},
			{"there", LOG_U(sum.there)}, {"differences", LOG_U(sum.differences)},
			{"left", LOG_U(sum.left)}, {"took_ms", LOG_I(sum.took_ms)},
			{"error", LOG_E(err)});
	}
	return err;
}

/* From which window on: the last one, or one that was missed since the first that there ever was. */
static int64_t from_when(const worker_t *w, int64_t first_ms, int64_t length_ms, int64_t to_ms)
{
	int64_t from_ms = to_ms - conf_i(w->p->conf, CONF_RECON_BACK_S) * 1000;
	if (first_ms == 0 || from_ms > to_ms - length_ms)
		return to_ms - length_ms;
	if (from_ms < first_ms)
		from_ms = first_ms;
	return (from_ms + length_ms - 1) / length_ms * length_ms;
}

/* A window that fails (a statement that is not to be had) stops none after it. */
static err_t compare_from(rounds *s, db_t *db, const timer *t, int64_t from_ms, int64_t to_ms)
{
	recon_window x = {.from_ms = from_ms};
	int64_t all_to_ms = to_ms;
	err_t err = ERR_OK;
	for (; x.from_ms < to_ms && !life_stopping(); x.from_ms += t->length_ms) {
		x.to_ms = x.from_ms + t->length_ms;
		err_t one = compare(s, db, t, &x);
		if (err != ERR_OK || one == ERR_OK)
			continue;
		err = one;
		all_to_ms = x.from_ms;
	}
	if (x.from_ms >= to_ms)
		metrics_set(METRICS_RECON_COMPARED, t->domain - 1, all_to_ms);
	return err;
}

static err_t compare_all(rounds *s, const timer *t)
{
	db_t *db;
	db_target target = s->w->p->db;
	int64_t over_ms = clk_wall_ms() - conf_i(s->w->p->conf, t->grace_s) * 1000, first_ms;
	int64_t to_ms = over_ms / t->length_ms * t->length_ms;
	target.io_ms = QUERY_MS;
	err_t err = db_open(&target, &db);
	if (err != ERR_OK)
		return err;
	err = recon_first(db, t->domain, t->length_ms, &first_ms);
	if (err == ERR_OK)
		err = compare_from(s, db, t, from_when(s->w, first_ms, t->length_ms, to_ms), to_ms);
	db_close(&db);
	return err;
}

void reconcile_run(worker_t *w)
{
	const conf_t *conf = w->p->conf;
	int64_t every_ms = conf_i(conf, CONF_RECON_EVERY_S) * 1000, pause_ms;
	outage_t outage = {.what = "reconciliation", .first_ms = 1000, .most_ms = 60000};
	rounds s = {.w = w};
	BUG_ON(control_new(w->p->topo->etcd, "/hongbao/", CONTROL_MS, &s.control) != ERR_OK);
	do {
		err_t first = ERR_OK;
		for (size_t i = 0; i < sizeof timers / sizeof *timers && !life_stopping(); i++) {
			err_t err = compare_all(&s, &timers[i]);
			if (first == ERR_OK)
				first = err;
		}
		pause_ms = first == ERR_OK ? every_ms : outage_failed(&outage, first);
		if (first == ERR_OK)
			outage_over(&outage);
	} while (!life_wait_ms(pause_ms));
	control_free(&s.control);
}
