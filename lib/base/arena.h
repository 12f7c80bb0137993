/* arena: memory of one request, freed in one place. Grows in blocks up to a limit on the
 * bytes asked for (each piece rounded up to 16); over the limit is a bug of the caller (bodies and
 * answers are bounded before). Not thread-safe; one per thread.
 */
#ifndef HB_BASE_ARENA_H
#define HB_BASE_ARENA_H

#include "base/err.h"
#include <stddef.h>

typedef struct arena arena_t;

arena_t *arena_new(size_t limit_bytes);
void arena_free(arena_t **a);
/* Forgets everything, keeps the first block. */
void arena_reset(arena_t *a);
/* Zeroed, aligned to 16. Never NULL. */
void *arena_alloc(arena_t *a, size_t bytes);
char *arena_strdup(arena_t *a, const char *s);
char *arena_strndup(arena_t *a, const char *s, size_t n);
char *arena_printf(arena_t *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
