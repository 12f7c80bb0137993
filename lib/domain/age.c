/* Partitions are changed by statements that hold numbers, which no prepared statement can: they are
 * built here, from integers and the three tables' names only. Each waits a second for the table at
 * most, since every claim that comes meanwhile waits behind it; whoever fails tries again later.
 *
 * No check of ours looks at a clock alone. A range closes when its numbers are old; it is exported when
 * its own rows, and the orders that hang on them, say that all of it is at its end. Nothing changes
 * then any more: what is final stays so, and new packets cannot come into a closed range. */
#include "domain/age.h"

#include "domain/alert.h"
#include "domain/states.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NUMBERS_PER_SEQ = 100000, DDL_BYTES = 256, STATES_NUMBERS_END = 10 };

static const char *const tables[AGE_TABLES] = {"packet", "invited", "claim"};

const char *age_table_name(age_table t)
{
	return tables[t];
}

static bool passed(const age_range *r, uint64_t next_no)
{
	return r->below <= next_no;
}

age_step age_due(const age_range *ranges, unsigned count, unsigned i, const age_times *t,
	uint64_t next_no, int64_t now_ms)
{
	const age_range *r = &ranges[i];
	const age_range *after = i + 1 < count ? &ranges[i + 1] : NULL;
	switch (r->state) {
	case STATES_RANGE_OPEN:
		if (r->began_at_ms == 0 && (i == 0 || passed(r - 1, next_no)))
			return AGE_BEGIN;
		if (passed(r, next_no))
			return after && after->began_at_ms != 0 &&
					       now_ms - after->began_at_ms >= t->after_ms
				       ? AGE_CLOSE
				       : AGE_NOTHING;
		if (i > 0 && !passed(r - 1, next_no))
			return AGE_NOTHING; /* ahead */
		if (!after || now_ms - r->began_at_ms < t->range_ms)
			return AGE_NOTHING;
		return count >= t->ranges_max ? AGE_CROWDED : AGE_NEXT;
	case STATES_RANGE_CLOSED:
		return AGE_EXPORT;
	case STATES_RANGE_EXPORTED:
		return now_ms - r->changed_at_ms >= t->readable_ms ? AGE_LEAVE : AGE_NOTHING;
	case STATES_RANGE_LEAVING:
		return AGE_DROP;
	default:
		return AGE_NOTHING;
	}
}

err_t age_lock(db_t *db, bool *mine)
{
	uint64_t got;
	err_t err = db_select_number(db, SQL_AGE_LOCK, DB_NONE, &got);
	if (err == ERR_OK)
		*mine = got == 1;
	return err;
}

static void read_range(const db_rows_t *r, age_range *out)
{
	size_t n;
	*out = (age_range){.below = db_rows_u(r, 0),
		.from = db_rows_u(r, 1),
		.state = (unsigned)db_rows_u(r, 2),
		.began_at_ms = db_rows_i(r, 3),
		.changed_at_ms = db_rows_i(r, 4),
		.rows = {[AGE_PACKET] = db_rows_u(r, 5),
			[AGE_CLAIM] = db_rows_u(r, 6),
			[AGE_INVITED] = db_rows_u(r, 7)}};
	const char *digest = db_rows_s(r, 8, &n);
	if (n == AGE_DIGEST_BYTES)
		memcpy(out->digest, digest, n);
}

err_t age_load(db_t *db, age_range *ranges, unsigned *count, uint64_t *next_no)
{
	db_rows_t *r;
	uint64_t seq;
	unsigned n = 0;
	/* The ranges first: numbers that are given meanwhile make none look older than it is. */
	err_t err = db_select(
		db, SQL_AGE_RANGES, DB_ARGS(db_u(STATES_RANGE_GONE), db_u(AGE_RANGES_MAX)), &r);
	if (err != ERR_OK)
		return err;
	while (db_rows_next(r))
		read_range(r, &ranges[n++]);
	db_rows_free(&r);
	err = db_select_number(db, SQL_AGE_NEXT_SEQ, DB_NONE, &seq);
	*count = n;
	*next_no = seq * NUMBERS_PER_SEQ;
	return err;
}

