/* notify: sends the callbacks that the book has due, many at once, from one thread. */
#ifndef HB_SIM_NOTIFY_H
#define HB_SIM_NOTIFY_H

#include "base/keys.h"
#include "sim/book.h"

typedef struct notify notify_t;

/* Made before the book, which is to wake it; sends once it is started. `keys` and `merchant` sign
 * and are not copied. */
notify_t *notify_new(const keys_ring_t *keys, const char *merchant);
err_t notify_start(notify_t *n, book_t *b) MUST_CHECK;
/* There may be a new callback; any thread. */
void notify_wake(void *n);
/* Ends the thread, before the book is closed; what is on its way is sent again after the next
 * start. notify_wake stays harmless until notify_free. */
void notify_quiet(notify_t *n);
void notify_free(notify_t **n);

#endif
