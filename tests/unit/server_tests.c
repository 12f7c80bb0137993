/* One thread moves the bytes of all connections; commands reach it through atomics and are acted on
 * within a poll's few milliseconds. */
#define _GNU_SOURCE
#include "tests/unit/server_tests.h"

#include "base/err.h"
#include "base/parse.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MAX = 64, POLL_MS = 2, CHUNK_BYTES = 65536 };

struct pair {
	int client, server;
	size_t rest; /* of the message that the client is sending */
	bool ends_at_answer;
};

struct proxy {
	struct sockaddr_in to;
	int listener;
	uint16_t port;
	pthread_t thread;
	atomic_int mode;
	_Atomic(const char *) mute_after;
	atomic_bool cut, stop;
	atomic_uint turns;
	atomic_uint cut_every, cut_in, cuts_left, cuts; /* cut_in 0: not now */
	atomic_int loss;
	struct pair pair[PAIRS_MAX];
	unsigned pairs;
};

static _Noreturn void bail(const char *variable, bool with_login)
{
	printf("Bail out! %s must be set to %s\n", variable,
		with_login ? "host:port:user:password:name" : "host:port");
	exit(99);
}

void server_from_env(const char *variable, bool with_login, server_address *out)
{
	const char *value = getenv(variable);
	char copy[256], *part[5], *rest = copy;
	unsigned want = with_login ? 5 : 2, got = 0;
	uint64_t port;

	if (!value || strlen(value) >= sizeof copy)
		bail(variable, with_login);
	strcpy(copy, value);
	while (rest && got < want)
		part[got++] = strsep(&rest, ":");
	if (rest || got != want || !parse_u64(part[1], 65535, &port))
		bail(variable, with_login);
	*out = (server_address){.port = (uint16_t)port};
	snprintf(out->host, sizeof out->host, "%s", part[0]);
	if (with_login) {
		snprintf(out->user, sizeof out->user, "%s", part[2]);
		snprintf(out->password, sizeof out->password, "%s", part[3]);
		snprintf(out->name, sizeof out->name, "%s", part[4]);
	}
}

static void end_pair(proxy_t *p, unsigned i)
{
	close(p->pair[i].client);
	close(p->pair[i].server);
	p->pair[i] = p->pair[--p->pairs];
}

