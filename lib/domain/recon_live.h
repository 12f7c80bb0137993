/* recon_live: conservation while everything runs. Between two cells, what the receiver has booked in
 * is read before what the sender has booked out, so money under way can only make "out" larger:
 * more in than out is money from nothing. And the rule of every packet: what was paid covers what was
 * claimed, transferred, credited and refunded, and equals it at the end. Nothing is written. */
#ifndef HB_DOMAIN_RECON_LIVE_H
#define HB_DOMAIN_RECON_LIVE_H

#include "domain/topology.h"
#include "store/db.h"

typedef struct {
	const topology_cell *from, *to;
	int64_t out_fen, in_fen; /* in was read first */
} recon_flow;

/* `from` and `to` are the primaries' connections of the two cells; may be the same one. */
err_t recon_live_flow(db_t *from, db_t *to, recon_flow *flow) MUST_CHECK;

typedef struct {
	uint64_t packet_id;
	unsigned state;
	int64_t total_fen, paid_fen, claimed_fen, moved_fen, refunded_fen;
	const char *rule; /* which it breaks */
} recon_packet;
typedef void (*recon_packet_fn)(void *ctx, const recon_packet *p);
/* Up to `most` packets above *after, which moves on; *count: fewer than `most` at the end. */
err_t recon_live_page(db_t *db, uint64_t *after, size_t most, recon_packet_fn each, void *ctx,
	size_t *count) MUST_CHECK;
/* Calls `each` for every packet that breaks a rule; *count of all that were looked at. */
err_t recon_live_packets(db_t *db, recon_packet_fn each, void *ctx, uint64_t *count) MUST_CHECK;

#endif
