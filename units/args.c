#include "units/args.h"

#include "base/err.h"
#include "base/parse.h"
#include <getopt.h>
#include <stddef.h>
#include <string.h>

enum { ARGS_ROWS_MAX = 16 };

int args_take(int argc, char **argv, const args_row *rows, unsigned n)
{
	struct option options[ARGS_ROWS_MAX + 1] = {0};
	int got;

	BUG_ON(n > ARGS_ROWS_MAX);
	for (unsigned i = 0; i < n; i++)
		options[i] = (struct option){
			rows[i].name, rows[i].text ? required_argument : no_argument, NULL, (int)i};
	optind = 0;
	while ((got = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (got == '?')
			return -1;
		if (rows[got].text)
			*rows[got].text = optarg;
		else
			*rows[got].flag = true;
	}
	for (int i = optind; i < argc; i++)
		argv[1 + i - optind] = argv[i];
	return argc - optind;
}

bool args_duration(const char *text, int64_t *ms)
{
	static const struct {
		char unit;
		int64_t s;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	const size_t n = strlen(text);
	uint64_t v;

	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (n > 1 && text[n - 1] == units[i].unit && parse_u64n(text, n - 1, 36500, &v) &&
			v > 0) {
			*ms = (int64_t)v * units[i].s * 1000;
			return true;
		}
	return false;
}

bool args_listed(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; at && *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == n && !memcmp(at, word, n))
			return true;
	return false;
}
