/* id_array: many ids as one parameter of a statement, which reads them with JSON_TABLE. So a batch
 * of any size is one fixed statement and one round trip. */
#ifndef HB_DOMAIN_ID_ARRAY_H
#define HB_DOMAIN_ID_ARRAY_H

#include "base/err.h"
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* "[1,2,3]"; the caller frees. */
static inline char *id_array(const uint64_t *id, size_t n)
{
	enum { ID_BYTES = 21 };
	size_t room = n * ID_BYTES + 3, len = 0;
	char *text = malloc(room);
	BUG_ON(!text);
	text[len++] = '[';
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(
			text + len, room - len, i ? ",%" PRIu64 : "%" PRIu64, id[i]);
	text[len++] = ']';
	text[len] = 0;
	return text;
}

#endif
