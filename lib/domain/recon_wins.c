/* The win log against subsidies. Only a win that was given (RabbitMQ has confirmed it) must have
 * become a subsidy; one that was only logged may never have been published, and its budget comes back
 * with its lease. Lines are looked up in groups, by what makes a win one: its external number. */
#include "base/logger.h"
#include "domain/recon_inner.h"

#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GROUP = 500, LINE_BYTES = 1024 };

typedef struct {
	uint64_t no;
	int64_t fen, at_ms;
} win;

typedef struct {
	recon_work *w;
	json_t *asked; /* the group, as the statement wants it */
	win win[GROUP];
	unsigned count;
} wins;

static err_t judge(wins *s, const win *one, const int64_t *ours)
{
	const recon_job *j = s->w->job;
	if (ours && *ours == one->fen)
		return ERR_OK;
	if (!ours && one->at_ms > s->w->began_ms - j->grace_ms) {
		s->w->sum.waiting++;
		return ERR_OK;
	}
	recon_diff d = {.thing = RECON_WIN,
		.no = one->no,
		.kind = ours ? RECON_AMOUNT : RECON_MISSING_HERE,
		.has_ours = ours != NULL,
		.ours = ours ? *ours : 0,
		.has_theirs = true,
		.theirs = one->fen};
	return recon_found(s->w, &d);
}

/* Asks the database about the group; its rows come back in the order in which they were asked for. */
static err_t compare_group(wins *s)
{
	db_rows_t *r;
	if (s->count == 0)
		return ERR_OK;
	char *text = json_dumps(s->asked, JSON_COMPACT);
	BUG_ON(!text);
	err_t err = db_select(s->w->job->db, SQL_RECON_WINS, DB_ARGS(db_s(text)), &r);
	free(text);
	if (err != ERR_OK)
		return err;
	for (unsigned i = 0; i < s->count && err == ERR_OK && db_rows_next(r); i++) {
		int64_t ours = db_rows_i(r, 0);
		err = judge(s, &s->win[i], db_rows_null(r, 0) ? NULL : &ours);
	}
	db_rows_free(&r);
	s->w->sum.there += s->count;
	s->count = 0;
	json_array_clear(s->asked);
	return err;
}

static int64_t number_of(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

/* A line that is no JSON was cut off by a crash: that win was not given. */
static err_t take_line(wins *s, const char *line)
{
	const recon_window *at = &s->w->job->window;
	json_t *o = json_loads(line, 0, NULL);
	const char *word = json_string_value(json_object_get(o, "e"));
	int64_t at_ms = number_of(o, "t");
	bool ours = word && strcmp(word, "given") == 0 && at_ms >= at->from_ms && at_ms < at->to_ms;
	if (ours) {
		s->win[s->count] = (win){(uint64_t)number_of(o, "no"), number_of(o, "a"), at_ms};
		json_array_append_new(s->asked,
			json_pack("{s:i, s:o}", "i", s->count, "o",
				json_sprintf("%lld.%lld.%lld.%lld", (long long)number_of(o, "c"),
					(long long)number_of(o, "r"), (long long)number_of(o, "k"),
					(long long)number_of(o, "u"))));
		s->count++;
	}
	json_decref(o);
	return s->count == GROUP ? compare_group(s) : ERR_OK;
}

static err_t read_file(wins *s, const char *path)
{
	char line[LINE_BYTES];
	err_t err = ERR_OK;
	FILE *file = fopen(path, "re");
	if (!file) {
		LOG(ERROR, "recon.win_log", {"path", LOG_S(path)});
		return ERR_INTERNAL;
	}
	while (err == ERR_OK && fgets(line, sizeof line, file))
		err = take_line(s, line);
	if (err == ERR_OK && ferror(file))
		err = ERR_INTERNAL;
	fclose(file);
	return err;
}

err_t recon_wins(recon_work *w)
{
	const recon_job *j = w->job;
	char pattern[512];
	struct tm tm;
	time_t day = (time_t)(j->window.from_ms / 1000);
	glob_t files = {0};
	err_t err = ERR_OK;
	if (!j->wins || !*j->wins)
		return ERR_OK;
	gmtime_r(&day, &tm);
	snprintf(pattern, sizeof pattern, "%s/%s.*.%04d%02d%02d.jsonl", j->wins, j->cell->name,
		tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	wins *s = calloc(1, sizeof *s);
	BUG_ON(!s);
	s->w = w;
	s->asked = json_array();
	int found = glob(pattern, 0, NULL, &files);
	if (found != 0 && found != GLOB_NOMATCH)
		err = ERR_INTERNAL;
	for (size_t i = 0; i < files.gl_pathc && err == ERR_OK; i++)
		err = read_file(s, files.gl_pathv[i]);
	if (err == ERR_OK)
		err = compare_group(s);
	globfree(&files);
	json_decref(s->asked);
	free(s);
	return err;
}
