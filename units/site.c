#define _GNU_SOURCE /* memfd_create, pipe2 */
#include "units/site.h"

#include "base/clk.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PREFIX_BYTES = TOPOLOGY_COMMAND_BYTES + 8 };

/* In a process group of its own, so that all of it can be killed, and with its output where an
 * operator sees it and a table or JSON on stdout stays whole. */
static pid_t spawn(char *const *argv, int in, int out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	pid_t pid = 0;

	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	else
		posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", 0, 0);
	posix_spawn_file_actions_adddup2(&files, out >= 0 ? out : STDERR_FILENO, STDOUT_FILENO);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setpgroup(&attr, 0);
	errno = posix_spawn(&pid, "/bin/sh", &files, &attr, argv, environ);
	if (errno)
		fprintf(stderr, "hbctl: cannot run /bin/sh: %m\n");
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return errno ? 0 : pid;
}

static void begin(const topology_site *site, const char *prefix, const char *const *args, int in,
	int keep, site_job *out)
{
	char command[PREFIX_BYTES];
	char *argv[4 + SITE_ARGS_MAX + 1] = {"/bin/sh", "-c", command, "sh"};
	unsigned n = 4;

	*out = (site_job){.site = site, .began_ms = clk_mono_ms(), .out = keep};
	if (!*prefix)
		return;
	snprintf(command, sizeof(command), "%s \"$@\"", prefix);
	for (; *args; args++) {
		BUG_ON(n == 4 + SITE_ARGS_MAX);
		argv[n++] = (char *)(uintptr_t)*args;
	}
	out->pid = spawn(argv, in, keep);
}

void site_begin(
	const topology_site *site, const char *prefix, const char *const *args, site_job *out)
{
	begin(site, prefix, args, -1, -1, out);
}

void site_begin_keeping(
	const topology_site *site, const char *prefix, const char *const *args, site_job *out)
{
	int keep = memfd_create("site", MFD_CLOEXEC);

	BUG_ON(keep < 0);
	begin(site, prefix, args, -1, keep, out);
}

void site_begin_with(const topology_site *site, const char *prefix, const char *const *args,
	const char *input, site_job *out)
{
	const size_t n = strlen(input);
	const int in = memfd_create("site", MFD_CLOEXEC);

	BUG_ON(in < 0 || write(in, input, n) != (ssize_t)n || lseek(in, 0, SEEK_SET) != 0);
	begin(site, prefix, args, in, -1, out);
	close(in);
}

char *site_output(site_job *j)
{
	off_t n = lseek(j->out, 0, SEEK_END);
	char *text = calloc(1, (size_t)n + 1);

	BUG_ON(!text || n < 0 || pread(j->out, text, (size_t)n, 0) != n);
	close(j->out);
	j->out = -1;
	return text;
}

bool site_ended(const site_job *j, int64_t timeout_ms)
{
	int fd = j->pid ? (int)syscall(SYS_pidfd_open, j->pid, 0) : -1;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left_ms = j->began_ms + timeout_ms - clk_mono_ms();
	bool ended = fd < 0 || poll(&p, 1, left_ms > 0 ? (int)left_ms : 0) != 0;

	if (fd >= 0)
		close(fd);
	return ended;
}

bool site_end(site_job *j, int64_t timeout_ms)
{
	int status = 0;

	if (!j->pid)
		return false;
	if (!site_ended(j, timeout_ms)) {
		fprintf(stderr, "hbctl: the command of site %s has not ended within %lld ms\n",
			j->site->name, (long long)timeout_ms);
		kill(-j->pid, SIGKILL);
	}
	while (waitpid(j->pid, &status, 0) < 0 && errno == EINTR)
		;
	j->pid = 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void site_begin_live(
	const topology_site *site, const char *cell, const control_record *r, site_job *out)
{
	char epoch[24];
	const char *const args[] = {"live", cell, epoch, r->primary, NULL};

	snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)r->epoch);
	site_begin(site, site->run, args, out);
}

bool site_copy(
	const topology_site *from, const topology_site *to, const char *cell, int64_t timeout_ms)
{
	const char *const backup[] = {"backup", cell, NULL};
	const char *const restore[] = {"restore", cell, NULL};
	site_job read, write;
	int ends[2];
	bool ok;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	begin(from, from->run, backup, -1, ends[1], &read);
	begin(to, to->run, restore, ends[0], -1, &write);
	close(ends[0]);
	close(ends[1]);
	ok = site_end(&read, timeout_ms);
	return site_end(&write, timeout_ms) && ok;
}

bool site_every(const topology_t *t, const char *const *args, const char *input, int64_t timeout_ms)
{
	site_job job[TOPOLOGY_SITES_MAX];
	bool all = true;

	for (unsigned i = 0; i < t->site_count; i++)
		site_begin_with(&t->site[i], t->site[i].run, args, input, &job[i]);
	for (unsigned i = 0; i < t->site_count; i++)
		if (!site_end(&job[i], timeout_ms)) {
			fprintf(stderr, "hbctl: site %s is not done\n", t->site[i].name);
			all = false;
		}
	return all;
}
