/* age: old packets, their claims and who was invited to them leave, range by range of their numbers
 * (docs/ageing.md). A range is a partition of each of the three tables; states.def RANGE says how it goes:
 *
 *	open      numbers of it are or were given
 *	closed    no packet of it can be sent any more (age_mark)
 *	exported  every row is in a file, all of it is at its end, and it can still be read from the tables
 *	leaving   what must stay is in packet_left; the partitions are being dropped, the packets' first
 *	gone
 *
 * What is done is in the database before it is done there or in the folder, so that whoever comes next
 * goes on from it. All but age_due and age_sort need the connection that holds age_lock. Threads: none. */
#ifndef HB_DOMAIN_AGE_H
#define HB_DOMAIN_AGE_H

#include "domain/numbers.h"
#include "store/db.h"

enum {
	AGE_RANGE_SEQS =
		100000000, /* more than a cell gives in a range's time; else a time has several */
	AGE_RANGES_MAX = 4096,
	AGE_DIGEST_BYTES = 32,
};

/* In the order in which they leave: without its packet nothing of it is seen any more. */
typedef enum { AGE_PACKET, AGE_INVITED, AGE_CLAIM, AGE_TABLES } age_table;
const char *age_table_name(age_table t);

typedef struct {
	uint64_t from, below; /* its numbers: from ≤ n < below */
	unsigned state;       /* STATES_RANGE_… */
	int64_t began_at_ms;  /* 0: no number of it was given yet, as far as is known */
	int64_t changed_at_ms;
	uint64_t rows[AGE_TABLES]; /* of the export, like the digest */
	uint8_t digest[AGE_DIGEST_BYTES];
} age_range;

/* ---- what is due, by time alone ---- */

typedef struct {
	int64_t range_ms, after_ms, readable_ms;
	unsigned ranges_max;
} age_times;

typedef enum {
	AGE_NOTHING,
	AGE_BEGIN,   /* it is seen for the first time as the one whose numbers are given */
	AGE_NEXT,    /* its time is over: the numbers of the next are given from now on */
	AGE_CROWDED, /* the same, but there are too many ranges */
	AGE_CLOSE,
	AGE_EXPORT,
	AGE_LEAVE,
	AGE_DROP,
} age_step;

/* What is to be done with range i of all that are not gone, in their order. next_no: no number was ever
 * given that is not below it. Whether its packets let it be exported is age_kept. */
age_step age_due(const age_range *ranges, unsigned count, unsigned i, const age_times *t,
	uint64_t next_no, int64_t now_ms);

/* ---- the database ---- */

/* False: another worker of the cell is at it. */
err_t age_lock(db_t *db, bool *mine) MUST_CHECK;
/* Those that are not gone; ranges[AGE_RANGES_MAX]. */
err_t age_load(db_t *db, age_range *ranges, unsigned *count, uint64_t *next_no) MUST_CHECK;
/* Makes the next range behind the last one, whose partitions must not have any number of it yet.
 * ERR_STATE_REFUSED: pmax is in use, a person has to split it. ERR_DB_RETRY: a table was in use for
 * longer than is waited. Both partitions and rows that are there already are fine. */
err_t age_add(db_t *db, uint64_t last_below, int64_t now_ms) MUST_CHECK;
err_t age_begin(db_t *db, const age_range *r, int64_t now_ms) MUST_CHECK;
/* Gives no more numbers of it, if it has any packet; an empty one begins anew instead. */
err_t age_next(db_t *db, const age_range *r, int64_t now_ms) MUST_CHECK;
/* Waits for those who are sending with numbers of it, and refuses all who come later. */
err_t age_close(db_t *db, const age_range *r, int64_t now_ms) MUST_CHECK;

/* Why a closed range cannot be exported yet: NULL when it can. `no` is the number of one of them. */
err_t age_kept(db_t *db, const age_range *r, int64_t expired_before_ms, const char **why,
	uint64_t *no) MUST_CHECK;
err_t age_exported(db_t *db, const age_range *r, const uint64_t rows[AGE_TABLES],
	const uint8_t digest[AGE_DIGEST_BYTES], int64_t now_ms) MUST_CHECK;
/* The export is not what the tables hold, or is not here: it has to be made again. */
err_t age_again(db_t *db, const age_range *r, int64_t now_ms) MUST_CHECK;
/* Keeps of the packets first … last what must stay. */
err_t age_keep_rest(db_t *db, uint64_t first, uint64_t last) MUST_CHECK;
/* Exported → leaving; ERR_STATE_REFUSED when the rest of not every packet was kept. */
err_t age_leave(db_t *db, const age_range *r, int64_t now_ms) MUST_CHECK;
/* Drops the packets' partition, or when that is done the others; then it is gone. In two calls, so that
 * who has read a packet has read its claims too before they are dropped. ERR_DB_RETRY as age_add. */
err_t age_drop(db_t *db, const age_range *r, int64_t now_ms, bool *gone) MUST_CHECK;

/* A person is told, once until somebody clears it. */
err_t age_tell(db_t *db, const char *subject, const char *text, int64_t now_ms) MUST_CHECK;

/* ---- for those who look at packets ---- */

/* Inside the caller's transaction: no packet below it may be sent or changed, until the transaction ends. */
err_t age_closed_below(db_t *db, uint64_t *below) MUST_CHECK;

typedef struct {
	int64_t total_fen, created_at_ms, expires_at_ms;
	uint64_t seed_id;
	uint8_t commitment[32];
} age_rest;
/* What stayed of a packet that has left; ERR_NOT_FOUND. */
err_t age_rest_find(db_t *db, uint64_t packet_id, age_rest *out) MUST_CHECK;

#endif
