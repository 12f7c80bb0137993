/* role: what a member of a cell is, and how it becomes something else; for `hbctl member run` and
 * `hbctl cells`. Nothing here decides: the control record does, and whoever changes a member's role
 * holds its lock (role_lock) from reading the record to the last statement, so that a member that is
 * just starting and an operator's failover never act on the same record twice. */
#ifndef HB_UNITS_ROLE_H
#define HB_UNITS_ROLE_H

#include "domain/topology.h"
#include "store/db.h"

enum { ROLE_POSITION_BYTES = 256 };

typedef struct {
	bool read_only, semi_sync_master;
	int64_t semi_sync_clients;
	/* And has caught up after its last start: until then it may have lost, with its relay log,
	 * what it had acknowledged before. */
	bool acknowledges;
	bool stands_by; /* was started as a replica that is not counted on, and follows nobody since */
	char binlog_pos[ROLE_POSITION_BYTES], slave_pos[ROLE_POSITION_BYTES]; /* see gtid.h */
	/* Of a replica; all zero when it follows nobody. */
	bool follows, receiving, applying;
	char primary_host[64];
	uint16_t primary_port;
	unsigned receive_error, apply_error; /* the server's numbers, e.g. 1236 */
	char received
		[ROLE_POSITION_BYTES]; /* in its relay log; all of it may have been acknowledged */
} role_view;

/* Whether a database server sends its greeting in time: one that is stopped takes connections, too. */
bool role_greets(const topology_member *m, int64_t timeout_ms);
/* A connection of verb_db, only to a server that greets in time. */
err_t role_open(const topology_member *m, int64_t greet_ms, int64_t io_ms, db_t **out) MUST_CHECK;
err_t role_read(db_t *db, role_view *out) MUST_CHECK;
bool role_follows(const role_view *v, const topology_member *primary);

/* May be taken again by whoever has it. Ends with the connection at the latest, and that when nothing is asked
 * on it for a minute. ERR_DB_RETRY: somebody else has it. */
err_t role_lock(db_t *db) MUST_CHECK;
err_t role_unlock(db_t *db) MUST_CHECK;

/* Bounded, also when the primary does not answer. What it received stays, and is applied. */
err_t role_stop_receiving(db_t *db) MUST_CHECK;
/* Makes it a replica of `primary` that acknowledges, so the record must count it already; what it had
 * received and not applied is thrown away. */
err_t role_follow(db_t *db, const topology_member *primary) MUST_CHECK;
/* Of a counted member that was just started: it acknowledges from its first event on, for a commit that
 * it had received without would wait for ever, and all behind it; but it does not count as having kept
 * what it had acknowledged before (role_view: acknowledges) until it says so. */
err_t role_follow_anew(db_t *db, const topology_member *primary) MUST_CHECK;
err_t role_caught_up(db_t *db) MUST_CHECK;
/* A replica that is not counted on receives nothing: what it received without acknowledging it could
 * never acknowledge any more. It waits to be readmitted. */
err_t role_stand_by(db_t *db) MUST_CHECK;
/* After role_stop_receiving. */
err_t role_receive_again(db_t *db) MUST_CHECK;
/* Ends its following, for good; waiting for acknowledgements on or off. It stays read-only. Nothing is done
 * with one that is so already. */
err_t role_take_over(db_t *db, bool waits_for_ack) MUST_CHECK;
/* After role_take_over: makes certain that all it has is acknowledged, by writing the epoch, or a beat where
 * that is there already, which waits for an acknowledgement of it and of all before it, at most io_ms. On
 * a connection of its own: a session that waits for an acknowledgement keeps its locks, the role's among
 * them, long after its client has gone. One that takes writes has been through this since its start. */
err_t role_acknowledged(const topology_member *m, int64_t io_ms, uint64_t epoch) MUST_CHECK;
/* Then everybody may write. */
err_t role_writable(db_t *db) MUST_CHECK;
/* The epoch in its database; 0: none yet. */
err_t role_epoch(db_t *db, uint64_t *out) MUST_CHECK;

#endif
