/* rain_wins: what happens to a draw that wins, by one thread for all of them, in groups: its budget,
 * the win log, RabbitMQ's confirm, the user's token list, the answer. A win is answered "won" only
 * when its message is confirmed; otherwise its user is told to repeat, and the repeat finds the
 * win with its budget. Threads: rain_wins_submit and rain_wins_pending from all. */
#ifndef HB_FCGI_RAIN_WINS_H
#define HB_FCGI_RAIN_WINS_H

#include "fcgi/rain_budget.h"
#include "fcgi/win_table.h"
#include "http/http.h"

typedef struct rain_wins rain_wins_t;

/* One win on its way; in its request's arena. What it needs is in it. */
typedef struct rain_ticket {
	struct rain_ticket *next;
	http_req_t *request; /* resumed when the result is there */
	token_win win;
	win_key key;
	int64_t since_ms;    /* wall: when its round began */
	int64_t deadline_ms; /* monotonic */
	/* the result */
	err_t error; /* ERR_OK or ERR_DRAW_PENDING */
	bool spent;  /* with ERR_OK: there was no budget for it */
	char token[TOKEN_TEXT_BYTES];
	/* rain_wins' own */
	win_state state;
	bool ready, repeated;
} rain_ticket;

err_t rain_wins_new(
	const program_t *p, rain_budget_t *budget, cache_t *cache, rain_wins_t **out) MUST_CHECK;
/* Answers what waits with DRAW_PENDING and ends the threads. */
void rain_wins_free(rain_wins_t **w);

/* ERR_DRAW_PENDING when too many wait; otherwise the request is resumed once. */
err_t rain_wins_submit(rain_wins_t *w, rain_ticket *t) MUST_CHECK;
/* The draw that the user was told to repeat; false when there is none. A user has one at a time: a
 * later one takes its place. */
bool rain_wins_pending(
	rain_wins_t *w, uint32_t campaign, uint32_t round, uint64_t uid, unsigned *k);

#endif