/* ---- transactions of one or two statements ---- */

static err_t end_tx(db_t *db, err_t err)
{
	if (err == ERR_OK)
		return db_commit(db);
	db_rollback(db);
	return err;
}

/* Whether this program's epoch still rules; statements that commit by themselves cannot ask. */
static err_t still_ruling(db_t *db)
{
	err_t err = db_begin(db);
	db_rollback(db);
	return err;
}

static err_t change(db_t *db, const age_range *r, unsigned to, int64_t now_ms)
{
	bool changed;
	err_t err = states_change(
		db, STATES_RANGE, r->below, r->state, to, STATES_BY_AGE, now_ms, now_ms, &changed);
	return err == ERR_OK && !changed ? ERR_STATE_REFUSED : err;
}

static err_t change_tx(db_t *db, const age_range *r, unsigned to, int64_t now_ms)
{
	err_t err = db_begin(db);
	if (err == ERR_OK)
		err = change(db, r, to, now_ms);
	return end_tx(db, err);
}

static err_t exec_tx(db_t *db, sql_id id, const db_val *v, size_t n)
{
	err_t err = db_begin(db);
	if (err == ERR_OK)
		err = db_exec(db, id, v, n, NULL);
	return end_tx(db, err);
}

/* ---- partitions ---- */

static err_t has_partition(db_t *db, age_table t, uint64_t below, bool *has)
{
	static const sql_id shows[AGE_TABLES] = {
		SQL_AGE_TABLE_PACKET, SQL_AGE_TABLE_INVITED, SQL_AGE_TABLE_CLAIM};
	char name[DDL_BYTES];
	db_rows_t *r;
	err_t err = db_select(db, shows[t], DB_NONE, &r);
	if (err != ERR_OK)
		return err;
	snprintf(name, sizeof name, "PARTITION `p%" PRIu64 "` ", below / NUMBERS_PER_SEQ);
	*has = db_rows_next(r) && strstr(db_rows_s(r, 1, NULL), name) != NULL;
	db_rows_free(&r);
	return ERR_OK;
}

static err_t run_ddl(db_t *db, const char *sql, int n)
{
	BUG_ON(n <= 0 || n >= DDL_BYTES);
	err_t err = still_ruling(db);
	return err == ERR_OK ? db_script(db, sql, (size_t)n, NULL, NULL) : err;
}

static err_t add_partition(db_t *db, age_table t, uint64_t below)
{
	char sql[DDL_BYTES];
	bool has;
	err_t err = has_partition(db, t, below, &has);
	if (err != ERR_OK || has)
		return err;
	return run_ddl(db, sql,
		snprintf(sql, sizeof sql,
			"ALTER TABLE %s WAIT 1 REORGANIZE PARTITION pmax INTO (PARTITION p%" PRIu64
			" VALUES LESS THAN (%" PRIu64
			"), PARTITION pmax VALUES LESS THAN MAXVALUE)",
			tables[t], below / NUMBERS_PER_SEQ, below));
}

static err_t drop_partition(db_t *db, age_table t, uint64_t below)
{
	char sql[DDL_BYTES];
	bool has;
	err_t err = has_partition(db, t, below, &has);
	if (err != ERR_OK || !has)
		return err;
	return run_ddl(db, sql,
		snprintf(sql, sizeof sql, "ALTER TABLE %s WAIT 1 DROP PARTITION p%" PRIu64,
			tables[t], below / NUMBERS_PER_SEQ));
}

