/* Old packets leave (docs/ageing.md). Every look does what is due with each range, one step after the
 * other; each step leaves the database and the folder such that the next look, of whichever worker,
 * goes on from there. A range whose step fails holds no other up. */
#include "domain/age.h"
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/age_export.h"
#include "domain/states.h"
#include "workers/outage.h"
#include "workers/role.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { QUERY_MS = 60000, AHEAD = 2, PATH_BYTES = 400, TEXT_BYTES = 200 };
enum { STEP_CLOSED, STEP_EXPORTED, STEP_AGAIN, STEP_GONE }; /* of METRICS_AGE_RANGES */

typedef struct {
	worker_t *w;
	db_t *db; /* holds the lock; NULL: not connected */
	age_desk desk;
	age_times times;
	char folder[PATH_BYTES];
	age_range *ranges; /* AGE_RANGES_MAX */
	unsigned count;
	uint64_t next_no;
	char told[TEXT_BYTES]; /* what the log was told last, so that it is told once */
} ager;

static err_t tell(ager *a, const char *subject, const char *text)
{
	return age_tell(a->db, subject, text, clk_wall_ms());
}

static void log_once(ager *a, const age_range *r, const char *why, uint64_t no)
{
	char text[TEXT_BYTES];
	snprintf(text, sizeof text, "%" PRIu64 " %s %" PRIu64, r->below, why, no);
	if (strcmp(text, a->told) == 0)
		return;
	memcpy(a->told, text, sizeof text);
	LOG(INFO, "age.waits", {"below", LOG_U(r->below)}, {"why", LOG_S(why)}, {"no", LOG_U(no)});
}

static void stepped(const age_range *r, unsigned step, const char *what)
{
	metrics_add(METRICS_AGE_RANGES, step, 1);
	LOG(INFO, "age.range", {"below", LOG_U(r->below)}, {"is", LOG_S(what)},
		{"packets", LOG_U(r->rows[AGE_PACKET])}, {"claims", LOG_U(r->rows[AGE_CLAIM])});
}

static err_t crowded(ager *a, const age_range *r)
{
	(void)r;
	return tell(a, "ranges",
		"there are age.ranges_max ranges of old packets: docs/ageing.md, \"When it "
		"stops\"");
}

static err_t step_close(ager *a, const age_range *r)
{
	err_t err = age_close(a->db, r, clk_wall_ms());
	if (err == ERR_OK)
		stepped(r, STEP_CLOSED, "closed");
	return err;
}

static err_t step_export(ager *a, const age_range *r)
{
	const char *why;
	uint64_t no;
	age_range done = *r;
	err_t err = age_kept(a->db, r, clk_wall_ms() - a->times.after_ms, &why, &no);
	if (err != ERR_OK)
		return err;
	if (why) {
		log_once(a, r, why, no);
		return ERR_OK;
	}
	err = age_export(&a->desk, r, done.rows, done.digest);
	if (err == ERR_OK)
		err = age_exported(a->db, r, done.rows, done.digest, clk_wall_ms());
	if (err == ERR_OK)
		stepped(&done, STEP_EXPORTED, "exported");
	else if (err == ERR_CONFIG_INVALID)
		err = tell(a, "folder", "old packets cannot be written to age.folder");
	return err;
}

/* An export that is not here was made at another site, or somebody took it. */
static err_t step_leave(ager *a, const age_range *r)
{
	bool same = false;
	err_t err = age_verify(&a->desk, r, &same);
	if (err != ERR_OK && err != ERR_STATE_REFUSED)
		return err;
	if (err == ERR_OK && same)
		return age_leave(a->db, r, clk_wall_ms());
	LOG(WARN, "age.export_differs", {"below", LOG_U(r->below)});
	err = age_again(a->db, r, clk_wall_ms());
	if (err == ERR_OK)
		stepped(r, STEP_AGAIN, "to be exported again");
	return err;
}

static err_t step_drop(ager *a, const age_range *r)
{
	bool gone;
	err_t err = age_drop(a->db, r, clk_wall_ms(), &gone);
	if (gone)
		stepped(r, STEP_GONE, "gone");
	return err;
}

static err_t step_begin(ager *a, const age_range *r)
{
	return age_begin(a->db, r, clk_wall_ms());
}

