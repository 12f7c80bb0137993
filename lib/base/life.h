/* life: a program's signals and its end. Every signal is blocked in all threads; one thread of this
 * module receives SIGTERM/SIGINT (stop) and SIGHUP (reload) by sigwait, because libfcgi neither
 * retries on EINTR nor survives its own SIGTERM handler in threaded programs. SIGPIPE is ignored;
 * SIGUSR2 is this module's own.
 *
 * life_start must be called before any other thread exists. */
#ifndef HB_BASE_LIFE_H
#define HB_BASE_LIFE_H

#include "base/err.h"
#include <stdint.h>

typedef void (*life_fn)(void *ctx);

/* `on_stop` runs once, on the signal thread, when the program is told to stop (may be NULL). */
err_t life_start(life_fn on_stop, void *ctx) MUST_CHECK;
bool life_stopping(void);
/* Asks the program to stop, as SIGTERM does; for fatal conditions found by a thread. `why` is
 * logged. */
void life_stop(const char *why);
/* Waits until told to stop or `ms` have passed (ms < 0: for ever); true when stopping. */
bool life_wait_ms(int64_t ms);
/* An fd that becomes readable when the program is told to stop (for poll); never read from it. */
int life_stop_fd(void);
/* An fd that becomes readable at SIGHUP, until somebody reads its 8 bytes. */
int life_reload_fd(void);

/* For a program that is going to run itself anew (exec): true when SIGTERM or SIGINT has come, so
 * that it must end instead. One that comes after this call is kept for what is executed, which takes
 * it in its life_start. Afterwards signals are received no more. Does not return to a second caller. */
bool life_hand_over(void) MUST_CHECK;

#endif
