/* alert: what a person has to be told, one row per thing, written by the transaction that finds it;
 * the role `alert` sends them (workers/alert.c). A thing is told once, until somebody has acted on it
 * (alert_clear): then it may be told again. Threads: all safe. */
#ifndef HB_DOMAIN_ALERT_H
#define HB_DOMAIN_ALERT_H

#include "base/conf.h"
#include "store/db.h"
#include "store/webhook.h"

/* Stored; never reuse a number. */
typedef enum {
	ALERT_STUCK = 1,      /* an order; subject: its kind, number and state */
	ALERT_PARKED = 2,     /* a message; subject: its number in the table parked */
	ALERT_DIFFERENCE = 3, /* found by reconciliation */
	ALERT_AGEING = 4,     /* old packets cannot leave; subject: why */
} alert_kind;

enum { ALERT_SUBJECT_BYTES = 81, ALERT_TEXT_BYTES = 401 };

/* Inside the caller's transaction. What does not fit is cut off. */
err_t alert_add(db_t *db, alert_kind kind, const char *subject, const char *text,
	int64_t now_ms) MUST_CHECK;
err_t alert_clear(db_t *db, alert_kind kind, const char *subject) MUST_CHECK;

/* The two that many write. `state` as shown. */
err_t alert_stuck(db_t *db, const char *order_kind, uint64_t order_no, const char *state,
	uint64_t tries, int64_t now_ms) MUST_CHECK;
err_t alert_stuck_clear(
	db_t *db, const char *order_kind, uint64_t order_no, const char *state) MUST_CHECK;
err_t alert_parked(db_t *db, uint64_t parked_id, const char *queue, const char *reason,
	int64_t now_ms) MUST_CHECK;
err_t alert_parked_clear(db_t *db, uint64_t parked_id) MUST_CHECK;

/* For the role: how many wait to be sent and are nobody's, and when the last was sent (0: never). */
err_t alert_waiting(db_t *db, int64_t now_ms, uint64_t *count, int64_t *last_ms) MUST_CHECK;
typedef struct {
	uint64_t id;
	char text[ALERT_TEXT_BYTES];
} alert_row;
/* Inside the caller's transaction: up to `limit` of them, leased. rows[limit]. */
err_t alert_take(db_t *db, int64_t now_ms, int64_t lease_until_ms, unsigned limit, alert_row *rows,
	size_t *count) MUST_CHECK;
/* They were not said: anybody's again. */
err_t alert_not_sent(db_t *db, const alert_row *rows, size_t n) MUST_CHECK;
err_t alert_sent(db_t *db, const alert_row *rows, size_t n, int64_t now_ms) MUST_CHECK;

/* Where alerts are sent, by hongbao.cfg and the folder of the secrets; url "": nowhere. ERR_CONFIG_INVALID,
 * logged: a file of the secrets cannot be read. */
err_t alert_target(const conf_t *c, webhook_target *out) MUST_CHECK;

#endif
