/* In strict mode the sequence rises within a domain whoever writes, so a domain's position is one
 * number; which server wrote it does not matter here. */
#include "units/gtid.h"

#include "base/parse.h"
#include <string.h>

typedef struct {
	uint64_t domain, server, sequence;
} gtid;

/* The digits up to `end`; *at moves behind them. */
static bool gtid_number(const char **at, const char *end, uint64_t *out)
{
	size_t n = strcspn(*at, end);

	if (!parse_u64n(*at, n, UINT64_MAX, out))
		return false;
	*at += n;
	return true;
}

/* Takes the next element off *at; 1 taken, 0 at the end, -1 malformed. */
static int gtid_next(const char **at, gtid *g)
{
	if (!**at)
		return 0;
	if (!gtid_number(at, "-", &g->domain) || *(*at)++ != '-')
		return -1;
	if (!gtid_number(at, "-", &g->server) || *(*at)++ != '-')
		return -1;
	if (!gtid_number(at, ",", &g->sequence))
		return -1;
	if (!**at)
		return 1;
	++*at;
	return **at ? 1 : -1;
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

/* Up to where `list` has the domain; 0: not at all. */
static uint64_t gtid_reached(const char *list, uint64_t domain)
{
	gtid g;
	uint64_t reached = 0;

	while (gtid_next(&list, &g) > 0)
		if (g.domain == domain && g.sequence > reached)
			reached = g.sequence;
	return reached;
}

uint64_t gtid_missing(const char *have, const char *want)
{
	gtid g;
	uint64_t missing = 0;

	while (gtid_next(&want, &g) > 0) {
		uint64_t reached = gtid_reached(have, g.domain);

		missing += g.sequence > reached ? g.sequence - reached : 0;
	}
	return missing;
}
