/* turns: requests of one interface that a program works on at once. The others wait for their turn in the
 * order in which they came, without a thread or a connection of the database, for so long and no longer. So
 * an interface that has become slow holds its places and nothing else.
 * Threads: all safe; a lock for each interface. */
#ifndef HB_FCGI_TURNS_H
#define HB_FCGI_TURNS_H

#include "base/conf.h"
#include "domain/routes.h"
#include "http/http.h"

typedef struct turns turns_t;

typedef enum { TURNS_NOW, TURNS_LATER, TURNS_NEVER } turns_answer;

/* One that waits; the caller's, until `resume` has been called with it. */
typedef struct turns_ticket {
	http_req_t *r;
	bool came; /* its turn has come; false: it waited too long */
	struct turns_ticket *next;
	int64_t since_ms;
} turns_ticket;

/* Places by capacity_places; `resume` is http_resume but in tests. */
turns_t *turns_new(
	const conf_t *c, unsigned threads, unsigned connections, void (*resume)(http_req_t *r));
void turns_free(turns_t **t);
/* Whether the interface has places; if not, its requests need not come here. */
bool turns_bound(const turns_t *t, routes_id route);
/* TURNS_NOW: go on, and call turns_end. TURNS_LATER: the request is resumed once, perhaps before this
 * returns, with t->came set; when that is true, call turns_end at its end. TURNS_NEVER: too many wait. */
turns_answer turns_begin(turns_t *t, routes_id route, int64_t now_ms, turns_ticket *ticket);
void turns_end(turns_t *t, routes_id route, int64_t now_ms);

#endif
