/* Why: each thread has its own epoll, connections and share of the tickets (every threads-th), so
 * nothing is shared while it runs. A connection has one request in flight at most. */
#define _GNU_SOURCE /* epoll_pwait2, accept4's flags */
#include "tests/load/load.h"

#include "base/err.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_BYTES = 16384, EVENTS = 64 };
#define MS 1000000LL

typedef struct {
	int fd; /* -1: could not be made again */
	bool busy;
	int64_t since_ns; /* sent, or due */
	size_t got;
	char buf[BUFFER_BYTES + 1];
} conn;

typedef struct {
	const load_conf *c;
	unsigned index;
	pthread_t thread;
	int epoll, error;
	conn *conn;
	unsigned conns, busy;
	conn **idle; /* open loop: who may send */
	unsigned idles;
	uint64_t turn; /* tickets that this thread has used */
	int64_t start_ns, warm_ns, end_ns;
	load_result out;
} driver;

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static int conn_open(driver *d, conn *n)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = n};
	int one = 1;

	n->got = 0;
	n->busy = false;
	n->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (n->fd < 0)
		return errno;
	if (connect(n->fd, (const struct sockaddr *)&d->c->to, sizeof(d->c->to)) != 0 ||
		setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
		fcntl(n->fd, F_SETFL, O_NONBLOCK) != 0 ||
		epoll_ctl(d->epoll, EPOLL_CTL_ADD, n->fd, &ev) != 0) {
		const int why = errno;
		close(n->fd);
		n->fd = -1;
		return why;
	}
	return 0;
}

static char *put(char *at, const char *s, size_t n)
{
	memcpy(at, s, n);
	return at + n;
}

static char *put_text(char *at, const char *s)
{
	return put(at, s, strlen(s));
}

static size_t body_write(const load_conf *c, uint64_t ticket, char *to)
{
	char *at = put_text(to, c->body_before);

	if (c->packet)
		at += parse_to_decimal(c->packet[ticket % c->packets], at);
	at = put_text(at, c->body_after);
	return (size_t)(at - to);
}

static size_t request_write(const load_conf *c, uint64_t ticket, char *to)
{
	char body[LOAD_REQUEST_BYTES / 2];
	const size_t body_len = c->body_before ? body_write(c, ticket, body) : 0;
	char *at = put_text(to, c->before);

	if (c->packet && !c->body_before)
		at += parse_to_decimal(c->packet[ticket % c->packets], at);
	at = put_text(at, c->after);
	if (c->key) {
		at = put_text(put_text(at, "Idempotency-Key: "), c->key);
		at = put_text(at + parse_to_decimal(ticket, at), "\r\n");
	}
	if (c->body_before) {
		at = put_text(at, "Content-Type: application/json\r\nContent-Length: ");
		at = put_text(at + parse_to_decimal(body_len, at), "\r\n");
	}
	if (c->token) {
		at = put(at, "Authorization: Bearer ", 22);
		at = put(at, c->token + ticket % c->users * c->token_bytes, c->token_bytes);
		at = put(at, "\r\n", 2);
	}
	at = put(at, "\r\n", 2);
	at = put(at, body, body_len);
	return (size_t)(at - to);
}

/* The next ticket of this thread; false when there is none. */
static bool ticket_take(driver *d, uint64_t *out)
{
	const load_conf *c = d->c;
	const uint64_t ticket = d->turn * c->threads + d->index;

	if ((c->tickets > 0 && ticket >= c->tickets) ||
		(c->token && !c->reuse && ticket >= c->users)) {
		d->out.ran_out = true;
		return false;
	}
	d->turn++;
	*out = ticket;
	return true;
}

