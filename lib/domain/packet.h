/* packet: one envelope: how it is sent, looked at and listed. Claiming it is claim.h, its expiry
 * and refund are the workers'. Threads: all safe. */
#ifndef HB_DOMAIN_PACKET_H
#define HB_DOMAIN_PACKET_H

#include "domain/numbers.h"
#include "domain/payment.h"
#include "domain/shares.h"
#include "domain/split.h"
#include "domain/subsidy.h"
#include "store/db.h"

/* Stored; never reuse a number. */
typedef enum { PACKET_C2C = 1, PACKET_B2C = 2 } packet_kind;
typedef enum {
	PACKET_PUBLIC = 1,
	PACKET_INVITED = 2,
	PACKET_FRIENDS = 3,
	PACKET_FANS = 4
} packet_scope;

enum {
	PACKET_GREETING_MAX_CHARS = 50,
	PACKET_VIDEO_MAX_BYTES = 64,
	PACKET_NONCE_MAX_BYTES = 64,
	PACKET_INVITED_MAX = 200,
	PACKET_LIST_MAX = 101, /* rows of one page, and one more to tell whether there is more */
};

typedef struct {
	uint64_t packet_id, sender;
	packet_kind kind;
	split_kind split;
	packet_scope scope;
	unsigned state; /* STATES_PACKET_… */
	uint32_t count, remaining_count;
	int64_t total_fen, remaining_fen;
	int64_t created_at_ms, expires_at_ms; /* while unpaid: when the payment is to be closed */
	uint64_t seed_id;
	uint8_t seed[KEYS_BYTES + KEYS_SEAL_OVERHEAD]; /* sealed */
	size_t seed_len;
	uint8_t nonce[PACKET_NONCE_MAX_BYTES];
	size_t nonce_len;
	uint8_t commitment[32];
	char greeting[401];                        /* VARCHAR(100), UTF-8 */
	char video_id[PACKET_VIDEO_MAX_BYTES + 1]; /* "" for none */
	uint64_t campaign;                         /* that pays for a b2c packet; else 0 */
} packet_row;

const char *packet_kind_name(packet_kind k);   /* "c2c" */
const char *packet_scope_name(packet_scope s); /* "public" */
const char *packet_split_name(split_kind s);   /* "lucky" */

err_t packet_load(db_t *db, uint64_t packet_id, packet_row *out) MUST_CHECK; /* ERR_NOT_FOUND */
/* What a client is shown: the state's name, "expired" when open and now ≥ expires_at. */
const char *packet_shown_state(const packet_row *p, int64_t now_ms);
/* Whether the packet has ever been open; reads the payment of a closed one. */
err_t packet_was_open(db_t *db, const packet_row *p, bool *was) MUST_CHECK;
/* For shares_acquire and shares_unseal; points into `p`. */
shares_source packet_shares_source(const packet_row *p);

/* ---- sending ---- */

/* What a send works with; all shared and safe. */
typedef struct {
	db_pool_t *db;
	numbers_t *numbers;
	const shares_t *shares;
	unsigned tx_tries;
	int64_t key_wait_ms; /* for another request with the same key, within tx_tries */
} packet_desk;

/* A checked order; pointers stay the caller's. */
typedef struct {
	uint64_t uid;
	packet_kind kind;
	split_kind split;
	packet_scope scope;
	int64_t total_fen;               /* ≥ count; of b2c what the subsidy holds */
	uint64_t subsidy_id;             /* b2c: this, … */
	const token_win *win;            /* … or what a token of this uid holds; else NULL */
	uint32_t count;                  /* ≥ 1 */
	const char *greeting, *video_id; /* video_id NULL for none */
	const uint64_t *invited;         /* distinct */
	size_t invited_count;            /* ≤ PACKET_INVITED_MAX */
	uint64_t seed_id;                /* 0: the user's current seed, or a fresh one */
	const void *nonce;
	size_t nonce_len;
	const char *key; /* Idempotency-Key */
	uint8_t body_hash[32];
	int64_t now_ms, payment_ttl_ms, packet_ttl_ms, check_ms;
} packet_order;

typedef struct {
	packet_row packet;   /* as it was when it was sent */
	payment_row payment; /* as it is now; of c2c */
	bool replayed;       /* the key was used before, with the same body */
} packet_sent;

/* One transaction: the key's row, the seed's consumption, the packet, its invited users, and for
 * c2c (unpaid) its payment (pending), for b2c (open) the spending of its subsidy, which a token's
 * win may first have to be recorded for. ERR_IDEMPOTENCY_KEY_REUSED, ERR_IDEMPOTENCY_KEY_BUSY;
 * ERR_INVALID_FIELD: seed_id is not the user's current seed; ERR_OUTCOME_UNKNOWN: repeat with the
 * same key. b2c: as subsidy_record and subsidy_spend; ERR_SHARE_TOO_SMALL. */
err_t packet_send(const packet_desk *d, const packet_order *o, packet_sent *out) MUST_CHECK;

/* The seed that the user's next packet will use; made when there is none. */
err_t packet_next_seed(
	const packet_desk *d, uint64_t uid, uint64_t *seed_id, uint8_t seed_hash[32]) MUST_CHECK;

/* Inside the caller's transaction; the same video again is fine. ERR_NOT_FOUND,
 * ERR_FORBIDDEN (not the sender), ERR_VIDEO_ALREADY_BOUND, ERR_PACKET_AGED (nothing of it changes any
 * more: it may be exported already). */
err_t packet_bind_video(db_t *db, uint64_t packet_id, uint64_t uid, const char *video_id,
	packet_row *out) MUST_CHECK;

/* ---- lists ---- */

/* Up to `limit` (≤ PACKET_LIST_MAX) packets that the user sent, newest first, of before (before_ms,
 * below) in the order of time and number (INT64_MAX for both: from the newest). */
err_t packet_list_sent(db_t *db, uint64_t uid, int64_t before_ms, uint64_t below, unsigned limit,
	packet_row *rows, unsigned *count) MUST_CHECK;

#endif
