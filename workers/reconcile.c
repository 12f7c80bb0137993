/* A timer: the day before (c2c) and the hour before (b2c) are compared once they are over and what
 * was on its way then has had the time to arrive; and before them those that were missed while nobody
 * ran, oldest first, back to recon.back_s. Two of these at once write the same rows. */
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "domain/recon.h"
#include "workers/outage.h"
#include "workers/role.h"

enum {
	QUERY_MS = 600000
}; /* a rule walks over a whole window: a connection of its own, with patience */

static const struct {
	recon_domain domain;
	int64_t length_ms;
} timers[] = {{RECON_C2C, RECON_DAY_MS}, {RECON_B2C, RECON_HOUR_MS}};

static err_t open_peer(void *ctx, const topology_cell *cell, db_t **out)
{
	const worker_t *w = ctx;
	db_target t = w->p->db;
	const topology_member *m = topology_member_at(cell, cell->active);
	if (!m)
		return ERR_CONFIG_INVALID;
	snprintf(t.host, sizeof t.host, "%s", m->host);
	t.port = m->mysql_port;
	t.io_ms = QUERY_MS;
	t.epoch = 0; /* nothing is written there */
	return db_open(&t, out);
}

static err_t compare(worker_t *w, db_t *db, recon_domain domain, const recon_window *window)
{
	const conf_t *conf = w->p->conf;
	const char *folder = conf_s(conf, CONF_RECON_FOLDER);
	recon_sum sum = {0};
	recon_job j = {.domain = domain,
		.window = *window,
		.topo = w->p->topo,
		.cell = w->p->cell,
		.db = db,
		.finance = w->desk.finance,
		.wins = conf_s(conf, CONF_WINS_DIR),
		.folder = folder[0] ? folder : ".",
		.grace_ms = conf_i(conf, CONF_RECON_GRACE_S) * 1000,
		.skew_ms = conf_i(conf, CONF_FINANCE_SKEW_S) * 1000,
		.peer = open_peer,
		.ctx = w};
	bool done = false;
	err_t err = recon_done(db, domain, window, &done);
	if (err == ERR_OK && !done) {
		err = recon_run(&j, &sum);
		LOG(INFO, "recon.done", {"domain", LOG_S(recon_domain_name(domain))},
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
static err_t compare_all(worker_t *w, recon_domain domain, int64_t length_ms, int64_t now_ms)
{
	db_t *db;
	db_target t = w->p->db;
	int64_t to_ms = now_ms / length_ms * length_ms, first_ms;
	t.io_ms = QUERY_MS;
	err_t err = db_open(&t, &db);
	if (err != ERR_OK)
		return err;
	err = recon_first(db, domain, length_ms, &first_ms);
	if (err == ERR_OK) {
		recon_window x = {.from_ms = from_when(w, first_ms, length_ms, to_ms)};
		for (; x.from_ms < to_ms && !life_stopping(); x.from_ms += length_ms) {
			x.to_ms = x.from_ms + length_ms;
			err_t one = compare(w, db, domain, &x);
			if (err == ERR_OK)
				err = one;
		}
	}
	db_close(&db);
	return err;
}

void reconcile_run(worker_t *w)
{
	const conf_t *conf = w->p->conf;
	int64_t every_ms = conf_i(conf, CONF_RECON_EVERY_S) * 1000, pause_ms;
	outage_t outage = {.what = "reconciliation", .first_ms = 1000, .most_ms = 60000};
	do {
		err_t first = ERR_OK;
		int64_t now_ms = clk_wall_ms() - conf_i(conf, CONF_RECON_GRACE_S) * 1000;
		for (size_t i = 0; i < sizeof timers / sizeof *timers && !life_stopping(); i++) {
			err_t err = compare_all(w, timers[i].domain, timers[i].length_ms, now_ms);
			if (first == ERR_OK)
				first = err;
		}
		pause_ms = first == ERR_OK ? every_ms : outage_failed(&outage, first);
		if (first == ERR_OK)
			outage_over(&outage);
	} while (!life_wait_ms(pause_ms));
}
