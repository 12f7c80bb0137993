/* hb-bench-sql: fills a benchmark's database with packets, and claims from it directly: the limit
 * that claims over HTTP are measured against. Only ./dev bench runs it. */
#include "tests/load/bench_sql.h"

#include "base/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t bench_number(const char *text, const char *name, uint64_t most)
{
	uint64_t v;

	if (!parse_u64(text, most, &v)) {
		fprintf(stderr, "hb-bench-sql: %s: not a number up to %llu\n", name,
			(unsigned long long)most);
		exit(2);
	}
	return v;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(program_t *, int, char **);
	} verbs[] = {{"fill", bench_fill}, {"direct", bench_direct}};
	int at, code = -1;
	program_t *p = program_start(argc, argv, "hb-bench-sql", "hb_core", NULL, NULL, &at);

	for (unsigned i = 0; i < sizeof(verbs) / sizeof(*verbs) && at < argc; i++)
		if (strcmp(argv[at], verbs[i].name) == 0)
			code = verbs[i].run(p, argc - at, argv + at);
	if (code < 0) {
		fputs("usage: hb-bench-sql OPTIONS fill PACKETS SHARES FILE | direct …\n", stderr);
		code = 2;
	}
	program_end(&p);
	return code;
}