err_t age_add(db_t *db, uint64_t last_below, int64_t now_ms)
{
	uint64_t below = last_below + (uint64_t)AGE_RANGE_SEQS * NUMBERS_PER_SEQ, beyond;
	/* Splitting pmax copies what is in it while everybody waits. */
	err_t err = db_select_number(
		db, SQL_AGE_ANY_PACKET, DB_ARGS(db_u(last_below), db_u(INT64_MAX)), &beyond);
	if (err == ERR_OK && beyond != 0)
		err = ERR_STATE_REFUSED;
	for (unsigned t = 0; t < AGE_TABLES && err == ERR_OK; t++)
		err = add_partition(db, (age_table)t, below);
	if (err != ERR_OK)
		return err;
	err = exec_tx(
		db, SQL_AGE_RANGE_ADD, DB_ARGS(db_u(below), db_u(STATES_RANGE_OPEN), db_i(now_ms)));
	return err == ERR_DB_DUPLICATE ? ERR_OK : err;
}

err_t age_drop(db_t *db, const age_range *r, int64_t now_ms, bool *gone)
{
	bool packets;
	err_t err = has_partition(db, AGE_PACKET, r->below, &packets);
	*gone = false;
	if (err == ERR_OK && packets)
		return drop_partition(db, AGE_PACKET, r->below);
	for (unsigned t = AGE_PACKET + 1; t < AGE_TABLES && err == ERR_OK; t++)
		err = drop_partition(db, (age_table)t, r->below);
	if (err == ERR_OK)
		err = change_tx(db, r, STATES_RANGE_GONE, now_ms);
	*gone = err == ERR_OK;
	return err;
}

/* ---- steps ---- */

err_t age_begin(db_t *db, const age_range *r, int64_t now_ms)
{
	return exec_tx(db, SQL_AGE_RANGE_BEGIN, DB_ARGS(db_i(now_ms), db_u(r->below), db_i(0)));
}

err_t age_next(db_t *db, const age_range *r, int64_t now_ms)
{
	uint64_t any, next_seq = r->below / NUMBERS_PER_SEQ;
	err_t err = db_select_number(
		db, SQL_AGE_ANY_PACKET, DB_ARGS(db_u(r->from), db_u(r->below)), &any);
	if (err != ERR_OK)
		return err;
	if (any == 0)
		return exec_tx(db, SQL_AGE_RANGE_BEGIN,
			DB_ARGS(db_i(now_ms), db_u(r->below), db_i(r->began_at_ms)));
	return exec_tx(db, SQL_AGE_SKIP_NUMBERS, DB_ARGS(db_u(next_seq), db_u(next_seq)));
}

err_t age_close(db_t *db, const age_range *r, int64_t now_ms)
{
	err_t err = db_begin(db);
	if (err == ERR_OK)
		err = db_exec(db, SQL_AGE_CLOSE, DB_ARGS(db_u(r->below), db_u(r->below)), NULL);
	if (err == ERR_OK)
		err = change(db, r, STATES_RANGE_CLOSED, now_ms);
	return end_tx(db, err);
}

static const struct {
	states_kind kind;
	sql_id in_state;
	const char *why;
} waits[] = {
	{STATES_PACKET, SQL_AGE_PACKET_IN_STATE, "a packet is not at its end"},
	{STATES_PAYMENT, SQL_AGE_PAYMENT_IN_STATE, "a payment is not at its end"},
	{STATES_TRANSFER, SQL_AGE_TRANSFER_IN_STATE, "a transfer is not at its end"},
	{STATES_REFUND, SQL_AGE_REFUND_IN_STATE, "a refund is not at its end"},
};

/* Every state that states.def knows of the kind and does not call final. */
static err_t not_final(db_t *db, unsigned w, const age_range *r, uint64_t *no)
{
	err_t err = ERR_OK;
	*no = 0;
	for (unsigned s = 1; s < STATES_NUMBERS_END && err == ERR_OK && *no == 0; s++)
		if (*states_shown(waits[w].kind, s) != '?' && !states_final(waits[w].kind, s))
			err = db_select_number(db, waits[w].in_state,
				DB_ARGS(db_u(s), db_u(r->from), db_u(r->below)), no);
	return err;
}

static err_t too_young(db_t *db, const age_range *r, int64_t expired_before_ms, uint64_t *no)
{
	err_t err = ERR_OK;
	*no = 0;
	for (unsigned s = 1; s < STATES_NUMBERS_END && err == ERR_OK && *no == 0; s++)
		if (states_final(STATES_PACKET, s))
			err = db_select_number(db, SQL_AGE_PACKET_YOUNG,
				DB_ARGS(db_u(s), db_u(r->from), db_u(r->below),
					db_i(expired_before_ms)),
				no);
	return err;
}

