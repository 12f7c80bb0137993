/* Rows and not messages, because what alerts are about is often that messages do not get through; and
 * because a unique key is what makes one alert of a thing that many processes find. */
#include "domain/alert.h"

#include "base/keys.h"
#include "domain/id_array.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

err_t alert_add(db_t *db, alert_kind kind, const char *subject, const char *text, int64_t now_ms)
{
	char subject_cut[ALERT_SUBJECT_BYTES], text_cut[ALERT_TEXT_BYTES];
	snprintf(subject_cut, sizeof subject_cut, "%s", subject);
	snprintf(text_cut, sizeof text_cut, "%s", text);
	return db_exec(db, SQL_ALERT_ADD,
		DB_ARGS(db_u(kind), db_s(subject_cut), db_s(text_cut), db_i(now_ms)), NULL);
}

err_t alert_clear(db_t *db, alert_kind kind, const char *subject)
{
	return db_exec(db, SQL_ALERT_CLEAR, DB_ARGS(db_u(kind), db_s(subject)), NULL);
}

static void stuck_subject(
	const char *order_kind, uint64_t order_no, const char *state, char out[ALERT_SUBJECT_BYTES])
{
	snprintf(out, ALERT_SUBJECT_BYTES, "%s %" PRIu64 " %s", order_kind, order_no, state);
}

err_t alert_stuck(db_t *db, const char *order_kind, uint64_t order_no, const char *state,
	uint64_t tries, int64_t now_ms)
{
	char subject[ALERT_SUBJECT_BYTES], text[ALERT_TEXT_BYTES];
	stuck_subject(order_kind, order_no, state, subject);
	snprintf(text, sizeof text,
		"%s %" PRIu64 " is stuck (%s) after %" PRIu64 " tries: hbctl orders show %" PRIu64,
		order_kind, order_no, state, tries, order_no);
	return alert_add(db, ALERT_STUCK, subject, text, now_ms);
}

err_t alert_stuck_clear(db_t *db, const char *order_kind, uint64_t order_no, const char *state)
{
	char subject[ALERT_SUBJECT_BYTES];
	stuck_subject(order_kind, order_no, state, subject);
	return alert_clear(db, ALERT_STUCK, subject);
}

err_t alert_parked(
	db_t *db, uint64_t parked_id, const char *queue, const char *reason, int64_t now_ms)
{
	char subject[ALERT_SUBJECT_BYTES], text[ALERT_TEXT_BYTES];
	snprintf(subject, sizeof subject, "%" PRIu64, parked_id);
	snprintf(text, sizeof text, "message %" PRIu64 " of %s is parked (%s): hbctl orders parked",
		parked_id, queue, reason);
	return alert_add(db, ALERT_PARKED, subject, text, now_ms);
}

err_t alert_parked_clear(db_t *db, uint64_t parked_id)
{
	char subject[ALERT_SUBJECT_BYTES];
	snprintf(subject, sizeof subject, "%" PRIu64, parked_id);
	return alert_clear(db, ALERT_PARKED, subject);
}

err_t alert_waiting(db_t *db, int64_t now_ms, uint64_t *count, int64_t *last_ms)
{
	db_rows_t *r;
	err_t err = db_select(db, SQL_ALERT_WAITING, DB_ARGS(db_i(now_ms)), &r);
	if (err != ERR_OK)
		return err;
	BUG_ON(!db_rows_next(r));
	*count = db_rows_u(r, 0);
	*last_ms = db_rows_i(r, 1);
	db_rows_free(&r);
	return ERR_OK;
}

/* A secret that need not be there. */
static err_t optional(const conf_t *c, const char *name, char *out, size_t bytes)
{
	const char *path = conf_secret_path(c, name);

	return access(path, F_OK) == 0 ? keys_secret(path, out, bytes) : ERR_OK;
}

err_t alert_target(const conf_t *c, webhook_target *out)
{
	*out = (webhook_target){.timeout_ms = conf_i(c, CONF_ALERT_TIMEOUT_MS)};
	snprintf(out->url, sizeof(out->url), "%s", conf_s(c, CONF_ALERT_URL));
	const err_t e = optional(c, "alert.url", out->url, sizeof(out->url));
	return e == ERR_OK ? optional(c, "alert.secret", out->secret, sizeof(out->secret)) : e;
}

static err_t set_all(db_t *db, sql_id statement, const alert_row *rows, size_t n, int64_t value)
{
	uint64_t *id = calloc(n, sizeof *id);
	BUG_ON(!id);
	for (size_t i = 0; i < n; i++)
		id[i] = rows[i].id;
	char *ids = id_array(id, n);
	err_t err = db_exec(db, statement, DB_ARGS(db_s(ids), db_i(value)), NULL);
	free(ids);
	free(id);
	return err;
}

err_t alert_take(db_t *db, int64_t now_ms, int64_t lease_until_ms, unsigned limit, alert_row *rows,
	size_t *count)
{
	db_rows_t *r;
	size_t n = 0;
	err_t err = db_select(db, SQL_ALERT_TAKE, DB_ARGS(db_i(now_ms), db_u(limit)), &r);
	if (err != ERR_OK)
		return err;
	for (; n < limit && db_rows_next(r); n++) {
		rows[n].id = db_rows_u(r, 0);
		snprintf(rows[n].text, sizeof rows[n].text, "%s", db_rows_s(r, 1, NULL));
	}
	db_rows_free(&r);
	*count = n;
	return n ? set_all(db, SQL_ALERT_LEASE, rows, n, lease_until_ms) : ERR_OK;
}

err_t alert_not_sent(db_t *db, const alert_row *rows, size_t n)
{
	return set_all(db, SQL_ALERT_LEASE, rows, n, 0);
}

err_t alert_sent(db_t *db, const alert_row *rows, size_t n, int64_t now_ms)
{
	return set_all(db, SQL_ALERT_SENT, rows, n, now_ms);
}
