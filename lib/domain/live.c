/* Looked at a few times a second, and at once when whoever wrote it sends SIGHUP. inotify would tell as
 * soon, but a user has 128 instances of it by default, and a site more programs. */
#include "domain/live.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/supervisor.h"
#include "domain/flags.h"
#include "domain/rings.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LIVE_LOOK_MS = 400, LIVE_ARGS = 64, LIVE_ARGS_BYTES = 1 << 14 };

static struct {
	char path[256], as[LIVE_BYTES]; /* the file, and what it said */
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
	char now[LIVE_BYTES];
	uint64_t told;

	(void)ctx;
	while (!life_stopping()) {
		struct pollfd p[] = {{.fd = life_reload_fd(), .events = POLLIN},
			{.fd = life_stop_fd(), .events = POLLIN}};

		live_text(live.path, now);
		if (strcmp(now, live.as) != 0) {
			atomic_store(&live.changed, true);
			supervisor_reloading();
			life_stop("the go-live file has changed");
			break;
		}
		(void)poll(p, 2, LIVE_LOOK_MS);
		(void)!read(life_reload_fd(), &told, sizeof(told));
		flags_look();
		rings_look();
	}
	return NULL;
}

err_t live_watch(const char *path, const char *as, const char *cell)
{
	char folder[512];
	pthread_t thread;

	snprintf(live.path, sizeof(live.path), "%s", path);
	snprintf(live.as, sizeof(live.as), "%s", as);
	snprintf(folder, sizeof(folder), "%s", path);
	flags_begin(dirname(folder), cell);
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