static err_t step_next(ager *a, const age_range *r)
{
	return age_next(a->db, r, clk_wall_ms());
}

static err_t (*const steps[])(ager *, const age_range *) = {
	[AGE_BEGIN] = step_begin,
	[AGE_NEXT] = step_next,
	[AGE_CROWDED] = crowded,
	[AGE_CLOSE] = step_close,
	[AGE_EXPORT] = step_export,
	[AGE_LEAVE] = step_leave,
	[AGE_DROP] = step_drop,
};

/* So many ranges behind the one whose numbers are given. */
static err_t make_ahead(ager *a)
{
	uint64_t last = a->count ? a->ranges[a->count - 1].below : 0;
	err_t err = ERR_OK;
	const uint64_t width = (uint64_t)AGE_RANGE_SEQS * 100000;
	while (err == ERR_OK && last < a->next_no + AHEAD * width) {
		err = age_add(a->db, last, clk_wall_ms());
		last += width;
	}
	if (err == ERR_STATE_REFUSED)
		err = tell(a, "pmax",
			"packets are in the last partition: docs/ageing.md, \"When it stops\"");
	return err;
}

static err_t look(ager *a)
{
	err_t first = age_load(a->db, a->ranges, &a->count, &a->next_no);
	if (first != ERR_OK)
		return first;
	first = make_ahead(a);
	for (unsigned i = 0; i < a->count && !life_stopping() && db_alive(a->db); i++) {
		const age_step step =
			age_due(a->ranges, a->count, i, &a->times, a->next_no, clk_wall_ms());
		err_t err = step == AGE_NOTHING ? ERR_OK : steps[step](a, &a->ranges[i]);
		if (err == ERR_OK)
			continue;
		db_rollback(a->db); /* whatever failed, the next range begins anew */
		LOG(WARN, "age.step", {"below", LOG_U(a->ranges[i].below)}, {"step", LOG_I(step)},
			{"error", LOG_E(err)});
		if (first == ERR_OK)
			first = err;
	}
	return first;
}

/* A connection of its own, for the lock is the session's and a walk takes its time. */
static err_t hold_lock(ager *a, bool *mine)
{
	db_target t = a->w->p->db;
	t.io_ms = QUERY_MS;
	*mine = false;
	if (a->db && (!db_alive(a->db) || db_stale(a->db)))
		db_close(&a->db);
	err_t err = a->db ? ERR_OK : db_open(&t, &a->db);
	return err == ERR_OK ? age_lock(a->db, mine) : err;
}

static err_t round_of(ager *a)
{
	bool mine;
	err_t err = hold_lock(a, &mine);
	a->desk.db = a->db;
	if (err == ERR_OK && mine)
		err = look(a);
	/* What a connection is after an error that is none of ours is not worth knowing. */
	if (err != ERR_OK && err != ERR_DB_RETRY)
		db_close(&a->db);
	return err;
}

void age_run(worker_t *w)
{
	const conf_t *conf = w->p->conf;
	const char *folder = conf_s(conf, CONF_AGE_FOLDER);
	int64_t every_ms = conf_i(conf, CONF_AGE_EVERY_MS), pause_ms;
	outage_t outage = {.what = "ageing", .first_ms = 1000, .most_ms = 60000};
	ager a = {.w = w,
		.times = {.range_ms = conf_i(conf, CONF_AGE_RANGE_S) * 1000,
			.after_ms = conf_i(conf, CONF_AGE_AFTER_S) * 1000,
			.readable_ms = conf_i(conf, CONF_AGE_READABLE_S) * 1000,
			.ranges_max = (unsigned)conf_i(conf, CONF_AGE_RANGES_MAX)}};
	snprintf(a.folder, sizeof a.folder, "%s/%s", *folder ? folder : ".", w->p->cell->name);
	a.desk = (age_desk){.folder = a.folder, .rows_per_s = conf_i(conf, CONF_AGE_ROWS_PER_S)};
	a.ranges = calloc(AGE_RANGES_MAX, sizeof *a.ranges);
	BUG_ON(!a.ranges);
	do {
		err_t err = round_of(&a);
		pause_ms = every_ms;
		if (err != ERR_OK)
			pause_ms = outage_failed(&outage, err);
		else
			outage_over(&outage);
	} while (!life_wait_ms(pause_ms));
	db_close(&a.db);
	free(a.ranges);
}
