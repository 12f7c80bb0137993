/* token_list: the wins of a user that may not be rows yet, as sealed tokens in the cell's
 * memcached, with a proof of whether all of them are there. Three take part:
 *
 *  - hb-rain writes: token_list_put for each win before it is answered, token_list_keep all the
 *    time. A win that cannot be put is answered only when no reader believes this writer any more
 *    (token_list_hold_ms).
 *  - the consumer of `<cell>.subsidy` says how far the database is: token_list_drained.
 *  - hb-query reads: token_list_read FIRST, then the rows. Then every win that was answered before
 *    the read began is in one of the two, or *complete is false.
 *
 * Complete means: memcached is older than the oldest message that may be unconsumed, nothing was
 * evicted from it since, and every hb-rain that may write has proved within the last two seconds
 * that it missed nothing since. Times are wall ms; clocks of one site may differ by
 * TOKEN_LIST_SKEW_MS. Threads: all safe, but one thread per writer calls keep. */
#ifndef HB_DOMAIN_TOKEN_LIST_H
#define HB_DOMAIN_TOKEN_LIST_H

#include "domain/token.h"
#include "store/cache.h"

enum {
	TOKEN_LIST_MAX = 256,          /* wins of one answer; more is not complete */
	TOKEN_LIST_DAYS = 8,           /* a consumer further behind than this is not complete */
	TOKEN_LIST_SKEW_MS = 500,      /* how far clocks of one site may differ */
	TOKEN_LIST_KEEP_MS = 400,      /* how often a writer proves itself */
	TOKEN_LIST_BELIEVED_MS = 1500, /* how long a reader believes that */
	TOKEN_LIST_LEFT_MS = 10000,    /* and the last word of one that ended: a restart */
};

/* ---- the writer: one per hb-rain, instance 1.. as in the topology ---- */
typedef struct token_list token_list_t;

token_list_t *token_list_new(cache_t *cache, unsigned instance, int64_t now_ms);
void token_list_free(token_list_t **l);
/* The win, sealed as `token`. On any error the list has a hole: the caller answers its user only
 * when token_list_hold_ms() has become 0. */
err_t token_list_put(token_list_t *l, uint64_t uid, const char *token, int64_t now_ms) MUST_CHECK;
/* Every TOKEN_LIST_KEEP_MS: proves the writer, finds out whether memcached was born again or has
 * evicted. `leaving`: the last call of an orderly end, believed until the restart. */
void token_list_keep(token_list_t *l, int64_t now_ms, bool leaving);
/* How long a win with a hole has still to wait; 0: nobody believes this writer now. */
int64_t token_list_hold_ms(token_list_t *l, int64_t now_ms);

/* Whether this very win is listed, given since since_ms; no answer of memcached is no. */
bool token_list_find(token_list_t *l, const keys_ring_t *keys, uint64_t uid,
	const char *out_order_no, int64_t since_ms, int64_t now_ms, token_win *win);

/* ---- the consumer ---- */
/* Every message of this cell that was confirmed before until_ms is committed as a row. To be said
 * at least once a second while it is so, e.g.: until_ms = clk_wall_ms(); then the queue's depth is
 * read as 0; and nobody holds a delivery that is not committed. While the queue is not empty the
 * last until_ms stays true and is said again (memcached may have been born again meanwhile). */
err_t token_list_drained(cache_t *cache, int64_t until_ms) MUST_CHECK;

/* ---- the reader ---- */
typedef struct {
	token_win win;
	char token[TOKEN_TEXT_BYTES];
} token_list_entry;

/* The user's tokens that open, each (issuer's) external order number once, in the order of winning;
 * recorded, spent and expired ones may be among them. `writers`: how many instances of hb-rain the
 * topology has at this site. out holds TOKEN_LIST_MAX; *count is set in any case, and what is there
 * may be shown also when *complete is false. ERR_CACHE_UNAVAILABLE: memcached left a question open. */
err_t token_list_read(cache_t *cache, const keys_ring_t *keys, unsigned writers, uint64_t uid,
	int64_t now_ms, token_list_entry *out, size_t *count, bool *complete) MUST_CHECK;

#endif
