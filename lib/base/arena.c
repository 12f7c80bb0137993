/* A list of blocks, each at least twice the one before, so that a request of any size costs few
 * mallocs; the first block is kept over resets, so that an ordinary request costs none. */
#include "base/arena.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_FIRST_BYTES = 8192, ARENA_ALIGN = 16 };

typedef struct arena_block {
	struct arena_block *older;
	size_t size, used;
	_Alignas(ARENA_ALIGN) unsigned char data[];
} arena_block;

struct arena {
	arena_block *newest, *first;
	size_t limit, used; /* of what was asked for, not of the blocks */
};

static void arena_grow(arena_t *a, size_t bytes)
{
	size_t size = a->newest ? a->newest->size * 2 : ARENA_FIRST_BYTES;
	arena_block *b;

	if (size < bytes)
		size = bytes;
	b = malloc(sizeof(*b) + size);
	BUG_ON(!b);
	b->older = a->newest;
	b->size = size;
	b->used = 0;
	a->newest = b;
}

arena_t *arena_new(size_t limit_bytes)
{
	arena_t *a = calloc(1, sizeof(*a));

	BUG_ON(!a);
	a->limit = limit_bytes;
	arena_grow(a, 0);
	a->first = a->newest;
	return a;
}

void arena_reset(arena_t *a)
{
	while (a->newest != a->first) {
		arena_block *b = a->newest;

		a->newest = b->older;
		free(b);
	}
	a->first->used = 0;
	a->used = 0;
}

void arena_free(arena_t **a)
{
	if (!*a)
		return;
	arena_reset(*a);
	free((*a)->first);
	free(*a);
	*a = NULL;
}

void *arena_alloc(arena_t *a, size_t bytes)
{
	size_t rounded;
	void *p;

	BUG_ON(bytes > SIZE_MAX - ARENA_ALIGN);
	rounded = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	BUG_ON(rounded > a->limit - a->used);
	if (rounded > a->newest->size - a->newest->used)
		arena_grow(a, rounded);
	p = a->newest->data + a->newest->used;
	a->newest->used += rounded;
	a->used += rounded;
	return memset(p, 0, rounded);
}

char *arena_strndup(arena_t *a, const char *s, size_t n)
{
	char *copy = arena_alloc(a, n + 1);

	memcpy(copy, s, n);
	return copy;
}

char *arena_strdup(arena_t *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(arena_t *a, const char *fmt, ...)
{
	char first[256];
	va_list ap;
	char *text;
	int n;

	BUG_ON(!fmt);
	va_start(ap, fmt);
	n = vsnprintf(first, sizeof(first), fmt, ap);
	va_end(ap);
	BUG_ON(n < 0);
	if ((size_t)n < sizeof(first))
		return arena_strndup(a, first, (size_t)n);
	text = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return text;
}
