/* hist: durations in buckets 1/64 apart, so that a quantile is right to 1.6 % at any size and
 * adding costs a few instructions. One thread each; merge afterwards. */
#ifndef HB_LOAD_HIST_H
#define HB_LOAD_HIST_H

#include <stdint.h>

enum { HIST_SUB_BITS = 6, HIST_SUB = 1 << HIST_SUB_BITS, HIST_BUCKETS = HIST_SUB * 30 };

typedef struct {
	uint64_t count[HIST_BUCKETS];
	uint64_t total;
} hist_t;

void hist_add(hist_t *h, uint64_t us);
void hist_merge(hist_t *into, const hist_t *from);
/* The least duration that `permille` of all do not exceed; 0 when there are none. */
uint64_t hist_at(const hist_t *h, unsigned permille);

#endif
