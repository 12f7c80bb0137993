/* unit: cmocka with what it needs, and the check that misuse ends the program. */
#ifndef HB_TESTS_UNIT_UNIT_H
#define HB_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those four */
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNIT_COUNT(a) (sizeof(a) / sizeof(*(a)))

/* How long a test waits for what is certain to come: longer, where programs that are built with
 * sanitizers are slower (HB_SLOW, as in tests/integration/hb.py). */
static inline int64_t unit_patience_ms(int64_t ms)
{
	const char *slow = getenv("HB_SLOW");

	return slow ? ms * atol(slow) : ms;
}

/* Runs `fn` in a child with its stderr thrown away. */
static inline bool unit_aborts(void (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		signal(SIGABRT, SIG_DFL);
		dup2(null, STDERR_FILENO);
		fn();
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGABRT;
}

#endif
