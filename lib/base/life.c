/* Stopping is one eventfd that becomes readable and stays so: every wait is a poll on it, which
 * needs no condition variable and works for threads that sit in poll for other reasons too. */
#include "base/life.h"
#include "base/clk.h"
#include "base/logger.h"
#include "base/supervisor.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
	pthread_once_t once;
	int fd, reload_fd;
	atomic_bool stopping, started, handed_over;
	bool signalled; /* the signal thread's, until it is joined */
	pthread_t thread;
	life_fn on_stop;
	void *ctx;
} life = {.once = PTHREAD_ONCE_INIT, .fd = -1};

static void life_make_fd(void)
{
	life.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	life.reload_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	BUG_ON(life.fd < 0 || life.reload_fd < 0);
}

int life_stop_fd(void)
{
	pthread_once(&life.once, life_make_fd);
	return life.fd;
}

int life_reload_fd(void)
{
	pthread_once(&life.once, life_make_fd);
	return life.reload_fd;
}

bool life_stopping(void)
{
	return atomic_load(&life.stopping);
}

/* True for the first who asks. */
static bool life_mark(const char *why)
{
	int fd = life_stop_fd();
	uint64_t one = 1;

	if (atomic_exchange(&life.stopping, true))
		return false;
	if (write(fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		err_bug(__FILE__, __LINE__, "write to the eventfd");
	LOG(INFO, "program.stop", {"why", LOG_S(why)});
	return true;
}

static void *life_run(void *arg)
{
	const uint64_t one = 1;
	bool told = false;
	sigset_t set;
	int sig;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2); /* a thread asked, or life_hand_over */
	while (!atomic_load(&life.handed_over)) {
		if (sigwait(&set, &sig))
			continue;
		if (sig == SIGHUP) {
			LOG0(INFO, "program.reload");
			(void)!write(life.reload_fd, &one, sizeof(one));
			continue;
		}
		if (sig != SIGUSR2) {
			life.signalled = true;
			/* Not when a thread asked: it may be to run ourselves anew. */
			if (life_mark(sig == SIGTERM ? "SIGTERM" : "SIGINT"))
				supervisor_stopping();
		}
		if (!told && life.on_stop && life_stopping())
			life.on_stop(life.ctx);
		told = told || life_stopping();
	}
	return NULL;
}

err_t life_start(life_fn on_stop, void *ctx)
{
	/* Faults of our own code must kill us where they happen. */
	static const int faults[] = {
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGSTOP, SIGKILL};
	sigset_t set;

	BUG_ON(atomic_load(&life.started));
	sigfillset(&set);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		sigdelset(&set, faults[i]);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return ERR_INTERNAL;
	life.on_stop = on_stop;
	life.ctx = ctx;
	(void)life_stop_fd();
	if (pthread_create(&life.thread, NULL, life_run, NULL))
		return ERR_INTERNAL;
	atomic_store(&life.started, true);
	return ERR_OK;
}

void life_stop(const char *why)
{
	if (life_mark(why) && atomic_load(&life.started))
		pthread_kill(life.thread, SIGUSR2); /* on_stop runs on the signal thread */
}

bool life_hand_over(void)
{
	BUG_ON(!atomic_load(&life.started));
	if (atomic_exchange(&life.handed_over, true))
		for (;;)
			pause(); /* another thread does it */
	pthread_kill(life.thread, SIGUSR2);
	pthread_join(life.thread, NULL);
	return life.signalled;
}

bool life_wait_ms(int64_t ms)
{
	int64_t end_us = clk_mono_us() + ms * 1000;

	while (!life_stopping()) {
		struct pollfd p = {.fd = life_stop_fd(), .events = POLLIN};
		int64_t left_ms = ms < 0 ? INT_MAX : (end_us - clk_mono_us() + 999) / 1000;

		if (left_ms <= 0)
			return false;
		if (poll(&p, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms) < 0 && errno != EINTR)
			err_bug(__FILE__, __LINE__, "poll of the eventfd");
	}
	return true;
}
