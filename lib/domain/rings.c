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

/* "k" and the second in base 36. */
static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
enum { DIGITS = 6, BASE = 36 };

void rings_key_id(int64_t made_s, char out[KEYS_ID_BYTES])
{
	uint64_t v = (uint64_t)made_s;

	memcpy(out, "k000000", 1 + DIGITS + 1);
	for (unsigned i = DIGITS; i > 0; i--, v /= BASE)
		out[i] = digits[v % BASE];
}

int64_t rings_key_made_s(const char *id)
{
	int64_t v = 0;

	if (id[0] != 'k' || strlen(id) != 1 + DIGITS || strspn(id + 1, digits) != DIGITS)
		return 0;
	for (const char *at = id + 1; *at; at++)
		v = v * BASE + (strchr(digits, *at) - digits);
	return v;
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
