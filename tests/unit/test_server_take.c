/* A thread of the server takes many connections at once. When the first of them makes it wait, the
 * others are served by whoever is there: another thread that waits for work, or the one that sleeps
 * in its poll. Two threads, both of which poll; a gate holds each request where the test wants it. */
#include "base/keys.h"
#include "fcgi_client.h"
#include "http/http.h"
#include "tests/unit/unit.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { THREADS = 2, OTHERS = 7, PATIENCE_S = 10 };

typedef struct {
	http_server_conf conf;
	char listen[32];
	uint16_t port;
	pthread_t thread;
	err_t result;
	sem_t inside, pass[THREADS]; /* of the requests that hold a thread in its poll's turn */
	sem_t taken, may_wait, waits, go;
	_Atomic unsigned pinned;
	fcgi_answer answer;
} fixture;

/* Holds its thread without a word, so that the other connections gather. */
static err_t serve_pin(fixture *f, http_req_t *r)
{
	const unsigned n = atomic_fetch_add(&f->pinned, 1);

	sem_post(&f->inside);
	sem_wait(&f->pass[n]);
	r->status = 204;
	return ERR_OK;
}

/* Is the first of what its thread took, and waits for long. */
static err_t serve_wait(fixture *f, http_req_t *r)
{
	sem_post(&f->taken);
	sem_wait(&f->may_wait);
	http_may_wait();
	sem_post(&f->waits);
	sem_wait(&f->go);
	r->status = 204;
	return ERR_OK;
}

static err_t serve(http_req_t *r)
{
	if (strcmp(r->path, "/pin") == 0)
		return serve_pin(r->app, r);
	if (strcmp(r->path, "/wait") == 0)
		return serve_wait(r->app, r);
	r->status = 204;
	return ERR_OK;
}

static void *run(void *arg)
{
	fixture *f = arg;

	f->result = http_serve(&f->conf);
	return NULL;
}

static int start(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	f->port = fcgi_free_port();
	snprintf(f->listen, sizeof(f->listen), "127.0.0.1:%u", f->port);
	f->conf = (http_server_conf){.listen = f->listen,
		.threads = THREADS,
		.drain_ms = 2000,
		.arena_bytes = 1 << 20,
		.says_when = true,
		.handler = serve,
		.app = f};
	sem_t *all[] = {
		&f->inside, &f->pass[0], &f->pass[1], &f->taken, &f->may_wait, &f->waits, &f->go};
	for (unsigned i = 0; i < UNIT_COUNT(all); i++)
		sem_init(all[i], 0, 0);
	*state = f;
	return pthread_create(&f->thread, NULL, run, f);
}

static int end(void **state)
{
	fixture *f = *state;

	http_stop();
	pthread_join(f->thread, NULL);
	if (f->result == ERR_OK)
		free(f); /* else a thread still uses it */
	return 0;
}

static int ask(fixture *f, const char *uri)
{
	const struct timeval patience = {unit_patience_ms(PATIENCE_S * 1000) / 1000, 0};
	const int fd = fcgi_connect(f->port);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	fcgi_send(fd, &(fcgi_request){.uri = uri});
	return fd;
}

static void expect_served(fixture *f, int fd)
{
	fcgi_read(fd, &f->answer);
	assert_true(f->answer.ended);
	assert_int_equal(f->answer.status, 204);
	close(fd);
}

/* Connections whose requests all lie there before anybody looks: accepted, while both threads are
 * held, by nobody; so they are made first and asked later. */
typedef struct {
	int pin[THREADS], wait, other[OTHERS];
} asked;

static void ask_all(fixture *f, asked *a)
{
	int *kept[OTHERS + 1];

	for (unsigned i = 0; i <= OTHERS; i++) {
		kept[i] = i == 0 ? &a->wait : &a->other[i - 1];
		*kept[i] = ask(f, "/first");
		fcgi_read(*kept[i], &f->answer);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		a->pin[i] = ask(f, "/pin");
		sem_wait(&f->inside);
	}
	fcgi_send(a->wait, &(fcgi_request){.uri = "/wait"});
	for (unsigned i = 0; i < OTHERS; i++)
		fcgi_send(a->other[i], &(fcgi_request){.uri = "/other"});
}

static void the_others_are_served_by_who_comes_free(void **state)
{
	fixture *f = *state;
	asked a;

	ask_all(f, &a);
	sem_post(&f->pass[0]);
	sem_wait(&f->taken);
	sem_post(&f->may_wait);
	sem_wait(&f->waits);
	sem_post(&f->pass[1]);
	for (unsigned i = 0; i < OTHERS; i++)
		expect_served(f, a.other[i]);
	sem_post(&f->go);
	expect_served(f, a.wait);
	for (unsigned i = 0; i < THREADS; i++)
		expect_served(f, a.pin[i]);
}

static void the_others_are_served_by_who_sleeps_in_its_poll(void **state)
{
	fixture *f = *state;
	asked a;

	ask_all(f, &a);
	sem_post(&f->pass[0]);
	sem_wait(&f->taken); /* and all the others with it */
	sem_post(&f->pass[1]);
	for (unsigned i = 0; i < THREADS; i++)
		expect_served(f, a.pin[i]);
	usleep(50000); /* nothing tells that a thread sleeps; awake it would find them all the same */
	sem_post(&f->may_wait);
	for (unsigned i = 0; i < OTHERS; i++)
		expect_served(f, a.other[i]);
	sem_post(&f->go);
	expect_served(f, a.wait);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
		CASE(the_others_are_served_by_who_comes_free),
		CASE(the_others_are_served_by_who_sleeps_in_its_poll),
	};

	signal(SIGPIPE, SIG_IGN);
	if (keys_init() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
