/* recon_pile: lines, sorted by (kind, number) in bounded memory: full buffers are sorted and go to
 * files without a name in `folder`, which are merged when they are read. Belongs to one thread. */
#ifndef HB_DOMAIN_RECON_PILE_H
#define HB_DOMAIN_RECON_PILE_H

#include "base/err.h"
#include <stdint.h>

enum {
	RECON_PILE_LINES = 400000, /* in memory: 16 MB */
	RECON_PILE_FILES = 512,    /* so at most 200 million lines */
};

typedef struct {
	uint64_t no;
	int64_t fen;
	int64_t at_ms;    /* when it moved (there) or was learned (here) */
	int64_t since_ms; /* here: when the order was made */
	uint32_t kind;
	uint32_t spare;
} recon_line;

typedef struct recon_pile recon_pile_t;

recon_pile_t *recon_pile_new(const char *folder);
void recon_pile_free(recon_pile_t **p);
/* ERR_INTERNAL: the disk is full, or more lines than a pile can hold; logged. */
err_t recon_pile_add(recon_pile_t *p, const recon_line *line) MUST_CHECK;
/* No more lines; the memory for them is given back. */
err_t recon_pile_sort(recon_pile_t *p) MUST_CHECK;
/* The next line, the least first, equal ones one after the other; *more false at the end. */
err_t recon_pile_next(recon_pile_t *p, recon_line *line, bool *more) MUST_CHECK;
uint64_t recon_pile_count(const recon_pile_t *p);

static inline int recon_line_order(const recon_line *a, const recon_line *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return (a->no > b->no) - (a->no < b->no);
}

#endif
