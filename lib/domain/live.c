/* The folder is watched, not the file, which is replaced by a rename. A look at it now and then makes
 * up for a folder that is replaced itself; and often, where the kernel has no watch left to give: a user
 * has 128 of them by default, and a cell's programs at three sites are many. */
#include "domain/live.h"
#include "base/life.h"
#include "base/logger.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
	LIVE_LOOK_MS = 1000,
	LIVE_LOOK_UNWATCHED_MS = 100,
	LIVE_ARGS = 64,
	LIVE_ARGS_BYTES = 1 << 14
};

static struct {
	char path[256], as[LIVE_BYTES]; /* the file, and what it said */
	int events;
	atomic_bool changed;
} live;

bool live_text(const char *path, char out[LIVE_BYTES])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, LIVE_BYTES - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static void *live_run(void *ctx)
{
	char now[LIVE_BYTES], events[4096];

	(void)ctx;
	while (!life_stopping()) {
		struct pollfd p[] = {{.fd = live.events, .events = POLLIN},
			{.fd = life_stop_fd(), .events = POLLIN}};

		live_text(live.path, now);
		if (strcmp(now, live.as) != 0) {
			atomic_store(&live.changed, true);
			life_stop("the go-live file has changed");
			break;
		}
		(void)poll(p, 2, live.events < 0 ? LIVE_LOOK_UNWATCHED_MS : LIVE_LOOK_MS);
		while (read(live.events, events, sizeof(events)) > 0)
			;
	}
	return NULL;
}

err_t live_watch(const char *path, const char *as)
{
	char folder[512];
	pthread_t thread;

	snprintf(folder, sizeof(folder), "%s", path);
	snprintf(live.path, sizeof(live.path), "%s", path);
	snprintf(live.as, sizeof(live.as), "%s", as);
	live.events = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (live.events < 0) {
		LOG(INFO, "live.unwatched", {"path", LOG_S(path)}, {"errno", LOG_I(errno)});
	} else if (inotify_add_watch(live.events, dirname(folder), IN_MOVED_TO | IN_CLOSE_WRITE) <
		   0) {
		LOG(ERROR, "live.watch_failed", {"path", LOG_S(path)}, {"errno", LOG_I(errno)});
		return ERR_CONFIG_INVALID;
	}
	if (pthread_create(&thread, NULL, live_run, NULL))
		return ERR_INTERNAL;
	pthread_detach(thread);
	return ERR_OK;
}

bool live_changed(void)
{
	return atomic_load(&live.changed);
}

void live_again(void)
{
	static char text[LIVE_ARGS_BYTES];
	char *argv[LIVE_ARGS + 1], exe[512], *deleted;
	unsigned argc = 0;
	ssize_t len;
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	for (char *at = text; n > 0 && at < text + n && argc < LIVE_ARGS; at += strlen(at) + 1)
		argv[argc++] = at;
	argv[argc] = NULL;
	/* By its name, which ps shows, and which after an upgrade is the new one. */
	len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[len > 0 ? len : 0] = '\0';
	deleted = strstr(exe, " (deleted)");
	if (deleted)
		*deleted = '\0';
	if (argc > 0)
		execv(exe, argv);
	LOG(ERROR, "live.not_again", {"errno", LOG_I(errno)});
	_exit(1);
}
