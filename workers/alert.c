/* One message to the webhook for everything that waits, and then a pause that the whole cell keeps,
 * because it is counted from what was last sent; so an outage that makes a thousand alerts makes a
 * message a minute, and the first of them goes out at once. Rows are leased while they are sent and
 * marked when the bot has taken the message: one that was sent by a worker that died before the mark
 * is sent again, and none is lost. A webhook that fails is left alone by its breaker: the rows wait. */
#include "domain/alert.h"

#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "workers/alert_text.h"
#include "workers/outage.h"
#include "workers/role.h"
#include <stdlib.h>
#include <string.h>

enum { LOOK_EVERY_MS = 1000, TAKE_MAX = 500, LEASE_SPARE_MS = 10000 };
enum { SENT, FAILED };

typedef struct {
	worker_t *w;
	webhook_t *hook; /* NULL: to the log only */
	breaker_t *breaker;
	breaker_ticket ticket;
	outage_t outage;
	alert_row *rows; /* TAKE_MAX */
	size_t count;
} alerter;

static webhook_t *open_hook(const program_t *p)
{
	webhook_target t;
	if (alert_target(p->conf, &t) != ERR_OK)
		life_stop("secrets/alert.url or alert.secret cannot be read");
	return *t.url ? webhook_new(&t) : NULL;
}

static err_t take_tx(db_t *db, void *ctx)
{
	alerter *a = ctx;
	int64_t now_ms = clk_wall_ms();
	int64_t lease_ms = conf_i(a->w->p->conf, CONF_ALERT_TIMEOUT_MS) + LEASE_SPARE_MS;
	return alert_take(db, now_ms, now_ms + lease_ms, TAKE_MAX, a->rows, &a->count);
}

static err_t sent_tx(db_t *db, void *ctx)
{
	const alerter *a = ctx;
	return alert_sent(db, a->rows, a->count, clk_wall_ms());
}

static err_t not_sent_tx(db_t *db, void *ctx)
{
	const alerter *a = ctx;
	return alert_not_sent(db, a->rows, a->count);
}

static err_t say(alerter *a)
{
	char text[WEBHOOK_TEXT_BYTES];
	const conf_t *conf = a->w->p->conf;
	for (size_t i = 0; i < a->count; i++)
		LOG(WARN, "alert", {"text", LOG_S(a->rows[i].text)});
	if (!a->hook)
		return ERR_OK;
	alert_text(a->w->p->cell->name, a->rows, a->count, (size_t)conf_i(conf, CONF_ALERT_LINES),
		text, sizeof text);
	return webhook_say(a->hook, text);
}

/* *due: something waits, and the pause is over. */
static err_t look(alerter *a, bool *due)
{
	db_t *db;
	uint64_t count = 0;
	int64_t last_ms = 0, now_ms = clk_wall_ms();
	err_t err = db_pool_take(a->w->db, &db);
	if (err != ERR_OK)
		return err;
	err = alert_waiting(db, now_ms, &count, &last_ms);
	db_pool_give(a->w->db, &db);
	*due = err == ERR_OK && count > 0 &&
	       now_ms - last_ms >= conf_i(a->w->p->conf, CONF_ALERT_EVERY_MS);
	return err;
}

/* Not leased while the breaker holds them back. */
static err_t take(alerter *a)
{
	bool due;
	err_t err = look(a, &due);
	a->count = 0;
	if (err != ERR_OK || !due || !breaker_take(a->breaker, clk_mono_us(), &a->ticket))
		return err;
	err = role_transact(a->w, take_tx, a);
	if (err != ERR_OK)
		a->count = 0;
	if (a->count == 0)
		breaker_give(a->breaker, &a->ticket, BREAKER_UNUSED, clk_mono_us());
	return err;
}

static err_t round_of(alerter *a)
{
	err_t err = take(a);
	if (a->count == 0)
		return err;
	const bool said = say(a) == ERR_OK;
	breaker_give(a->breaker, &a->ticket, said ? BREAKER_OK : BREAKER_FAILED, clk_mono_us());
	metrics_add(METRICS_ALERTS, said ? SENT : FAILED, said ? (int64_t)a->count : 1);
	return role_transact(a->w, said ? sent_tx : not_sent_tx, a);
}

void alert_run(worker_t *w)
{
	alerter a = {.w = w,
		.hook = open_hook(w->p),
		.outage = {.what = "alert", .first_ms = 1000, .most_ms = 60000}};
	breaker_conf breaker;
	int64_t pause_ms;
	program_breaker(w->p, BREAKER_WEBHOOK, &breaker);
	a.breaker = breaker_new(&breaker);
	a.rows = calloc(TAKE_MAX, sizeof *a.rows);
	BUG_ON(!a.rows);
	do {
		err_t err = round_of(&a);
		pause_ms = LOOK_EVERY_MS;
		if (err != ERR_OK)
			pause_ms = outage_failed(&a.outage, err);
		else
			outage_over(&a.outage);
	} while (!life_wait_ms(pause_ms));
	webhook_free(&a.hook);
	breaker_free(&a.breaker);
	free(a.rows);
}
