/* Millions of lines against tens of megabytes: sorted pieces on disk, read side by side. A piece
 * has no name, so nothing is left behind when the process dies. */
#include "domain/recon_pile.h"

#include "base/logger.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BUFFER_BYTES = 65536 };

typedef struct {
	FILE *file;
	char *buffer;
	recon_line line;
	bool more;
} piece;

struct recon_pile {
	char folder[256];
	recon_line *line;
	size_t lines;
	uint64_t count;
	piece piece[RECON_PILE_FILES];
	unsigned pieces;
};

recon_pile_t *recon_pile_new(const char *folder)
{
	recon_pile_t *p = calloc(1, sizeof *p);
	BUG_ON(!p);
	snprintf(p->folder, sizeof p->folder, "%s", folder);
	p->line = malloc(RECON_PILE_LINES * sizeof *p->line);
	BUG_ON(!p->line);
	return p;
}

void recon_pile_free(recon_pile_t **p)
{
	if (!*p)
		return;
	for (unsigned i = 0; i < (*p)->pieces; i++) {
		fclose((*p)->piece[i].file);
		free((*p)->piece[i].buffer);
	}
	free((*p)->line);
	free(*p);
	*p = NULL;
}

uint64_t recon_pile_count(const recon_pile_t *p)
{
	return p->count;
}

static int compare(const void *a, const void *b)
{
	return recon_line_order(a, b);
}

static FILE *nameless(const char *folder)
{
	char path[300];
	snprintf(path, sizeof path, "%s/recon.XXXXXX", folder);
	int fd = mkstemp(path);
	if (fd < 0)
		return NULL;
	unlink(path);
	FILE *f = fdopen(fd, "w+");
	if (!f)
		close(fd);
	return f;
}

static err_t trouble(const char *what)
{
	LOG(ERROR, "recon.pile", {"what", LOG_S(what)});
	return ERR_INTERNAL;
}

static err_t spill(recon_pile_t *p)
{
	if (p->lines == 0)
		return ERR_OK;
	if (p->pieces == RECON_PILE_FILES)
		return trouble("more lines than a pile can hold");
	qsort(p->line, p->lines, sizeof *p->line, compare);
	piece *s = &p->piece[p->pieces];
	s->file = nameless(p->folder);
	if (!s->file)
		return trouble("a file cannot be made");
	p->pieces++;
	s->buffer = malloc(FILE_BUFFER_BYTES);
	BUG_ON(!s->buffer);
	setvbuf(s->file, s->buffer, _IOFBF, FILE_BUFFER_BYTES);
	if (fwrite(p->line, sizeof *p->line, p->lines, s->file) != p->lines || fflush(s->file) != 0)
		return trouble("a file cannot be written");
	p->lines = 0;
	return ERR_OK;
}

err_t recon_pile_add(recon_pile_t *p, const recon_line *line)
{
	BUG_ON(!p->line);
	if (p->lines == RECON_PILE_LINES) {
		err_t err = spill(p);
		if (err != ERR_OK)
			return err;
	}
	p->line[p->lines++] = *line;
	p->count++;
	return ERR_OK;
}

static err_t forward(piece *s)
{
	s->more = fread(&s->line, sizeof s->line, 1, s->file) == 1;
	return s->more || !ferror(s->file) ? ERR_OK : trouble("a file cannot be read");
}

err_t recon_pile_sort(recon_pile_t *p)
{
	err_t err = spill(p);
	free(p->line);
	p->line = NULL;
	for (unsigned i = 0; i < p->pieces && err == ERR_OK; i++) {
		rewind(p->piece[i].file);
		err = forward(&p->piece[i]);
	}
	return err;
}

err_t recon_pile_next(recon_pile_t *p, recon_line *line, bool *more)
{
	piece *least = NULL;
	BUG_ON(p->line);
	for (unsigned i = 0; i < p->pieces; i++) {
		piece *s = &p->piece[i];
		if (s->more && (!least || recon_line_order(&s->line, &least->line) < 0))
			least = s;
	}
	*more = least != NULL;
	if (!least)
		return ERR_OK;
	*line = least->line;
	return forward(least);
}
