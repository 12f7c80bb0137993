#include "units/journal.h"

#include "base/clk.h"
#include "base/jw.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 512, LINE_BYTES = 2048, TEXT_BYTES = 1024 };

struct journal {
	int lock;
	FILE *file;
	int64_t began_ms;
	char path[PATH_BYTES];
};

static int take_lock(const char *cell)
{
	char path[PATH_BYTES];
	int fd;

	snprintf(path, sizeof(path), "%s/journal", verb_state());
	(void)mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/journal/%s.lock", verb_state(), cell);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		fprintf(stderr, "hbctl: cannot write %s: %m\n", path);
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	fprintf(stderr, "hbctl: another hbctl is at work on cell %s (%s)\n", cell, path);
	close(fd);
	return -1;
}

err_t journal_open(const char *cell, const char *verb, uint64_t epoch, journal_t **out)
{
	int lock = take_lock(cell);
	journal_t *j;

	if (lock < 0)
		return ERR_CONTROL_CONFLICT;
	j = calloc(1, sizeof(*j));
	BUG_ON(!j);
	j->lock = lock;
	j->began_ms = clk_mono_ms();
	snprintf(j->path, sizeof(j->path), "%s/journal/%s-%llu-%s.jsonl", verb_state(), cell,
		(unsigned long long)epoch, verb);
	*out = j;
	return ERR_OK;
}

void journal_close(journal_t **j)
{
	if (!*j)
		return;
	if ((*j)->file)
		fclose((*j)->file);
	close((*j)->lock);
	free(*j);
	*j = NULL;
}

int64_t journal_ms(const journal_t *j)
{
	return clk_mono_ms() - j->began_ms;
}

/* HB_CTL_DIE_AFTER=<step> ends hbctl as SIGKILL would, right behind that step: how the tests meet
 * every place where it may be killed (tests/integration/test_failover.py). */
static void die_if_told(const char *step)
{
	const char *told = getenv("HB_CTL_DIE_AFTER");

	if (told && !strcmp(told, step))
		raise(SIGKILL);
}

static bool append(journal_t *j, const char *step, const char *text)
{
	char line[LINE_BYTES];
	jw_t w;

	if (!j->file)
		j->file = fopen(j->path, "ae");
	jw_start_fixed(&w, line, sizeof(line));
	jw_obj(&w, NULL);
	jw_time(&w, "at", clk_wall_ms());
	jw_i64(&w, "ms", journal_ms(j));
	jw_str(&w, "step", step);
	jw_str(&w, "text", text);
	jw_obj_end(&w);
	return j->file && jw_end(&w) > 0 && fprintf(j->file, "%s\n", line) > 0 &&
	       fflush(j->file) == 0 && fdatasync(fileno(j->file)) == 0;
}

/* What cannot be written does not stop a failover. */
void journal_step(journal_t *j, const char *step, const char *text, ...)
{
	char what[TEXT_BYTES];
	FILE *to = verb_json() ? stderr : stdout;
	va_list ap;

	va_start(ap, text);
	vsnprintf(what, sizeof(what), text, ap);
	va_end(ap);
	fprintf(to, "%6lld ms  %-9s  %s\n", (long long)journal_ms(j), step, what);
	fflush(to);
	if (!append(j, step, what))
		fprintf(stderr, "hbctl: cannot write %s: %m\n", j->path);
	die_if_told(step);
}

bool journal_has(const journal_t *j, const char *step)
{
	char line[LINE_BYTES], want[64];
	FILE *f = fopen(j->path, "re");
	bool has = false;

	snprintf(want, sizeof(want), "\"step\":\"%s\"", step);
	while (f && !has && fgets(line, sizeof(line), f))
		has = strstr(line, want) != NULL;
	if (f)
		fclose(f);
	return has;
}
