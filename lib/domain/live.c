/* Looked at a few times a second, and at once when whoever wrote it sends SIGHUP. inotify would tell as
 * soon, but a user has 128 instances of it by default, and a site more programs. */
#include "domain/live.h"
#include "base/clk.h"
#include "base/keys.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/supervisor.h"
#include "domain/flags.h"
#include "domain/rings.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LIVE_LOOK_MS = 400, LIVE_ARGS = 64, LIVE_ARGS_BYTES = 1 << 14 };

static struct {
	char path[256];
	live_file as;                /* what it said */
	topology_cell cell;          /* a copy: the thread may outlive the program's */
	const topology_member *here; /* the member at our site */
	atomic_bool changed;
	atomic_llong spread_ms;
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

err_t live_read(
	const char *path, const topology_cell *cell, char why[CFG_WHY_BYTES], live_file *out)
{
	const config_setting_t *root, *epoch, *primary;
	config_t tree;
	int64_t v = 0;

	*out = (live_file){0};
	if (!live_text(path, out->text))
		return ERR_OK;
	err_t e = cfg_parse(path, out->text, why, &tree);
	if (e != ERR_OK)
		return e;
	root = config_root_setting(&tree);
	epoch = config_setting_get_member(root, "epoch");
	primary = config_setting_get_member(root, "primary");
	if (config_setting_length(root) != 2 || !epoch || !cfg_int(epoch, 1, INT64_MAX, &v) ||
		!primary || config_setting_type(primary) != CONFIG_TYPE_STRING)
		e = cfg_fail(why, path, root,
			"the go-live file is not `epoch = 1L; primary = \"site\";`");
	if (e == ERR_OK) {
		out->epoch = (uint64_t)v;
		out->primary = topology_member_at(cell, config_setting_get_string(primary));
		if (!out->primary)
			e = cfg_fail(why, path, root,
				"the go-live file's primary is not a member of the cell");
	}
	config_destroy(&tree);
	return e;
}

/* A standby that the file leaves one: it holds nothing of an epoch. */
static bool still_standby(void)
{
	char why[CFG_WHY_BYTES];
	live_file now;

	if (live.as.primary == live.here || live_read(live.path, &live.cell, why, &now) != ERR_OK ||
		!now.primary || now.primary == live.here)
		return false;
	live.as = now;
	logger_set_epoch(now.epoch);
	metrics_set(METRICS_EPOCH, 0, (int64_t)now.epoch);
	LOG(INFO, "live.still_standby", {"primary", LOG_S(now.primary->site)});
	return true;
}

static void *live_run(void *ctx)
{
	char now[LIVE_BYTES];
	uint64_t told;

	(void)ctx;
	while (!life_stopping()) {
		metrics_set(METRICS_LOOKED, 0, clk_wall_ms());
		struct pollfd p[] = {{.fd = life_reload_fd(), .events = POLLIN},
			{.fd = life_stop_fd(), .events = POLLIN}};

		live_text(live.path, now);
		if (strcmp(now, live.as.text) != 0 && !still_standby()) {
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

err_t live_watch(const char *path, const live_file *as, const topology_cell *cell, const char *site)
{
	char folder[512];
	pthread_t thread;

	snprintf(live.path, sizeof(live.path), "%s", path);
	live.cell = *cell;
	live.here = topology_member_at(&live.cell, site);
	live.as = *as;
	if (as->primary)
		live.as.primary = topology_member_at(&live.cell, as->primary->site);
	snprintf(folder, sizeof(folder), "%s", path);
	flags_begin(dirname(folder), cell->name);
	if (pthread_create(&thread, NULL, live_run, NULL))
		return ERR_INTERNAL;
	pthread_detach(thread);
	return ERR_OK;
}

bool live_changed(void)
{
	return atomic_load(&live.changed);
}

void live_spread(int64_t ms)
{
	atomic_store(&live.spread_ms, ms);
}

static int64_t random_below(int64_t n)
{
	uint64_t r;

	keys_random(&r, sizeof(r));
	return n > 0 ? (int64_t)(r % (uint64_t)n) : 0;
}

/* After life_hand_over: nobody else receives signals. */
static bool stopped_within(int64_t ms)
{
	const struct timespec most = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return sigtimedwait(&set, NULL, &most) > 0;
}

void live_again(void)
{
	static char text[LIVE_ARGS_BYTES];
	char *argv[LIVE_ARGS + 1], exe[512], *deleted;
	unsigned argc = 0;
	ssize_t len;
	if (life_hand_over() || stopped_within(random_below(atomic_load(&live.spread_ms))))
		_exit(0);
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
