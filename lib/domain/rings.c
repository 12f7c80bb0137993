/* keys.h knows rings; here is which there are, for programs, metrics and hbctl alike. */
#include "domain/rings.h"
#include "base/metrics.h"
#include <stdio.h>
#include <string.h>

const rings_row rings_table[RINGS_COUNT] = {
#define RING(id, name, keep, others, before) [RINGS_##id] = {name, keep, others, before},
#include "domain/rings.def"
#undef RING
};

static bool is_many(const char *name)
{
	return name[strlen(name) - 1] == '.';
}

const rings_row *rings_named(const char *name)
{
	for (unsigned i = 0; i < RINGS_COUNT; i++) {
		const char *own = rings_table[i].name;
		const size_t n = strlen(own);

		if (is_many(own) ? !strncmp(name, own, n) && name[n] && !strchr(name, '/')
				 : !strcmp(name, own))
			return &rings_table[i];
	}
	return NULL;
}

int64_t rings_version(rings_id id)
{
	char prefix[32];

	snprintf(prefix, sizeof(prefix), "%s%s", rings_table[id].name,
		is_many(rings_table[id].name) ? "" : ".");
	return keys_version(prefix);
}

void rings_look(void)
{
	keys_look();
	for (unsigned i = 0; i < RINGS_COUNT; i++)
		metrics_set(METRICS_KEYS_VERSION, i, rings_version((rings_id)i));
}
