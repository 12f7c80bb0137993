/* Which of them lives is known only by trying, so what was learnt is kept: a dead one costs its
 * time-out once and not at every call. */
#include "store/endpoints.h"

#include <string.h>

err_t endpoints_read(const char *list, endpoints_t *out)
{
	endpoints_t e = {0};

	do {
		size_t n = strcspn(list, ","), used = n;

		while (used > 0 && list[used - 1] == '/')
			used--;
		if (used == 0 || used >= ENDPOINTS_URL_BYTES || e.count == ENDPOINTS_MAX)
			return ERR_CONFIG_INVALID;
		memcpy(e.url[e.count++], list, used);
		list += n + (list[n] == ',');
	} while (*list);
	*out = e;
	return ERR_OK;
}

const char *endpoints_url(const endpoints_t *e, unsigned k)
{
	BUG_ON(k >= e->count);
	return e->url[(e->at + k) % e->count];
}

void endpoints_begin_with(endpoints_t *e, unsigned k)
{
	e->at = (e->at + k) % e->count;
}
