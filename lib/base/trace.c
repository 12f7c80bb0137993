#include "base/trace.h"

#include "base/keys.h"
#include "base/parse.h"
#include <stdio.h>
#include <string.h>

enum { PARENT_AT = 36, FLAGS_AT = 53, PARENT_BYTES = 8 };

static const char hex[] = "0123456789abcdef";

static _Thread_local const char *request, *parent;

bool trace_ok(const char *s)
{
	return strlen(s) == TRACE_TEXT_BYTES - 1 && !memcmp(s, "00-", TRACE_ID_AT) &&
	       strspn(s + TRACE_ID_AT, hex) == TRACE_ID_CHARS && s[PARENT_AT - 1] == '-' &&
	       strspn(s + PARENT_AT, hex) == 2 * PARENT_BYTES && s[FLAGS_AT - 1] == '-' &&
	       strspn(s + FLAGS_AT, hex) == 2 && strspn(s + TRACE_ID_AT, "0") < TRACE_ID_CHARS &&
	       strspn(s + PARENT_AT, "0") < 2 * PARENT_BYTES;
}

bool trace_sampled(const char *s)
{
	return (strchr(hex, s[FLAGS_AT + 1]) - hex) & 1;
}

void trace_make(const char *request_id, char out[TRACE_TEXT_BYTES])
{
	uint8_t random[TRACE_ID_CHARS / 2];
	char id[TRACE_ID_CHARS + 1];

	if (strlen(request_id) == TRACE_ID_CHARS && strspn(request_id, hex) == TRACE_ID_CHARS &&
		strspn(request_id, "0") < TRACE_ID_CHARS / 2) {
		memcpy(id, request_id, sizeof id);
	} else {
		do
			keys_random(random, sizeof random);
		while (random[0] == 0);
		parse_to_hex(random, sizeof random, id);
	}
	snprintf(out, TRACE_TEXT_BYTES, "00-%s-%.16s-00", id, id);
}

void trace_begin(const char *request_id, const char *traceparent)
{
	request = request_id;
	parent = traceparent;
}

void trace_end(void)
{
	trace_begin(NULL, NULL);
}

const char *trace_request(void)
{
	return request;
}

const char *trace_parent(void)
{
	return parent;
}

const char *trace_followed(void)
{
	return parent && trace_sampled(parent) ? parent : NULL;
}
