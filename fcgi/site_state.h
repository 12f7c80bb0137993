/* site_state: how the programs of this site are, cell by cell, as their shared counters tell: nobody is
 * asked, so that it answers whatever hangs, and whichever program tells it tells the same. */
#ifndef HB_FCGI_SITE_STATE_H
#define HB_FCGI_SITE_STATE_H

#include "base/arena.h"
#include "base/metrics.h"
#include "domain/program.h"

enum { SITE_STATE_DOWN_MAX = 16 };

/* GAUGE(id, key, most): what a program's gauge is called in JSON; of several programs' the most, or their sum. */
#define SITE_STATE_GAUGES                                                                          \
	GAUGE(BREAKER_OPEN, "breakers_open", false)                                                \
	GAUGE(FLAG_OFF, "flags_off_percent", true)                                                 \
	GAUGE(OUTBOX_ROWS, "outbox_rows", true)                                                    \
	GAUGE(OUTBOX_AGE, "outbox_oldest_ms", true)                                                \
	GAUGE(QUEUE_MESSAGES, "queue_messages", true)                                              \
	GAUGE(QUEUE_CONSUMERS, "queue_consumers", true)                                            \
	GAUGE(ORDERS, "orders", true)                                                              \
	GAUGE(OPEN_MATTERS, "open_matters", true)                                                  \
	GAUGE(ALERTS_WAITING, "alerts_waiting", true)                                              \
	GAUGE(MEMBER_UP, "member_up", true)                                                        \
	GAUGE(HEARTBEAT_AGE, "heartbeat_age_ms", true)                                             \
	GAUGE(SEMI_SYNC_CLIENTS, "semi_sync_clients", true)                                        \
	GAUGE(CONTROL_EPOCH, "control_epoch", true)                                                \
	GAUGE(CONTROL_IN_SYNC, "control_in_sync_members", true)                                    \
	GAUGE(CONTROL_PROTECTED, "control_protected", true)                                        \
	GAUGE(CONTROL_CHANGING, "control_changing", true)                                          \
	GAUGE(EXCESS, "conservation_excess_fen", true)                                             \
	GAUGE(BROKEN_PACKETS, "conservation_broken_packets", true)

typedef enum {
#define GAUGE(id, key, most) SITE_STATE_##id,
	SITE_STATE_GAUGES
#undef GAUGE
		SITE_STATE_COUNT
} site_state_gauge;

typedef struct {
	const char *cell;
	/* A program of it runs here as active, or did when it died. */
	bool active;
	bool fresh; /* an active hb-query of it believes its database (fresh.h) */
	int64_t epoch;
	unsigned up, down;
	const char *down_name[SITE_STATE_DOWN_MAX]; /* "hb-core 1"; of the first of them */
	bool shown[SITE_STATE_COUNT];
	int64_t gauge[SITE_STATE_COUNT][METRICS_LABELS_MAX];
} site_state_cell;

typedef struct {
	site_state_cell *cell;
	unsigned count;
} site_state;

/* The cells that have a member at this site. All of it lives in the arena. */
err_t site_state_read(const program_t *p, arena_t *a, site_state *out) MUST_CHECK;
/* Whether every cell that is active here is served. */
bool site_state_healthy(const site_state *s);
/* The members of an object that is open. */
void site_state_write(const site_state_cell *c, jw_t *w);

#endif
