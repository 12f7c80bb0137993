/* The heartbeat goes the way of every write (through semi-sync), so its age says how long ago the
 * cell's primary last had a second server. A write of an old epoch touches nothing and ends the
 * program. */
#include "base/clk.h"
#include "base/life.h"
#include "workers/outage.h"
#include "workers/role.h"

static err_t beat(worker_t *w, uint64_t *beaten)
{
	db_t *db;
	err_t err = db_pool_take(w->db, &db);
	if (err != ERR_OK)
		return err;
	err = db_exec(db, SQL_WORKER_HEARTBEAT,
		DB_ARGS(db_i(clk_wall_ms()), db_u(w->p->epoch), db_u(w->p->epoch)), beaten);
	db_pool_give(w->db, &db);
	return err;
}

void heartbeat_run(worker_t *w)
{
	int64_t every_ms = conf_i(w->p->conf, CONF_HEARTBEAT_MS), pause_ms;
	outage_t outage = {.what = "heartbeat", .first_ms = every_ms, .most_ms = 1000};
	do {
		uint64_t beaten = 0;
		err_t err = beat(w, &beaten);
		pause_ms = every_ms;
		if (err != ERR_OK)
			pause_ms = outage_failed(&outage, err);
		else if (beaten == 0)
			life_stop("another epoch rules this cell");
		else
			outage_over(&outage);
	} while (!life_wait_ms(pause_ms));
}
