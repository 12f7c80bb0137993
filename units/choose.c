#include "units/choose.h"

#include "units/gtid.h"

int choose_doubt(const choose_member *m, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!m[i].known || !m[i].kept)
			return (int)i;
	return -1;
}

static bool candidate(const choose_member *m)
{
	return m->known && m->applies;
}

/* Whether it has what all others have: those that can apply, or all that are known. */
static bool fullest(const choose_member *m, unsigned n, unsigned at, bool only_candidates)
{
	for (unsigned i = 0; i < n; i++)
		if (m[i].known && (candidate(&m[i]) || !only_candidates) &&
			!gtid_covers(m[at].received, m[i].received))
			return false;
	return true;
}

static int pick(const choose_member *m, unsigned n, int preferred, bool only_candidates)
{
	int first = -1;

	for (unsigned i = 0; i < n; i++) {
		if (!candidate(&m[i]) || !fullest(m, n, i, only_candidates))
			continue;
		if ((int)i == preferred)
			return (int)i;
		if (first < 0)
			first = (int)i;
	}
	return first;
}

int choose(const choose_member *m, unsigned n, int preferred)
{
	return pick(m, n, preferred, false);
}

int choose_with_loss(const choose_member *m, unsigned n, int preferred)
{
	return pick(m, n, preferred, true);
}
