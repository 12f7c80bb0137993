/* Looks are counted and not threads, so that an idle cell is asked once a round however many threads there
 * are, and whoever has nothing in hand takes the next kind. */
#include "workers/rounds.h"

bool rounds_take(rounds_t *r, int64_t now_ms, int64_t pause_ms, unsigned *kind)
{
	pthread_mutex_lock(&r->lock);
	if (r->left == 0 && now_ms >= r->begin_ms)
		r->left = r->kinds;
	const bool any = r->left > 0;
	if (any) {
		*kind = r->next;
		r->next = (r->next + 1) % r->kinds;
		r->left--;
		r->begin_ms = now_ms + pause_ms;
	}
	pthread_mutex_unlock(&r->lock);
	return any;
}

void rounds_more(rounds_t *r)
{
	pthread_mutex_lock(&r->lock);
	r->left = r->kinds;
	pthread_mutex_unlock(&r->lock);
}
