/* server_tests: for tests against real servers. Their addresses come from the environment; a proxy
 * in between plays the network's and a stopped server's part, so that no test has to harm a server.
 */
#ifndef HB_TESTS_SERVER_TESTS_H
#define HB_TESTS_SERVER_TESTS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
	char host[64];
	uint16_t port;
	char user[32], password[80], name[32]; /* name: database or vhost */
} server_address;

/* "address:port" or "address:port:user:password:name"; ends the program with a clear message when the
 * variable is missing or malformed. */
void server_from_env(const char *variable, bool with_login, server_address *out);

typedef enum {
	PROXY_PASS,
	PROXY_FROZEN,   /* nothing is read, as if the server had stopped */
	PROXY_NO_ANSWER /* the server gets all, its answers are thrown away */
} proxy_mode;

typedef struct proxy proxy_t;
proxy_t *proxy_start(const server_address *to);
void proxy_stop(proxy_t **p);
uint16_t proxy_port(const proxy_t *p);
void proxy_set(proxy_t *p, proxy_mode mode); /* returns when it holds */
/* From the given text in a client's bytes on, answers are thrown away. */
void proxy_mute_after(proxy_t *p, const char *text);
void proxy_cut(proxy_t *p); /* ends all connections; returns when that is done */

/* What is lost when a connection is cut at a message. */
typedef enum {
	PROXY_LOSE_REQUEST, /* the server never sees it */
	PROXY_LOSE_CLIENT,  /* the server has it, and nobody waits any more */
	PROXY_LOSE_ANSWER   /* the server has begun to answer */
} proxy_loss;
/* MySQL only, and to be called while nothing is under way: of the messages that clients send from now
 * on, the k-th costs its connection, and so on after k more, until that has happened `times` times.
 * k == 0: no more. */
void proxy_cut_at(proxy_t *p, unsigned k, unsigned times, proxy_loss loss);
unsigned proxy_cuts(proxy_t *p); /* made since proxy_cut_at was called */

#endif
