/* server: a few threads over libfcgi 2.4.2, any number of connections.
 *
 * No thread belongs to a connection. A few of the threads poll all of them: who finds some that have
 * something to say takes up to SERVER_TAKE of them at once, reads each request, runs its handler and
 * polls again, so that under load a thread goes from request to request without sleeping. Before a
 * handler that may wait (all that do not say otherwise), or for a request of which a part is still to
 * come, the thread hands the polling, and what it has taken and not yet served, to the others. A
 * handler that would wait for somebody else's work can give its request away (http_req.later): the
 * thread goes on, and http_resume brings the request back to whichever thread is free; many that are
 * resumed at once cost one wake-up.
 *
 * Connections are accepted here and handed to libfcgi with its own listening socket set to -1:
 * FCGX_Accept_r then comes back as soon as a connection ends, instead of accepting the next one out
 * of reach (where EMFILE would end the thread). Each connection has a second descriptor of our own,
 * for epoll and for shutdown(2), which never hits a number that libfcgi has closed and somebody
 * else has reused. */
#define _GNU_SOURCE /* accept4 */
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "base/supervisor.h"
#include "http/wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fastcgi.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SERVER_BACKLOG = 1024,
	SERVER_BACKOFF_MS = 50, /* after an error of accept */
	SERVER_WAKE_MS = 20,    /* between two looks at who still runs while stopping */
	SERVER_FILES = 65536,   /* open files that we ask for */
	SERVER_ACCEPTS = 16,    /* connections accepted at one go */
	SERVER_POLLERS = 2,     /* threads that poll */
	SERVER_TAKE = 16,       /* connections that a thread takes at one go */
	SERVER_PEEK_BYTES = 4096,
};

typedef struct server server_t;

/* How far a request is that its handler gave away; the second of the two to come moves it on. */
typedef enum { PHASE_IDLE, PHASE_RUNNING, PHASE_RETURNED, PHASE_RESUMED } conn_phase;

typedef struct conn {
	server_t *server;
	LIST_ENTRY(conn) link;    /* under the server's lock */
	STAILQ_ENTRY(conn) ready; /* under ready_lock */
	http_req_t r;
	arena_t *arena;
	FCGX_Request fcgx;
	int wake;          /* our own descriptor of the connection */
	_Atomic bool busy; /* a request is in flight */
	_Atomic conn_phase phase;
} conn;

struct server {
	const http_server_conf *conf;
	int listen, stop_event, epoll;
	int ready_event, end_event;
	_Atomic bool stopping, ending;
	pthread_mutex_t accept_lock; /* of the listening socket */
	pthread_mutex_t lock;
	LIST_HEAD(, conn) conns;
	pthread_mutex_t ready_lock;
	STAILQ_HEAD(, conn) ready; /* resumed, or taken and not served by who took them */
	_Atomic unsigned readies;  /* in that list */
	pthread_mutex_t poll_lock;
	pthread_cond_t poll_free;
	unsigned pollers, spare; /* threads that poll; that wait for their turn to */
	unsigned count;
	pthread_t thread[];
};

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static server_t *current; /* what http_stop stops */

/* What this thread does while it polls. */
static _Thread_local struct {
	server_t *polls;          /* NULL: it does not */
	conn *taken[SERVER_TAKE]; /* from `next` on: not yet served */
	unsigned count, next;
} mine;

static err_t server_config_error(const char *what, const char *listen_at)
{
	LOG(ERROR, "http.listen_failed", {"listen", LOG_S(listen_at)}, {"what", LOG_S(what)},
		{"errno", LOG_I(errno)});
	return ERR_CONFIG_INVALID;
}

