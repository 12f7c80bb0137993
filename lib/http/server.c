/* server: accept threads over libfcgi 2.4.2.
 *
 * Connections are accepted here and handed to libfcgi with its own listening socket set to -1:
 * FCGX_Accept_r then comes back as soon as a connection ends, instead of accepting the next one out
 * of reach (where EMFILE would end the thread, and nothing but shutting down a socket that systemd
 * may own would wake it). One thread at a time waits for a connection, so that a new one wakes one
 * thread. Each connection has a second descriptor of our own, so that http_stop can wake a reader
 * with shutdown(2) and never hits a number that libfcgi has closed and somebody else has reused. */
#define _GNU_SOURCE /* accept4 */
#include "base/clk.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "http/wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SERVER_BACKLOG = 1024,
	SERVER_BACKOFF_MS = 50, /* after an error of accept */
	SERVER_WAKE_MS = 20,    /* between two looks at who still runs while stopping */
	SERVER_FILES = 65536,   /* open files that we ask for */
};

typedef struct server server_t;

typedef struct {
	server_t *server;
	pthread_t thread;
	arena_t *arena;
	FCGX_Request fcgx;
	pthread_mutex_t lock; /* of the next two */
	int wake;             /* our own descriptor of the connection; -1: none */
	bool busy;            /* a request is in flight */
	_Atomic bool ended;
} worker;

struct server {
	const http_server_conf *conf;
	int listen, stop_event;
	_Atomic bool stopping;
	pthread_mutex_t accept_lock;
	unsigned count;
	worker worker[];
};

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static server_t *current; /* what http_stop stops */

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
		*out = (int)number;
		return fcntl(*out, F_SETFL, O_NONBLOCK) == 0 ? ERR_OK
							     : server_config_error("fcntl", at);
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

/* Waits for one connection; -1 when the server stops. */
static int server_accept(server_t *s, int *wake)
{
	struct pollfd on[2] = {
		{.fd = s->listen, .events = POLLIN}, {.fd = s->stop_event, .events = POLLIN}};
	int fd = -1;
	pthread_mutex_lock(&s->accept_lock);
	while (!atomic_load(&s->stopping)) {
		if (poll(on, 2, -1) < 0 || atomic_load(&s->stopping) || !on[0].revents)
			continue;
		fd = accept4(s->listen, NULL, NULL, SOCK_CLOEXEC);
		*wake = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (*wake >= 0)
			break;
		int why = errno;
		if (fd >= 0)
			close(fd);
		fd = -1;
		if (why == EINTR || why == EAGAIN || why == ECONNABORTED)
			continue;
		LOG(ERROR, "http.accept_failed", {"errno", LOG_I(why)});
		(void)poll(&on[1], 1, SERVER_BACKOFF_MS);
	}
	pthread_mutex_unlock(&s->accept_lock);
	return fd;
}

static void worker_answer(worker *w)
{
	http_req_t r = {.arena = w->arena, .app = w->server->conf->app};
	request_read(&r, &w->fcgx);
	logger_set_request(r.request_id);
	err_t e = w->server->conf->handler(&r);
	if (e != ERR_OK)
		http_problem(&r, e);
	answer_write(&r, &w->fcgx);
	FCGX_Finish_r(&w->fcgx);
	metrics_add(METRICS_HTTP_REQUESTS, (unsigned)(r.status / 100 - 2), 1);
	metrics_observe_us(METRICS_HTTP_SECONDS, clk_mono_us() - r.started_us);
	logger_set_request(NULL);
	arena_reset(w->arena);
}

static void worker_connection(worker *w, int fd, int wake)
{
	bool go_on = true;
	pthread_mutex_lock(&w->lock);
	w->wake = wake;
	pthread_mutex_unlock(&w->lock);
	w->fcgx.ipcFd = fd;
	w->fcgx.keepConnection = 1;
	while (go_on && FCGX_Accept_r(&w->fcgx) == 0) {
		pthread_mutex_lock(&w->lock);
		w->busy = true;
		pthread_mutex_unlock(&w->lock);
		worker_answer(w);
		pthread_mutex_lock(&w->lock);
		w->busy = false;
		pthread_mutex_unlock(&w->lock);
		go_on = !atomic_load(&w->server->stopping) && w->fcgx.ipcFd >= 0;
	}
	pthread_mutex_lock(&w->lock);
	w->wake = -1;
	pthread_mutex_unlock(&w->lock);
	shutdown(wake, SHUT_RDWR); /* or FCGX_Free may wait for the other side for 2 s */
	FCGX_Free(&w->fcgx, 1);
	close(wake);
}

static void *worker_run(void *arg)
{
	worker *w = arg;
	int fd, wake = -1;
	while ((fd = server_accept(w->server, &wake)) >= 0)
		worker_connection(w, fd, wake);
	atomic_store(&w->ended, true);
	return NULL;
}

/* Ends the connections on which no request is in flight; true while a thread still runs. */
static bool server_wake_idle(server_t *s)
{
	bool running = false;
	for (unsigned i = 0; i < s->count; i++) {
		worker *w = &s->worker[i];
		pthread_mutex_lock(&w->lock);
		if (w->wake >= 0 && !w->busy)
			shutdown(w->wake, SHUT_RD);
		pthread_mutex_unlock(&w->lock);
		running = running || !atomic_load(&w->ended);
	}
	return running;
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
	server_t *s = calloc(1, sizeof(*s) + c->threads * sizeof(worker));
	BUG_ON(!s);
	s->conf = c;
	s->listen = listen_fd;
	s->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	BUG_ON(s->stop_event < 0);
	pthread_mutex_init(&s->accept_lock, NULL);
	*out = s;
	return ERR_OK;
}

static void server_start(server_t *s)
{
	server_init_libfcgi();
	json_object_seed(0);
	for (unsigned i = 0; i < s->conf->threads; i++) {
		worker *w = &s->worker[i];
		w->server = s;
		w->wake = -1;
		w->arena = arena_new(s->conf->arena_bytes);
		pthread_mutex_init(&w->lock, NULL);
		BUG_ON(FCGX_InitRequest(&w->fcgx, -1, 0) != 0);
		if (pthread_create(&w->thread, NULL, worker_run, w) != 0) {
			LOG(ERROR, "http.threads", {"started", LOG_U(i)});
			arena_free(&w->arena);
			break;
		}
		s->count++;
	}
}

static void server_free(server_t *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		worker *w = &s->worker[i];
		pthread_join(w->thread, NULL);
		pthread_mutex_destroy(&w->lock);
		arena_free(&w->arena);
	}
	pthread_mutex_destroy(&s->accept_lock);
	close(s->stop_event);
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
			pthread_detach(s->worker[i].thread);
		return ERR_TIMEOUT;
	}
	pthread_mutex_lock(&current_lock);
	current = NULL;
	pthread_mutex_unlock(&current_lock);
	server_free(s);
	return ERR_OK;
}
