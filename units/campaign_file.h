/* campaign_file: the file of `hbctl campaign apply` (libconfig): all of it is checked before any of
 * it is used, and every reason names its line. */
#ifndef HB_UNITS_CAMPAIGN_FILE_H
#define HB_UNITS_CAMPAIGN_FILE_H

#include "domain/campaign.h"
#include "domain/topology.h"

typedef struct {
	campaign_t c;                       /* without key_id and version */
	int64_t budget[TOPOLOGY_CELLS_MAX]; /* fen, by the cell's place in the topology */
} campaign_wanted;

/* Up to CAMPAIGNS_MAX of them. Reasons, one a line, go to stderr; ERR_CONFIG_INVALID then. */
err_t campaign_file_read(
	const char *path, const topology_t *topo, campaign_wanted *out, unsigned *count) MUST_CHECK;

#endif
