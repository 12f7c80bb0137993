/* Where logs lie is the supervisor's matter: under runit svlogd keeps files, under systemd the programs' lines
 * are in the journal, and logrotate makes yesterday's file of nginx access.json.1, and later access.json.2.gz.
 * All of them are looked through, and what is not there is no fault. */
#include "units/trace_logs.h"

#include "units/verb.h"
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 512, JOURNAL_BYTES = 512 << 20 };

/* As long as logrotate keeps nginx's; the newest first, so that what is too much is old. */
#define JOURNAL                                                                                    \
	"command -v journalctl >/dev/null && "                                                     \
	"exec journalctl -q -r -o cat --since=-14d -u 'hongbao-*' 2>/dev/null"

/* At most `most` bytes; false: there is more. */
static bool read_lines(FILE *f, size_t most, trace_logs_line each, void *ctx)
{
	char *line = NULL;
	size_t room = 0, n = 0;
	ssize_t got = 0;

	while (f && n < most && (got = getline(&line, &room, f)) > 0) {
		n += (size_t)got;
		if (*line == '{')
			each(ctx, line);
	}
	free(line);
	return n < most;
}

/* Its path is glob's, below a folder that the operator named. */
static void read_packed(const char *path, trace_logs_line each, void *ctx)
{
	char command[PATH_BYTES + 32];
	FILE *f;

	if (strchr(path, '\''))
		return;
	snprintf(command, sizeof command, "exec gzip -dc -- '%s' 2>/dev/null", path);
	f = popen(command, "re");
	(void)read_lines(f, SIZE_MAX, each, ctx);
	if (f)
		pclose(f);
}

static void read_file(const char *path, trace_logs_line each, void *ctx)
{
	FILE *f = fopen(path, "re");

	(void)read_lines(f, SIZE_MAX, each, ctx);
	if (f)
		fclose(f);
}

static bool read_journal(trace_logs_line each, void *ctx)
{
	FILE *f = popen(JOURNAL, "re");
	const bool whole = read_lines(f, JOURNAL_BYTES, each, ctx);

	if (f)
		pclose(f);
	return whole;
}

bool trace_logs_each(trace_logs_line each, void *ctx)
{
	static const struct {
		const char *pattern;
		void (*read)(const char *path, trace_logs_line each, void *ctx);
	} files[] = {{"log/*/current", read_file}, {"log/*/@*.s", read_file},
		{"log/nginx*/*.json", read_file}, {"log/nginx*/*.json.*[0-9]", read_file},
		{"log/nginx*/*.json.*.gz", read_packed}};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		char pattern[PATH_BYTES];
		glob_t found;

		snprintf(pattern, sizeof pattern, "%s/%s", verb_state(), files[i].pattern);
		if (glob(pattern, 0, NULL, &found) == 0)
			for (size_t k = 0; k < found.gl_pathc; k++)
				files[i].read(found.gl_pathv[k], each, ctx);
		globfree(&found);
	}
	return read_journal(each, ctx);
}
