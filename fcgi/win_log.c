/* Lines gather in memory and go out by one write, so that a group costs one write and one sync. A
 * line that a crash cut off gets its end when the file is opened again; readers pass over what is
 * no JSON. */
#include "fcgi/win_log.h"

#include "base/clk.h"
#include "base/jw.h"
#include "base/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 512, LINE_BYTES = 512, DAY_MS = 86400000 };

struct win_log {
	char folder[PATH_BYTES - 64];
	char cell[8];
	int instance;
	int fd;
	int64_t day; /* of the open file */
	char *text;
	size_t len, room;
};

static const char *const state_words[] = {[WIN_LOGGED] = "won", [WIN_GIVEN] = "given"};

static void path_of(const win_log_t *l, int64_t day, char out[PATH_BYTES])
{
	time_t s = (time_t)(day * (DAY_MS / 1000));
	struct tm tm;

	gmtime_r(&s, &tm);
	snprintf(out, PATH_BYTES, "%s/%s.%d.%04d%02d%02d.jsonl", l->folder, l->cell, l->instance,
		tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static err_t failed(const char *what, const char *path)
{
	LOG(ERROR, "win_log.failed", {"during", LOG_S(what)}, {"file", LOG_S(path)},
		{"why", LOG_S(strerror(errno))});
	return ERR_INTERNAL;
}

/* A file whose name is not on disk either would be lost with all that is synced into it. */
static bool sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool end_torn_line(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char last = '\n';

	if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
		return false;
	return size >= 0 && (last == '\n' || write(fd, "\n", 1) == 1);
}

static err_t open_day(win_log_t *l, int64_t day)
{
	char path[PATH_BYTES];

	path_of(l, day, path);
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || !sync_folder(l->folder) || !end_torn_line(fd)) {
		err_t e = failed("open", path);
		if (fd >= 0)
			close(fd);
		return e;
	}
	if (l->fd >= 0)
		close(l->fd);
	l->fd = fd;
	l->day = day;
	return ERR_OK;
}

err_t win_log_open(const char *folder, const char *cell, int instance, win_log_t **out)
{
	win_log_t *l = calloc(1, sizeof(*l));

	BUG_ON(!l || strlen(cell) >= sizeof(l->cell));
	if (!*folder || strlen(folder) >= sizeof(l->folder)) {
		LOG0(ERROR, "win_log.no_folder: paths.wins must be set");
		free(l);
		return ERR_CONFIG_INVALID;
	}
	strcpy(l->folder, folder);
	strcpy(l->cell, cell);
	l->instance = instance;
	l->fd = -1;
	err_t e = open_day(l, clk_wall_ms() / DAY_MS);
	if (e != ERR_OK)
		win_log_close(&l);
	else
		*out = l;
	return e;
}

void win_log_close(win_log_t **l)
{
	if (!*l)
		return;
	if ((*l)->fd >= 0) {
		(void)!fdatasync((*l)->fd);
		close((*l)->fd);
	}
	free((*l)->text);
	free(*l);
	*l = NULL;
}

void win_log_add(
	win_log_t *l, win_state state, const win_key *key, const token_win *win, int64_t now_ms)
{
	jw_t w;

	if (l->room - l->len < LINE_BYTES) {
		l->room = (l->room + LINE_BYTES) * 2;
		l->text = realloc(l->text, l->room);
		BUG_ON(!l->text);
	}
	jw_start_fixed(&w, l->text + l->len, LINE_BYTES);
	jw_obj(&w, NULL);
	jw_str(&w, "e", state_words[state]);
	jw_i64(&w, "t", now_ms);
	jw_i64(&w, "c", key->campaign);
	jw_i64(&w, "r", key->round);
	jw_i64(&w, "k", key->k);
	jw_i64(&w, "u", (int64_t)key->uid);
	jw_i64(&w, "a", win->amount_fen);
	jw_i64(&w, "no", (int64_t)win->subsidy_id);
	jw_i64(&w, "l", (int64_t)win->lease_id);
	jw_i64(&w, "x", win->expires_at_ms);
	jw_obj_end(&w);
	size_t n = jw_end(&w);
	BUG_ON(n == 0 || n + 1 >= LINE_BYTES);
	l->len += n;
	l->text[l->len++] = '\n';
}

err_t win_log_write(win_log_t *l, int64_t now_ms)
{
	size_t at = 0, n = l->len;
	err_t e = now_ms / DAY_MS == l->day ? ERR_OK : open_day(l, now_ms / DAY_MS);

	l->len = 0;
	while (e == ERR_OK && at < n) {
		ssize_t done = write(l->fd, l->text + at, n - at);
		if (done < 0 && errno != EINTR)
			e = failed("write", l->folder);
		at += done > 0 ? (size_t)done : 0;
	}
	/* What was cut off must not run into the next line. */
	if (e != ERR_OK && at > 0)
		(void)!write(l->fd, "\n", 1);
	return e;
}

err_t win_log_sync(win_log_t *l)
{
	return fdatasync(l->fd) == 0 ? ERR_OK : failed("sync", l->folder);
}

static int64_t number_of(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static void replay_line(const char *line, size_t n, win_log_fn fn, void *ctx)
{
	json_t *o = json_loadb(line, n, 0, NULL);
	const char *word = json_string_value(json_object_get(o, "e"));

	if (word && number_of(o, "l") > 0) {
		const win_key key = {(uint64_t)number_of(o, "u"), (uint32_t)number_of(o, "c"),
			(uint32_t)number_of(o, "r"), (uint32_t)number_of(o, "k")};
		const token_win win = {.uid = key.uid,
			.campaign = key.campaign,
			.subsidy_id = (uint64_t)number_of(o, "no"),
			.lease_id = (uint64_t)number_of(o, "l"),
			.amount_fen = number_of(o, "a"),
			.expires_at_ms = number_of(o, "x")};
		fn(ctx, strcmp(word, state_words[WIN_GIVEN]) == 0 ? WIN_GIVEN : WIN_LOGGED, &key,
			&win);
	}
	json_decref(o);
}

void win_log_replay(win_log_t *l, int64_t now_ms, win_log_fn fn, void *ctx)
{
	char path[PATH_BYTES], *line = NULL;
	size_t room = 0;
	ssize_t n;

	for (int64_t day = now_ms / DAY_MS - 1; day <= now_ms / DAY_MS; day++) {
		path_of(l, day, path);
		FILE *f = fopen(path, "re");
		while (f && (n = getline(&line, &room, f)) > 0)
			replay_line(line, (size_t)n, fn, ctx);
		if (f)
			fclose(f);
	}
	free(line);
}