static bool conn_send(driver *d, conn *n, int64_t since_ns)
{
	char text[LOAD_REQUEST_BYTES];
	uint64_t ticket;

	if (!ticket_take(d, &ticket))
		return false;
	const size_t len = request_write(d->c, ticket, text);
	n->busy = true;
	n->since_ns = since_ns;
	d->busy++;
	d->out.sent++;
	/* A request fits into an empty socket; what does not is a broken connection. */
	if (send(n->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		shutdown(n->fd, SHUT_RDWR);
	return true;
}

static void conn_ended(driver *d, conn *n)
{
	close(n->fd);
	if (n->busy) {
		d->busy--;
		d->out.broken++;
	}
	d->error = conn_open(d, n);
}

static void answer_count(driver *d, const conn *n, const reply_t *r, int64_t now)
{
	load_result *o = &d->out;

	o->answered++;
	o->status[r->status >= 0 && r->status < LOAD_STATUSES ? r->status : 0]++;
	if (r->status == 200)
		o->outcome[r->outcome]++;
	if (now < d->warm_ns || now >= d->end_ns)
		return;
	o->in_window++;
	const uint64_t us = (uint64_t)(now - n->since_ns) / 1000;

	hist_add(&o->latency, us);
	if (r->status == 429)
		hist_add(&o->refused, us);
	if (r->status != 200)
		return;
	o->window_outcome[r->outcome]++;
	hist_add(&o->served, us);
}

/* True when the connection is free again; one that was free already (the server has closed it) is no
 * second time. */
static bool conn_read(driver *d, conn *n)
{
	reply_t reply = {0};
	const bool asked = n->busy;
	const ssize_t got = recv(n->fd, n->buf + n->got, BUFFER_BYTES - n->got, 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got <= 0) {
		conn_ended(d, n);
		return asked && d->error == 0;
	}
	n->got += (size_t)got;
	const long len = n->busy ? reply_read(n->buf, n->got, &reply) : -1;
	if (len == 0 && n->got < BUFFER_BYTES)
		return false;
	if (len <= 0 || (size_t)len != n->got) {
		conn_ended(d, n);
		return asked && d->error == 0;
	}
	answer_count(d, n, &reply, now_ns());
	n->got = 0;
	n->busy = false;
	d->busy--;
	if (reply.closes)
		conn_ended(d, n);
	return d->error == 0;
}

static void wait_and_read(driver *d, int64_t timeout_ns, void (*freed)(driver *, conn *))
{
	struct epoll_event ev[EVENTS];
	const struct timespec t = {timeout_ns / (1000 * MS), timeout_ns % (1000 * MS)};
	const int n = epoll_pwait2(d->epoll, ev, EVENTS, &t, NULL);

	for (int i = 0; i < n && d->error == 0; i++)
		if (conn_read(d, ev[i].data.ptr))
			freed(d, ev[i].data.ptr);
}

static void send_again(driver *d, conn *n)
{
	const int64_t now = now_ns();

	if (now < d->end_ns)
		(void)conn_send(d, n, now);
}

static void run_closed(driver *d)
{
	for (unsigned i = 0; i < d->conns; i++)
		send_again(d, &d->conn[i]);
	while (d->busy > 0 && d->error == 0 && now_ns() < d->end_ns)
		wait_and_read(d, 100 * MS, send_again);
}

static void keep_idle(driver *d, conn *n)
{
	BUG_ON(d->idles == d->conns);
	d->idle[d->idles++] = n;
}

static void run_open(driver *d)
{
	const int64_t every = (int64_t)(1e9 * d->c->threads / d->c->rate);
	int64_t due = d->start_ns + every * (d->index + 1) / d->c->threads;
	bool more = true;

	for (unsigned i = 0; i < d->conns; i++)
		keep_idle(d, &d->conn[i]);
	for (int64_t now; (now = now_ns()) < d->end_ns && more && d->error == 0;) {
		for (; more && due <= now && d->idles > 0; due += every)
			more = conn_send(d, d->idle[--d->idles], due);
		const int64_t until = due < d->end_ns ? due : d->end_ns;
		now = now_ns();
		wait_and_read(d, d->idles == 0 ? MS : until > now ? until - now : 0, keep_idle);
	}
	/* What was due and never sent: late by what is left of the run. */
	for (; more && due < d->end_ns; due += every) {
		d->out.missing++;
		if (due >= d->warm_ns)
			hist_add(&d->out.latency, (uint64_t)(d->end_ns - due) / 1000);
	}
}

static void forget(driver *d, conn *n)
{
	(void)d, (void)n;
}

static void *driver_main(void *arg)
{
	driver *d = arg;

	prctl(PR_SET_TIMERSLACK, 1000UL);
	if (d->c->rate > 0)
		run_open(d);
	else
		run_closed(d);
	const int64_t until = d->end_ns + d->c->drain_ms * MS;
	while (d->busy > 0 && d->error == 0 && now_ns() < until)
		wait_and_read(d, 100 * MS, forget);
	d->out.missing += d->busy;
	return NULL;
}

static int driver_open(driver *d)
{
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	d->conn = calloc(d->conns, sizeof(*d->conn));
	d->idle = calloc(d->conns, sizeof(conn *));
	if (d->epoll < 0 || !d->conn || !d->idle)
		return ENOMEM;
	for (unsigned i = 0; i < d->conns; i++)
		d->conn[i].fd = -1;
	for (unsigned i = 0; i < d->conns && d->error == 0; i++)
		d->error = conn_open(d, &d->conn[i]);
	return d->error;
}

static void driver_close(driver *d)
{
	for (unsigned i = 0; d->conn && i < d->conns; i++)
		if (d->conn[i].fd >= 0)
			close(d->conn[i].fd);
	if (d->epoll >= 0)
		close(d->epoll);
	free(d->conn);
	free(d->idle);
}

static void result_add(load_result *into, const load_result *from)
{
	into->sent += from->sent;
	into->answered += from->answered;
	into->in_window += from->in_window;
	into->broken += from->broken;
	into->missing += from->missing;
	into->ran_out = into->ran_out || from->ran_out;
	for (unsigned i = 0; i < LOAD_STATUSES; i++)
		into->status[i] += from->status[i];
	for (unsigned i = 0; i < REPLY_OUTCOMES; i++) {
		into->outcome[i] += from->outcome[i];
		into->window_outcome[i] += from->window_outcome[i];
	}
	hist_merge(&into->latency, &from->latency);
	hist_merge(&into->served, &from->served);
	hist_merge(&into->refused, &from->refused);
}

int load_run(const load_conf *c, load_result *out)
{
	driver *d = calloc(c->threads, sizeof(*d));
	int error = d ? 0 : ENOMEM;
	unsigned started = 0;

	*out = (load_result){.window_s = (double)c->run_ms / 1000};
	for (unsigned i = 0; d && i < c->threads; i++) {
		d[i] = (driver){.c = c,
			.index = i,
			.epoll = -1,
			.conns = c->connections / c->threads + (i < c->connections % c->threads)};
		error = error ? error : driver_open(&d[i]);
	}
	const int64_t start = now_ns();
	for (unsigned i = 0; !error && i < c->threads; i++) {
		d[i].start_ns = start;
		d[i].warm_ns = start + c->warm_ms * MS;
		d[i].end_ns = d[i].warm_ns + c->run_ms * MS;
		error = pthread_create(&d[i].thread, NULL, driver_main, &d[i]);
		started += error == 0;
	}
	for (unsigned i = 0; i < started; i++)
		pthread_join(d[i].thread, NULL);
	const int64_t ended = now_ns();
	for (unsigned i = 0; d && i < c->threads; i++) {
		result_add(out, &d[i].out);
		error = error ? error : d[i].error;
		driver_close(&d[i]);
	}
	if (out->ran_out && ended < start + (c->warm_ms + c->run_ms) * MS)
		out->window_s = (double)(ended - start - c->warm_ms * MS) / 1e9;
	free(d);
	return error;
}
