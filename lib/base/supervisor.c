/* Without libsystemd: one datagram to a socket, and two numbers in the environment. */
#include "base/supervisor.h"
#include "base/clk.h"
#include "base/logger.h"
#include "base/parse.h"
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool supervisor_gives_socket(void)
{
	const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
	uint64_t pid, count;

	return pid_text && count_text && parse_u64(pid_text, INT32_MAX, &pid) &&
	       pid == (uint64_t)getpid() && parse_u64(count_text, INT32_MAX, &count) && count == 1;
}

/* A path, or "@name" of an abstract one. What cannot be told is not worth an end: systemd has time-outs. */
static void tell(const char *text)
{
	const char *at = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const size_t n = at ? strlen(at) : 0;
	int fd;

	if (n < 2 || n >= sizeof(to.sun_path) || (*at != '/' && *at != '@'))
		return;
	memcpy(to.sun_path, at, n);
	if (*at == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		LOG(WARN, "supervisor.not_told", {"text", LOG_S(text)}, {"errno", LOG_I(errno)});
	if (fd >= 0)
		close(fd);
}

void supervisor_ready(void)
{
	tell("READY=1");
}

void supervisor_reloading(void)
{
	char text[64];

	/* The time is asked for by systemd 253 and newer (Type=notify-reload). */
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clk_mono_us());
	tell(text);
}

void supervisor_stopping(void)
{
	tell("STOPPING=1");
}
