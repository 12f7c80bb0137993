/* supervisor: systemd's two small protocols, by hand: the socket that it hands over (sd_listen_fds) and what it
 * wants to be told (sd_notify). Under another supervisor, runit for one, all of it does nothing. The environment
 * is left as it is, for a program that runs itself anew (domain/live.h) needs it again. Threads: all safe. */
#ifndef HB_BASE_SUPERVISOR_H
#define HB_BASE_SUPERVISOR_H

#include <stdbool.h>

/* Whether the listening socket is file 3, by $LISTEN_PID and $LISTEN_FDS: ours, and the only one. */
bool supervisor_gives_socket(void);
/* It serves, or as a standby waits. */
void supervisor_ready(void);
/* It is about to run itself anew, in the same process; then it is ready again. */
void supervisor_reloading(void);
/* It was told to stop, and finishes what it has in hand. */
void supervisor_stopping(void);

#endif