err_t age_kept(
	db_t *db, const age_range *r, int64_t expired_before_ms, const char **why, uint64_t *no)
{
	err_t err = ERR_OK;
	for (unsigned w = 0; w < sizeof waits / sizeof *waits; w++) {
		err = not_final(db, w, r, no);
		*why = waits[w].why;
		if (err != ERR_OK || *no != 0)
			return err;
	}
	*why = "a packet is not old enough";
	err = too_young(db, r, expired_before_ms, no);
	if (err != ERR_OK || *no != 0)
		return err;
	*why = "an event of that time is still in the outbox";
	err = db_select_number(db, SQL_AGE_OUTBOX_BEFORE, DB_ARGS(db_i(expired_before_ms)), no);
	if (err == ERR_OK && *no == 0)
		*why = NULL;
	return err;
}

err_t age_exported(db_t *db, const age_range *r, const uint64_t rows[AGE_TABLES],
	const uint8_t digest[AGE_DIGEST_BYTES], int64_t now_ms)
{
	err_t err = db_begin(db);
	if (err == ERR_OK)
		err = db_exec(db, SQL_AGE_RANGE_EXPORTED,
			DB_ARGS(db_u(rows[AGE_PACKET]), db_u(rows[AGE_CLAIM]),
				db_u(rows[AGE_INVITED]), db_b(digest, AGE_DIGEST_BYTES),
				db_u(r->below)),
			NULL);
	if (err == ERR_OK)
		err = change(db, r, STATES_RANGE_EXPORTED, now_ms);
	return end_tx(db, err);
}

err_t age_again(db_t *db, const age_range *r, int64_t now_ms)
{
	return change_tx(db, r, STATES_RANGE_CLOSED, now_ms);
}

err_t age_keep_rest(db_t *db, uint64_t first, uint64_t last)
{
	return exec_tx(db, SQL_AGE_LEFT_ADD, DB_ARGS(db_u(first), db_u(last)));
}

err_t age_leave(db_t *db, const age_range *r, int64_t now_ms)
{
	uint64_t kept;
	err_t err = db_select_number(
		db, SQL_AGE_LEFT_COUNT, DB_ARGS(db_u(r->from), db_u(r->below)), &kept);
	if (err == ERR_OK && kept != r->rows[AGE_PACKET])
		err = ERR_STATE_REFUSED;
	return err == ERR_OK ? change_tx(db, r, STATES_RANGE_LEAVING, now_ms) : err;
}

err_t age_tell(db_t *db, const char *subject, const char *text, int64_t now_ms)
{
	err_t err = db_begin(db);
	if (err == ERR_OK)
		err = alert_add(db, ALERT_AGEING, subject, text, now_ms);
	return end_tx(db, err);
}

/* ---- for those who look at packets ---- */

err_t age_closed_below(db_t *db, uint64_t *below)
{
	return db_select_number(db, SQL_AGE_CLOSED_BELOW, DB_NONE, below);
}

err_t age_rest_find(db_t *db, uint64_t packet_id, age_rest *out)
{
	db_rows_t *r;
	size_t n;
	err_t err = db_select(db, SQL_AGE_LEFT_FIND, DB_ARGS(db_u(packet_id)), &r);
	if (err != ERR_OK)
		return err;
	if (db_rows_next(r)) {
		*out = (age_rest){.total_fen = db_rows_i(r, 0),
			.created_at_ms = db_rows_i(r, 1),
			.expires_at_ms = db_rows_i(r, 2),
			.seed_id = db_rows_u(r, 3)};
		const char *commitment = db_rows_s(r, 4, &n);
		BUG_ON(n != sizeof out->commitment);
		memcpy(out->commitment, commitment, n);
	} else {
		err = ERR_NOT_FOUND;
	}
	db_rows_free(&r);
	return err;
}