static err_t server_listen(const char *at, int *out)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	const char *colon = strrchr(at, ':');
	char host[INET_ADDRSTRLEN];
	uint64_t number;
	int one = 1;

	if (strncmp(at, "fd:", 3) == 0 && parse_u64(at + 3, 1023, &number)) {
		socklen_t len = sizeof(one);
		if (getsockopt((int)number, SOL_SOCKET, SO_ACCEPTCONN, &one, &len) != 0 || !one)
			return server_config_error("no listening socket", at);
		/* A copy: the one that was handed over stays, and connections wait in it while the
		 * program runs itself anew, or is started again. */
		*out = fcntl((int)number, F_DUPFD_CLOEXEC, 0);
		if (*out >= 0 && fcntl(*out, F_SETFL, O_NONBLOCK) == 0)
			return ERR_OK;
		return server_config_error("fcntl", at);
	}
	if (!colon || (size_t)(colon - at) >= sizeof(host) ||
		!parse_u64(colon + 1, UINT16_MAX, &number))
		return server_config_error("not host:port", at);
	memcpy(host, at, (size_t)(colon - at));
	host[colon - at] = '\0';
	addr.sin_port = htons((uint16_t)number);
	if (inet_pton(AF_INET, host, &addr.sin_addr) != 1)
		return server_config_error("not an IPv4 address", at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return server_config_error("socket", at);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
		bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
		listen(fd, SERVER_BACKLOG) != 0) {
		err_t e = server_config_error("bind or listen", at);
		close(fd);
		return e;
	}
	*out = fd;
	return ERR_OK;
}

static void epoll_watch(server_t *s, int how, int fd, uint32_t events, void *who)
{
	struct epoll_event ev = {.events = events, .data.ptr = who};

#ifdef __SANITIZE_THREAD__
	/* ThreadSanitizer takes ADD for a hand-over to whoever waits, MOD only since September 2026
	 * (llvm/llvm-project#220304). */
	if (how == EPOLL_CTL_MOD) {
		BUG_ON(epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL) != 0);
		how = EPOLL_CTL_ADD;
	}
#endif
	BUG_ON(epoll_ctl(s->epoll, how, fd, &ev) != 0);
}

static void conn_new(server_t *s, int fd, int wake)
{
	conn *c = calloc(1, sizeof(*c));

	BUG_ON(!c || FCGX_InitRequest(&c->fcgx, -1, 0) != 0);
	c->server = s;
	c->arena = arena_new(s->conf->arena_bytes);
	c->fcgx.ipcFd = fd;
	c->fcgx.keepConnection = 1;
	c->wake = wake;
	pthread_mutex_lock(&s->lock);
	LIST_INSERT_HEAD(&s->conns, c, link);
	pthread_mutex_unlock(&s->lock);
	epoll_watch(s, EPOLL_CTL_ADD, wake, EPOLLIN | EPOLLONESHOT, c);
}

static void conn_drop(conn *c)
{
	pthread_mutex_lock(&c->server->lock);
	LIST_REMOVE(c, link);
	pthread_mutex_unlock(&c->server->lock);
	shutdown(c->wake, SHUT_RDWR); /* or FCGX_Free may wait for the other side for 2 s */
	FCGX_Free(&c->fcgx, 1);
	close(c->wake);
	arena_free(&c->arena);
	free(c);
}

/* One connection; false when there is none to be had now. */
static bool server_accept_one(server_t *s)
{
	int fd = accept4(s->listen, NULL, NULL, SOCK_CLOEXEC);
	int wake = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (wake >= 0) {
		conn_new(s, fd, wake);
		return true;
	}
	int why = errno;
	if (fd >= 0)
		close(fd);
	if (why == EINTR || why == ECONNABORTED)
		return true;
	if (why != EAGAIN && !atomic_load(&s->stopping)) {
		struct pollfd stop = {.fd = s->stop_event, .events = POLLIN};
		LOG(ERROR, "http.accept_failed", {"errno", LOG_I(why)});
		(void)poll(&stop, 1, SERVER_BACKOFF_MS);
	}
	return false;
}

static void server_accept(server_t *s)
{
	pthread_mutex_lock(&s->accept_lock);
	for (unsigned n = 0; n < SERVER_ACCEPTS && !atomic_load(&s->stopping); n++)
		if (!server_accept_one(s))
			break;
	if (!atomic_load(&s->stopping))
		epoll_watch(s, EPOLL_CTL_MOD, s->listen, EPOLLIN | EPOLLONESHOT, &s->listen);
	pthread_mutex_unlock(&s->accept_lock);
}

