/* A group in one transaction, in the order of the walk; rows that somebody spends right now are
 * passed over and looked at again in the next round, as spent. */
#include "base/clk.h"
#include "base/life.h"
#include "base/metrics.h"
#include "domain/subsidy.h"
#include "workers/sweep.h"

enum { GROUP_SUBSIDIES = 64 };

typedef struct {
	const uint64_t *id;
	size_t count, expired;
	int64_t now_ms;
} group;

static err_t expire_tx(db_t *db, void *ctx)
{
	group *g = ctx;
	err_t err = ERR_OK;
	g->expired = 0;
	for (size_t i = 0; i < g->count && err == ERR_OK; i++) {
		bool expired = false;
		err = subsidy_expire(db, g->id[i], g->now_ms, &expired);
		g->expired += expired;
	}
	return err;
}

static err_t walk_on(worker_t *w, subsidy_cursor *at, uint64_t *ids, unsigned batch, size_t *count)
{
	db_t *db;
	err_t err = db_pool_take(w->db, &db);
	if (err != ERR_OK)
		return err;
	err = subsidy_expired(db, clk_wall_ms(), batch, at, ids, count);
	db_pool_give(w->db, &db);
	return err;
}

err_t sweep_subsidies(worker_t *w, uint64_t *ids, unsigned batch)
{
	subsidy_cursor at = {0};
	size_t count = batch;
	err_t err = ERR_OK;
	while (err == ERR_OK && count == batch && !life_stopping()) {
		err = walk_on(w, &at, ids, batch, &count);
		for (size_t i = 0; i < count && err == ERR_OK && !life_stopping();
			i += GROUP_SUBSIDIES) {
			group g = {.id = ids + i,
				.count = count - i < GROUP_SUBSIDIES ? count - i : GROUP_SUBSIDIES,
				.now_ms = clk_wall_ms()};
			err = role_transact(w, expire_tx, &g);
			if (err == ERR_OK)
				metrics_add(METRICS_SWEPT, SWEPT_SUBSIDY, (int64_t)g.expired);
		}
	}
	return err;
}