/* Or each piece that is passed on would wait until the one before is acknowledged. */
static void send_at_once(int fd)
{
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void accept_pair(proxy_t *p)
{
	struct pair n = {.client = accept(p->listener, NULL, NULL)};

	n.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	send_at_once(n.client);
	send_at_once(n.server);
	if (p->pairs == PAIRS_MAX ||
		connect(n.server, (struct sockaddr *)&p->to, sizeof p->to) != 0) {
		close(n.client);
		close(n.server);
		return;
	}
	p->pair[p->pairs++] = n;
}

/* How many messages begin in these bytes: each has three bytes of length and one of sequence before
 * it. */
static unsigned messages_in(struct pair *n, const unsigned char *buf, size_t len)
{
	unsigned begin = 0;

	for (size_t at = 0, take; at < len; at += take, n->rest -= take) {
		if (n->rest == 0) {
			BUG_ON(len - at < 4);
			n->rest = 4 +
				  (buf[at] | (size_t)buf[at + 1] << 8 | (size_t)buf[at + 2] << 16);
			begin++;
		}
		take = n->rest < len - at ? n->rest : len - at;
	}
	return begin;
}

/* Whether the connection is to be cut at what its client sends now. */
static bool cut_now(proxy_t *p, struct pair *n, const void *buf, size_t len)
{
	const unsigned in = atomic_load(&p->cut_in);

	if (in == 0) {
		n->rest = 0;
		return false;
	}
	const unsigned begin = messages_in(n, buf, len);
	if (begin < in) {
		atomic_store(&p->cut_in, in - begin);
		return false;
	}
	const bool again = atomic_fetch_sub(&p->cuts_left, 1) > 1;
	atomic_store(&p->cut_in, again ? atomic_load(&p->cut_every) : 0);
	atomic_fetch_add(&p->cuts, 1);
	return true;
}

static bool pass(int to, const char *buf, ssize_t n)
{
	return send(to, buf, (size_t)n, MSG_NOSIGNAL) == n;
}

/* Each moves what is there; false at the end of the connection. */
static bool from_client(proxy_t *p, struct pair *n)
{
	static _Thread_local char buf[CHUNK_BYTES];
	const char *mute = atomic_load(&p->mute_after);
	const ssize_t got = recv(n->client, buf, sizeof buf, 0);

	if (got <= 0)
		return false;
	if (mute && memmem(buf, (size_t)got, mute, strlen(mute)))
		atomic_store(&p->mode, PROXY_NO_ANSWER);
	if (!cut_now(p, n, buf, (size_t)got))
		return pass(n->server, buf, got);
	const int loss = atomic_load(&p->loss);
	n->ends_at_answer = loss == PROXY_LOSE_ANSWER;
	return loss != PROXY_LOSE_REQUEST && pass(n->server, buf, got) && n->ends_at_answer;
}

static bool from_server(proxy_t *p, struct pair *n)
{
	static _Thread_local char buf[CHUNK_BYTES];
	const ssize_t got = recv(n->server, buf, sizeof buf, 0);

	if (got <= 0 || n->ends_at_answer)
		return false;
	return atomic_load(&p->mode) == PROXY_NO_ANSWER || pass(n->client, buf, got);
}

static void serve(proxy_t *p)
{
	struct pollfd fd[1 + 2 * PAIRS_MAX];
	unsigned pairs = p->pairs;

	fd[0] = (struct pollfd){.fd = p->listener, .events = POLLIN};
	for (unsigned i = 0; i < pairs; i++) {
		fd[1 + 2 * i] = (struct pollfd){.fd = p->pair[i].client, .events = POLLIN};
		fd[2 + 2 * i] = (struct pollfd){.fd = p->pair[i].server, .events = POLLIN};
	}
	poll(fd, 1 + 2 * pairs, POLL_MS);
	for (unsigned i = pairs; i-- > 0;) {
		if ((fd[1 + 2 * i].revents && !from_client(p, &p->pair[i])) ||
			(fd[2 + 2 * i].revents && !from_server(p, &p->pair[i])))
			end_pair(p, i);
	}
	if (fd[0].revents)
		accept_pair(p);
}

static void *proxy_run(void *ctx)
{
	proxy_t *p = ctx;

	while (!atomic_load(&p->stop)) {
		if (atomic_load(&p->cut)) {
			while (p->pairs > 0)
				end_pair(p, 0);
			atomic_store(&p->cut, false);
		}
		atomic_fetch_add(&p->turns, 1);
		if (atomic_load(&p->mode) == PROXY_FROZEN)
			usleep(POLL_MS * 1000);
		else
			serve(p);
	}
	while (p->pairs > 0)
		end_pair(p, 0);
	return NULL;
}

proxy_t *proxy_start(const server_address *to)
{
	struct sockaddr_in here = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof here;
	proxy_t *p = calloc(1, sizeof *p);

	BUG_ON(!p);
	p->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(to->port)};
	BUG_ON(inet_pton(AF_INET, to->host, &p->to.sin_addr) != 1);
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	BUG_ON(bind(p->listener, (struct sockaddr *)&here, len) != 0 ||
		listen(p->listener, 64) != 0);
	BUG_ON(getsockname(p->listener, (struct sockaddr *)&here, &len) != 0);
	p->port = ntohs(here.sin_port);
	BUG_ON(pthread_create(&p->thread, NULL, proxy_run, p) != 0);
	return p;
}

void proxy_stop(proxy_t **p)
{
	atomic_store(&(*p)->stop, true);
	pthread_join((*p)->thread, NULL);
	close((*p)->listener);
	free(*p);
	*p = NULL;
}

uint16_t proxy_port(const proxy_t *p)
{
	return p->port;
}

void proxy_set(proxy_t *p, proxy_mode mode)
{
	unsigned turn = atomic_load(&p->turns);

	atomic_store(&p->mute_after, NULL);
	atomic_store(&p->mode, mode);
	while (atomic_load(&p->turns) - turn < 2)
		usleep(1000);
}

void proxy_mute_after(proxy_t *p, const char *text)
{
	atomic_store(&p->mute_after, text);
}

void proxy_cut(proxy_t *p)
{
	atomic_store(&p->cut, true);
	while (atomic_load(&p->cut))
		usleep(1000);
}

void proxy_cut_at(proxy_t *p, unsigned k, unsigned times, proxy_loss loss)
{
	atomic_store(&p->cut_in, 0);
	atomic_store(&p->cut_every, k);
	atomic_store(&p->cuts_left, times);
	atomic_store(&p->cuts, 0);
	atomic_store(&p->loss, (int)loss);
	atomic_store(&p->cut_in, k);
}

unsigned proxy_cuts(proxy_t *p)
{
	return atomic_load(&p->cuts);
}