static void conn_answer(conn *c, err_t e)
{
	http_req_t *r = &c->r;

	if (e != ERR_OK)
		http_problem(r, e);
	answer_write(r, &c->fcgx);
	LOG_STEP("http.answered", {"method", LOG_S(r->method)}, {"path", LOG_S(r->path)},
		{"status", LOG_I(r->status)}, {"us", LOG_I(clk_mono_us() - r->started_us)});
	trace_end(); /* what it points at goes with the request */
	FCGX_Finish_r(&c->fcgx);
	if (!r->ops) { /* whoever watches must not look like users */
		metrics_add(METRICS_HTTP_REQUESTS, (unsigned)(r->status / 100 - 2), 1);
		metrics_observe_us(METRICS_HTTP_SECONDS, clk_mono_us() - r->started_us);
	}
	arena_reset(c->arena);
	atomic_store(&c->phase, PHASE_IDLE);
	atomic_store(&c->busy, false);
	if (atomic_load(&c->server->stopping) || c->fcgx.ipcFd < 0)
		conn_drop(c);
	else
		epoll_watch(c->server, EPOLL_CTL_MOD, c->wake, EPOLLIN | EPOLLONESHOT, c);
}

static void conn_go_on(conn *c)
{
	trace_begin(c->r.request_id, c->r.traceparent);
	conn_answer(c, c->r.later(&c->r));
}

static void poll_begin(server_t *s)
{
	pthread_mutex_lock(&s->poll_lock);
	s->spare++;
	while (s->pollers == SERVER_POLLERS && !atomic_load(&s->ending))
		pthread_cond_wait(&s->poll_free, &s->poll_lock);
	s->spare--;
	s->pollers++;
	pthread_mutex_unlock(&s->poll_lock);
	mine.polls = s;
}

static void ready_tell(server_t *s)
{
	uint64_t one = 1;

	(void)!write(s->ready_event, &one, sizeof(one));
}

/* For whichever thread is free; true when there were none before, so that nobody may be looking. */
static bool ready_add(server_t *s, conn *const *c, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		STAILQ_INSERT_TAIL(&s->ready, c[i], ready);
	return atomic_fetch_add(&s->readies, count) == 0;
}

static void ready_take(server_t *s)
{
	conn *c;

	if (atomic_load(&s->readies) == 0)
		return;
	pthread_mutex_lock(&s->ready_lock);
	while (mine.count < SERVER_TAKE && (c = STAILQ_FIRST(&s->ready)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->ready, ready);
		mine.taken[mine.count++] = c;
	}
	atomic_fetch_sub(&s->readies, mine.count);
	pthread_mutex_unlock(&s->ready_lock);
}

void http_may_wait(void)
{
	server_t *s = mine.polls;

	if (!s)
		return;
	if (mine.next < mine.count) {
		pthread_mutex_lock(&s->ready_lock);
		ready_add(s, mine.taken + mine.next, mine.count - mine.next);
		pthread_mutex_unlock(&s->ready_lock);
	}
	mine.count = mine.next = 0;
	mine.polls = NULL;
	pthread_mutex_lock(&s->poll_lock);
	s->pollers--;
	const bool spare = s->spare > 0;
	pthread_mutex_unlock(&s->poll_lock);
	if (spare)
		pthread_cond_signal(&s->poll_free);
	else if (atomic_load(&s->readies) > 0)
		ready_tell(s); /* all others wait for something, but for one that polls */
}

/* Whether a whole request is there, to the empty record that ends its body: reading it cannot wait
 * then. */
static bool request_is_whole(int fd)
{
	enum { HEAD = 8, TYPE = 1, LENGTH = 4, PADDING = 6 };
	unsigned char buf[SERVER_PEEK_BYTES];
	const ssize_t got = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
	const size_t n = got > 0 ? (size_t)got : 0;

	for (size_t at = 0; at + HEAD <= n;) {
		const unsigned char *h = buf + at;
		const size_t len = (size_t)h[LENGTH] << 8 | h[LENGTH + 1];
		if (h[TYPE] == FCGI_STDIN && len == 0)
			return true;
		at += HEAD + len + h[PADDING];
	}
	return false;
}

