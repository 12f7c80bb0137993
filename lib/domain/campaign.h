/* campaign: one rain's rules, and what they make of a draw. A campaign rains in rounds: round r
 * (from 1) begins at starts_at + (r - 1) × every and lasts `lasts`; one that is always on has rounds
 * that touch. In each round a user may draw `limit` times: k = 0 … limit - 1, and the result of
 * (campaign, round, uid, k) is a keyed function (docs/rain.md, byte by byte): whoever draws again
 * gets the same again. Rows are written by `hbctl campaign apply` only. Threads: all safe. */
#ifndef HB_DOMAIN_CAMPAIGN_H
#define HB_DOMAIN_CAMPAIGN_H

#include "base/jw.h"
#include "base/keys.h"
#include "domain/token.h"

enum {
	CAMPAIGN_NAME_BYTES = 33, /* with the zero; a-z 0-9 - */
	CAMPAIGN_NUMBER_MAX = 999999,
	CAMPAIGN_PRIZES_MAX = 16,
	CAMPAIGN_LIMIT_MAX = 100,
	CAMPAIGN_PPM = 1000000,
	CAMPAIGN_ROUND_MAX = 2000000000,
	CAMPAIGNS_MAX = 64, /* of a cell */
};

typedef struct {
	int64_t amount_fen; /* ≥ 1 */
	uint32_t ppm;       /* of all draws; ≥ 1, together at most CAMPAIGN_PPM */
} campaign_prize;

typedef struct {
	char name[CAMPAIGN_NAME_BYTES];
	uint32_t number, version;
	char key_id[KEYS_ID_BYTES]; /* of the seal ring, for ever: rotation changes no result */
	int64_t starts_at_ms, ends_at_ms; /* ends_at 0: never */
	int64_t every_ms, lasts_ms;       /* lasts ≤ every */
	unsigned limit;                   /* draws of a user in a round */
	int64_t expiry_ms;                /* a subsidy lives from its round's end */
	int64_t lease_fen;                /* budget that a hb-rain takes at once */
	campaign_prize prize[CAMPAIGN_PRIZES_MAX];
	unsigned prizes;
} campaign_t;

/* The config column. Writes one object / reads what campaign_write wrote: ERR_CONFIG_INVALID for
 * anything else. name, number and version are columns of their own. */
void campaign_write(const campaign_t *c, jw_t *w);
err_t campaign_read(const char *json, size_t n, campaign_t *c) MUST_CHECK;

typedef enum { CAMPAIGN_NOT_STARTED, CAMPAIGN_RAINING, CAMPAIGN_ENDED } campaign_state;
typedef struct {
	uint32_t number; /* the round that rains, or the next one */
	int64_t starts_at_ms, ends_at_ms;
} campaign_round;
/* NOT_STARTED also between two rounds; *round is the next one then. ENDED leaves it alone. */
campaign_state campaign_at(const campaign_t *c, int64_t now_ms, campaign_round *round);
/* Round `number`, whatever number a stranger names. False: the campaign has no such round; what is won
 * in one that it has ends before the year 10000. */
bool campaign_round_of(const campaign_t *c, uint32_t number, campaign_round *round);
/* When the subsidies won in a round end; the same for all of them. */
int64_t campaign_expiry(const campaign_t *c, const campaign_round *round);

/* The result of a draw: false for none. A win lacks its lease. ERR_CONFIG_INVALID when the seal
 * ring does not have the campaign's key. */
err_t campaign_draw(const campaign_t *c, const keys_ring_t *seal, const campaign_round *round,
	uint64_t uid, unsigned k, unsigned cell_number, bool *won, token_win *win) MUST_CHECK;

#endif
