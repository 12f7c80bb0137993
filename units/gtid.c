/* In strict mode the sequence rises within a domain whoever writes, so a domain's position is one
 * number; which server wrote it does not matter here. */
#include "units/gtid.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct {
	uint32_t domain, server;
	uint64_t sequence;
} gtid;

/* Takes the next element off *at; 1 taken, 0 at the end, -1 malformed. */
static int gtid_next(const char **at, gtid *g)
{
	int n = 0;

	if (!**at)
		return 0;
	if (sscanf(*at, "%" SCNu32 "-%" SCNu32 "-%" SCNu64 "%n", &g->domain, &g->server,
		    &g->sequence, &n) != 3)
		return -1;
	*at += n;
	if (!**at)
		return 1;
	if (**at != ',' || !(*at)[1])
		return -1;
	++*at;
	return 1;
}

static bool gtid_has(const char *list, const gtid *wanted)
{
	gtid g;
	bool found = false;
	int more;

	while ((more = gtid_next(&list, &g)) > 0)
		found = found || (g.domain == wanted->domain && g.sequence >= wanted->sequence);
	return found && more == 0;
}

bool gtid_covers(const char *have, const char *want)
{
	gtid g;
	int more;

	while ((more = gtid_next(&want, &g)) > 0)
		if (!gtid_has(have, &g))
			return false;
	return more == 0;
}