static void conn_serve(conn *c)
{
	if (!request_is_whole(c->wake))
		http_may_wait();
	if (FCGX_Accept_r(&c->fcgx) != 0) {
		conn_drop(c);
		return;
	}
	atomic_store(&c->busy, true);
	c->r = (http_req_t){.arena = c->arena, .app = c->server->conf->app};
	atomic_store(&c->phase, PHASE_RUNNING);
	request_read(&c->r, &c->fcgx);
	trace_begin(c->r.request_id, c->r.traceparent);
	if (!c->server->conf->says_when)
		http_may_wait();
	err_t e = c->server->conf->handler(&c->r);
	if (!c->r.later || e != ERR_OK)
		conn_answer(c, e);
	else if (atomic_exchange(&c->phase, PHASE_RETURNED) == PHASE_RESUMED)
		conn_go_on(c);
	else
		trace_end(); /* the request is not ours any more */
}

void http_resume(http_req_t *r)
{
	conn *c = (conn *)(void *)((char *)r - offsetof(conn, r));

	server_t *s = c->server;

	if (atomic_exchange(&c->phase, PHASE_RESUMED) != PHASE_RETURNED)
		return;
	pthread_mutex_lock(&s->ready_lock);
	if (ready_add(s, &c, 1))
		ready_tell(s);
	pthread_mutex_unlock(&s->ready_lock); /* the last that is done here: see server_free */
}

/* Up to SERVER_TAKE connections, or none: somebody connects, or there was no more than a wake-up. */
static void server_take(server_t *s)
{
	struct epoll_event ev[SERVER_TAKE];

	mine.count = mine.next = 0;
	ready_take(s);
	if (mine.count > 0)
		return;
	const int n = epoll_wait(s->epoll, ev, SERVER_TAKE, -1);
	bool connects = false;
	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr == &s->listen)
			connects = true;
		else if (ev[i].data.ptr)
			mine.taken[mine.count++] = ev[i].data.ptr;
	}
	if (connects)
		server_accept(s);
}

static void *server_run(void *arg)
{
	server_t *s = arg;
	while (!atomic_load(&s->ending)) {
		if (!mine.polls)
			poll_begin(s);
		server_take(s);
		while (mine.next < mine.count) {
			conn *c = mine.taken[mine.next++];
			if (atomic_load(&c->phase) == PHASE_RESUMED)
				conn_go_on(c);
			else
				conn_serve(c);
		}
	}
	mine.polls = NULL;
	return NULL;
}

/* Ends the connections on which no request is in flight; true while there are connections. */
static bool server_wake_idle(server_t *s)
{
	conn *c;

	pthread_mutex_lock(&s->lock);
	LIST_FOREACH(c, &s->conns, link)
	{
		if (!atomic_load(&c->busy))
			shutdown(c->wake, SHUT_RD);
	}
	bool any = !LIST_EMPTY(&s->conns);
	pthread_mutex_unlock(&s->lock);
	return any;
}

static void server_stop(server_t *s)
{
	uint64_t one = 1;
	atomic_store(&s->stopping, true);
	(void)!write(s->stop_event, &one, sizeof(one));
}

void http_stop(void)
{
	pthread_mutex_lock(&current_lock);
	if (current)
		server_stop(current);
	pthread_mutex_unlock(&current_lock);
}

/* libfcgi puts handlers on SIGTERM and SIGUSR1; signals are life's. */
static void server_init_libfcgi(void)
{
	static const int signals[] = {SIGTERM, SIGUSR1, SIGPIPE};
	struct sigaction old[3];
	for (unsigned i = 0; i < 3; i++)
		sigaction(signals[i], NULL, &old[i]);
	BUG_ON(FCGX_Init() != 0);
	for (unsigned i = 0; i < 3; i++)
		sigaction(signals[i], &old[i], NULL);
}

