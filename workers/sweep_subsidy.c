/* A group in one transaction, in the order of the walk; rows that somebody spends right now are
 * passed over and looked at again in the next round, as spent. */
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
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

/* When a group fails, each alone, so that one bad subsidy stalls nobody. */
static err_t expire_group(worker_t *w, const uint64_t *id, size_t count)
{
	group g = {.id = id, .count = count, .now_ms = clk_wall_ms()};
	err_t err = role_transact(w, expire_tx, &g);
	if (err == ERR_OK)
		metrics_add(METRICS_SWEPT, SWEPT_SUBSIDY, (int64_t)g.expired);
	if (err == ERR_OK || err == ERR_CELL_UNAVAILABLE || life_stopping())
		return err;
	if (count == 1) {
		LOG(ERROR, "sweep.subsidy", {"subsidy_id", LOG_U(*id)}, {"error", LOG_E(err)});
		return ERR_OK;
	}
	err = ERR_OK;
	for (size_t i = 0; i < count && err == ERR_OK; i++)
		err = expire_group(w, id + i, 1);
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

err_t sweep_subsidies(worker_t *w, subsidy_cursor *at, uint64_t *ids, unsigned batch, bool *more)
{
	size_t count = 0;
	err_t err = walk_on(w, at, ids, batch, &count);
	*more = err == ERR_OK && count == batch;
	if (!*more)
		*at = (subsidy_cursor){0};
	for (size_t i = 0; i < count && err == ERR_OK && !life_stopping(); i += GROUP_SUBSIDIES)
		err = expire_group(
			w, ids + i, count - i < GROUP_SUBSIDIES ? count - i : GROUP_SUBSIDIES);
	return err;
}
