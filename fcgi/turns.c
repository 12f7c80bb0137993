/* Whoever ends gives its place to the one that has waited longest, so places are taken over and never free
 * while somebody waits. Nobody watches the clock: who has waited too long is sent away by the next that
 * comes or ends; when an interface hangs and nobody comes, nobody is kept waiting either but those few. */
#include "fcgi/turns.h"
#include "domain/capacity.h"

#include <pthread.h>
#include <stdlib.h>

enum { WAITING_MOST = 4096 };

typedef struct {
	pthread_mutex_t lock;
	unsigned places, taken, waiting;
	turns_ticket *first, **last;
} queue;

struct turns {
	int64_t wait_ms;
	void (*resume)(http_req_t *r);
	queue queue[ROUTES_COUNT];
};

turns_t *turns_new(
	const conf_t *c, unsigned threads, unsigned connections, void (*resume)(http_req_t *r))
{
	turns_t *t = calloc(1, sizeof(*t));

	BUG_ON(!t);
	t->wait_ms = conf_i(c, CONF_LIMITS_WAIT_MS);
	t->resume = resume;
	for (unsigned i = 0; i < ROUTES_COUNT; i++) {
		queue *q = &t->queue[i];

		pthread_mutex_init(&q->lock, NULL);
		q->places = capacity_places(i, threads, connections);
		q->last = &q->first;
	}
	return t;
}

void turns_free(turns_t **t)
{
	if (!*t)
		return;
	for (unsigned i = 0; i < ROUTES_COUNT; i++)
		pthread_mutex_destroy(&(*t)->queue[i].lock);
	free(*t);
	*t = NULL;
}

bool turns_bound(const turns_t *t, routes_id route)
{
	return t->queue[route].places > 0;
}

static turns_ticket *first_out(queue *q)
{
	turns_ticket *t = q->first;

	q->first = t->next;
	if (!q->first)
		q->last = &q->first;
	q->waiting--;
	return t;
}

/* Those who have waited too long, as a list; under the lock. */
static turns_ticket *late_out(const turns_t *t, queue *q, int64_t now_ms)
{
	turns_ticket *late = NULL, **end = &late;

	while (q->first && now_ms - q->first->since_ms > t->wait_ms) {
		*end = first_out(q);
		end = &(*end)->next;
		*end = NULL;
	}
	return late;
}

/* A ticket is gone once its request is resumed. */
static void send_away(const turns_t *t, turns_ticket *late)
{
	while (late) {
		turns_ticket *next = late->next;

		late->came = false;
		t->resume(late->r);
		late = next;
	}
}

turns_answer turns_begin(turns_t *t, routes_id route, int64_t now_ms, turns_ticket *ticket)
{
	queue *q = &t->queue[route];
	turns_answer answer = TURNS_NOW;

	pthread_mutex_lock(&q->lock);
	turns_ticket *late = late_out(t, q, now_ms);
	if (q->taken < q->places) {
		q->taken++;
	} else if (q->waiting < WAITING_MOST) {
		ticket->since_ms = now_ms;
		ticket->next = NULL;
		*q->last = ticket;
		q->last = &ticket->next;
		q->waiting++;
		answer = TURNS_LATER;
	} else {
		answer = TURNS_NEVER;
	}
	pthread_mutex_unlock(&q->lock);
	send_away(t, late);
	return answer;
}

void turns_end(turns_t *t, routes_id route, int64_t now_ms)
{
	queue *q = &t->queue[route];

	pthread_mutex_lock(&q->lock);
	turns_ticket *late = late_out(t, q, now_ms), *next = q->first ? first_out(q) : NULL;
	if (!next)
		q->taken--;
	pthread_mutex_unlock(&q->lock);
	send_away(t, late);
	if (next) {
		next->came = true;
		t->resume(next->r);
	}
}