static err_t server_new(const http_server_conf *c, server_t **out)
{
	int listen_fd = -1;
	err_t e = server_listen(c->listen, &listen_fd);
	if (e != ERR_OK)
		return e;
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < SERVER_FILES) {
		files.rlim_cur = files.rlim_max < SERVER_FILES ? files.rlim_max : SERVER_FILES;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	server_t *s = calloc(1, sizeof(*s) + c->threads * sizeof(pthread_t));
	BUG_ON(!s);
	s->conf = c;
	s->listen = listen_fd;
	s->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->ready_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->end_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	BUG_ON(s->stop_event < 0 || s->ready_event < 0 || s->end_event < 0 || s->epoll < 0);
	LIST_INIT(&s->conns);
	STAILQ_INIT(&s->ready);
	pthread_mutex_init(&s->accept_lock, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->ready_lock, NULL);
	pthread_mutex_init(&s->poll_lock, NULL);
	pthread_cond_init(&s->poll_free, NULL);
	epoll_watch(s, EPOLL_CTL_ADD, s->listen, EPOLLIN | EPOLLONESHOT, &s->listen);
	epoll_watch(s, EPOLL_CTL_ADD, s->ready_event, EPOLLIN | EPOLLET, NULL);
	epoll_watch(s, EPOLL_CTL_ADD, s->end_event, EPOLLIN, NULL);
	*out = s;
	return ERR_OK;
}

static void server_start(server_t *s)
{
	server_init_libfcgi();
	json_object_seed(0);
	for (unsigned i = 0; i < s->conf->threads; i++) {
		if (pthread_create(&s->thread[i], NULL, server_run, s) != 0) {
			LOG(ERROR, "http.threads", {"started", LOG_U(i)});
			break;
		}
		s->count++;
	}
}

static void server_end_threads(server_t *s)
{
	uint64_t one = 1;

	pthread_mutex_lock(&s->poll_lock);
	atomic_store(&s->ending, true);
	pthread_mutex_unlock(&s->poll_lock);
	pthread_cond_broadcast(&s->poll_free);
	(void)!write(s->end_event, &one, sizeof(one));
	for (unsigned i = 0; i < s->count; i++)
		pthread_join(s->thread[i], NULL);
}

static void server_free(server_t *s)
{
	/* Who resumed the last request may still be about to let go. */
	pthread_mutex_lock(&s->ready_lock);
	pthread_mutex_unlock(&s->ready_lock);
	pthread_mutex_destroy(&s->accept_lock);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->ready_lock);
	pthread_mutex_destroy(&s->poll_lock);
	pthread_cond_destroy(&s->poll_free);
	close(s->epoll);
	close(s->stop_event);
	close(s->ready_event);
	close(s->end_event);
	free(s);
}

static void server_wait_for_stop(server_t *s)
{
	struct pollfd on[2] = {
		{.fd = s->stop_event, .events = POLLIN}, {.fd = life_stop_fd(), .events = POLLIN}};
	while (!atomic_load(&s->stopping) && !life_stopping())
		(void)poll(on, 2, -1);
	server_stop(s);
	pthread_mutex_lock(&s->accept_lock);
	epoll_watch(s, EPOLL_CTL_DEL, s->listen, 0, NULL);
	close(s->listen);
	pthread_mutex_unlock(&s->accept_lock);
}

err_t http_serve(const http_server_conf *c)
{
	server_t *s;
	err_t e = server_new(c, &s);
	if (e != ERR_OK)
		return e;
	pthread_mutex_lock(&current_lock);
	BUG_ON(current);
	current = s;
	pthread_mutex_unlock(&current_lock);
	server_start(s);
	supervisor_ready();
	LOG(INFO, "http.ready", {"listen", LOG_S(c->listen)}, {"threads", LOG_U(s->count)});
	server_wait_for_stop(s);

	int64_t deadline = clk_mono_ms() + c->drain_ms;
	bool running = server_wake_idle(s);
	while (running && clk_mono_ms() < deadline) {
		(void)poll(NULL, 0, SERVER_WAKE_MS);
		running = server_wake_idle(s);
	}
	if (running) {
		LOG(WARN, "http.drain_timeout", {"drain_ms", LOG_I(c->drain_ms)});
		for (unsigned i = 0; i < s->count; i++)
			pthread_detach(s->thread[i]);
		return ERR_TIMEOUT;
	}
	pthread_mutex_lock(&current_lock);
	current = NULL;
	pthread_mutex_unlock(&current_lock);
	server_end_threads(s);
	server_free(s);
	return ERR_OK;
}
