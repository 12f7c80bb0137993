#include "units/flags_text.h"

#include "base/clk.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_string(FILE *to, const char *name, const char *value)
{
	fprintf(to, "\t%s = \"", name);
	for (const char *at = value; *at; at++)
		fprintf(to, "%s%c", *at == '"' || *at == '\\' ? "\\" : "", *at);
	fputs("\";\n", to);
}

static void put_time(FILE *to, const char *name, int64_t at_ms)
{
	char text[CLK_RFC3339_BYTES];

	clk_rfc3339(at_ms, text);
	put_string(to, name, text);
}

static void put_scope(FILE *to, flags_id id, const flags_wish *w)
{
	const flags_row *row = &flags_table()[id];
	const char *comma = "";

	if (*w->cells) {
		fputs("\tcells = [ ", to);
		for (const char *cell = w->cells; *cell; cell++, comma = ", ")
			fprintf(to, "%s\"%c\"", comma, *cell);
		fputs(" ];\n", to);
	}
	if (w->interfaces) {
		fputs("\tinterfaces = [ ", to);
		comma = "";
		for (unsigned i = 0; i < row->interface_count; i++)
			if (w->interfaces & 1U << i) {
				fprintf(to, "%s\"%s\"", comma,
					routes_table[row->interface[i]].name);
				comma = ", ";
			}
		fputs(" ];\n", to);
	}
}

char *flags_text_group(flags_id id, const flags_wish *w)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	BUG_ON(!to);
	fprintf(to, "%s = {\n\tstate = \"%s\";\n", flags_table()[id].name, w->off ? "off" : "on");
	if (w->percent != 100)
		fprintf(to, "\tpercent = %d;\n", w->percent);
	put_scope(to, id, w);
	put_string(to, "reason", w->reason);
	if (*w->owner)
		put_string(to, "owner", w->owner);
	if (*w->ticket)
		put_string(to, "ticket", w->ticket);
	put_time(to, "set_at", w->set_at_ms);
	if (w->expires_at_ms)
		put_time(to, "expires_at", w->expires_at_ms);
	fputs("};\n", to);
	BUG_ON(fclose(to) != 0);
	return text;
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

/* The next word or bracket that is not in a string or comment. */
static const char *next_token(const char *p)
{
	for (;;) {
		const char *skipped = cfg_skip(p);

		if (skipped != p)
			p = skipped;
		else if (*p && !word_char(*p) && !strchr("{}()[]", *p))
			p++;
		else
			return p;
	}
}

static const char *token_end(const char *p)
{
	if (!word_char(*p))
		return p + 1;
	while (word_char(*p))
		p++;
	return p;
}

/* Where the setting `name` of the file's top level begins, and the end of its group. */
static const char *find(const char *text, const char *name, const char **end)
{
	const char *begin = NULL;
	unsigned depth = 0;

	for (const char *p = next_token(text); *p; p = next_token(token_end(p))) {
		if (strchr("{([", *p)) {
			depth++;
		} else if (strchr("})]", *p)) {
			if (--depth == 0 && begin) {
				*end = p + 1;
				return begin;
			}
		} else if (depth == 0 && strlen(name) == (size_t)(token_end(p) - p) &&
			   !strncmp(p, name, strlen(name))) {
			begin = p;
			if (!strcmp(name, "complete"))
				return begin;
		}
	}
	return NULL;
}

/* With the separator and the rest of its line, if that is blank. */
static const char *past_line(const char *end)
{
	const char *p = end + strspn(end, " \t");

	if (*p == ';' || *p == ',')
		end = ++p;
	p += strspn(p, " \t\r");
	return *p == '\n' ? p + 1 : end;
}

char *flags_text_with(const char *text, const char *name, const char *group)
{
	const char *end = text, *begin = find(text, name, &end);
	char *out;
	size_t room = strlen(text) + strlen(group) + 2;

	if (begin) {
		end = past_line(end);
	} else {
		begin = end = find(text, "complete", &end);
		BUG_ON(!begin);
	}
	out = malloc(room);
	BUG_ON(!out);
	snprintf(out, room, "%.*s%s%s", (int)(begin - text), text, group, end);
	return out;
}
