/* split_draw: the two steps of split_shares, apart, so that a test can show that the draw without
 * the shuffle is not neutral to position. For split.c and its test only. */
#ifndef HB_DOMAIN_SPLIT_DRAW_H
#define HB_DOMAIN_SPLIT_DRAW_H

#include "base/keys.h"
#include "domain/split.h"

typedef struct {
	keys_hmac_key key; /* the seed, worked in once for all blocks */
	uint8_t fields[45], bytes[32];
	uint32_t block;
	unsigned used; /* words of `bytes` */
} split_stream;

/* Starts the stream and draws the shares in order. */
void split_draw(const split_input *in, split_stream *s, int64_t *shares);
/* Fisher–Yates from the end, with the words that follow. */
void split_shuffle(split_stream *s, int64_t *shares, uint32_t count);

#endif
