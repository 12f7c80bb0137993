/* claim_inner: the working memory of one batch, shared by claim_batch.c (statements and rows) and
 * claim_decide.c (who gets what); nobody else includes it. */
#ifndef HB_DOMAIN_CLAIM_INNER_H
#define HB_DOMAIN_CLAIM_INNER_H

#include "domain/claim_batch.h"
#include "domain/packet.h"

/* One packet of the batch. */
typedef struct {
	lane_part *part;
	bool found, was_open;
	bool claims_known; /* `holder` of its seats is what the table says */
	bool refuses;      /* somebody gets no share, unless they have one already */
	packet_row row;    /* as locked; without its texts */
	uint32_t left;
	int64_t left_fen;
	unsigned fresh; /* claims that this batch makes */
	const shares_set_t *set;
} claim_packet;

/* One claim of the batch. */
typedef struct claim_seat {
	lane_item *item;
	claim_packet *packet;
	struct claim_seat *first;  /* of the same user and packet: often itself */
	struct claim_seat *holder; /* of a first one: which of its kin has the claim; NULL: none */
	bool invited;              /* of a first one */
	bool fresh;                /* this batch makes its claim */
	claim_row claim;           /* of a holder */
} claim_seat;

struct claim_batch {
	claim_batch_conf conf;
	claim_packet *packet; /* sorted by id */
	claim_seat *seat;     /* by packet, in order of arrival */
	unsigned packets, seats, fresh;
	claim_seat **table; /* first ones, by packet and user: open addressing */
	unsigned mask;
	uint64_t *number;
	char *text;
	size_t len, room;
	int64_t changed; /* packets that the UPDATE met; -1: none reported */
	unsigned wary;   /* batches that are still to read claims before they write any */
};

/* Fills every item's err and result, and the seats' fresh claims; nothing is written. Whose claims
 * are not known is taken to have none. */
err_t claim_decide(claim_batch_t *w) MUST_CHECK;
/* Takes back what claim_decide decided, for another time with more claims known. */
void claim_undecide(claim_batch_t *w);

#endif
