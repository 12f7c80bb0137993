/* Why: one pass over a few hundred bytes, no library: the driver must stay cheaper than what it
 * drives. */
#define _GNU_SOURCE /* memmem, strcasestr */
#include "tests/load/reply.h"

#include <stdlib.h>
#include <string.h>

const char *const reply_names[REPLY_OUTCOMES] = {"claimed", "already_claimed", "exhausted",
	"expired", "not_open", "not_eligible", "won", "limit", "budget_spent", "not_started",
	"none"};

static reply_outcome outcome_of(const char *body, size_t n)
{
	static const char key[] = "{\"outcome\":\"";
	const size_t at = sizeof(key) - 1;

	if (n < at || memcmp(body, key, at) != 0)
		return REPLY_NO_OUTCOME;
	for (unsigned i = 0; i < REPLY_NO_OUTCOME; i++) {
		const size_t len = strlen(reply_names[i]);
		if (n > at + len && memcmp(body + at, reply_names[i], len) == 0 &&
			body[at + len] == '"')
			return (reply_outcome)i;
	}
	return REPLY_NO_OUTCOME;
}

long reply_read(char *buf, size_t n, reply_t *out)
{
	char *end = memmem(buf, n, "\r\n\r\n", 4), *after;

	if (!end)
		return 0;
	if (memcmp(buf, "HTTP/1.1 ", 9) != 0)
		return -1;
	const char kept = *end;
	*end = '\0';
	const char *length = strcasestr(buf, "\r\nContent-Length: ");
	out->closes = strcasestr(buf, "\r\nConnection: close") != NULL;
	out->status = (int)strtol(buf + 9, &after, 10);
	const unsigned long body = length ? strtoul(length + 18, &after, 10) : 0;
	const bool none = out->status == 204 || out->status == 304;
	*end = kept;
	if (!length && !none)
		return -1;
	const size_t head = (size_t)(end - buf) + 4;
	if (n < head + body)
		return 0;
	out->outcome = out->status == 200 ? outcome_of(end + 4, body) : REPLY_NO_OUTCOME;
	return (long)(head + body);
}
