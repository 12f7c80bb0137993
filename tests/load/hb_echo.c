/* hb-echo: what libfcgi alone costs: threads that accept a request and answer it at once. Written
 * as its manual says, and never part of a production stack. */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BACKLOG = 1024, THREADS_MAX = 4096, STACK_BYTES = 256 << 10 };

static void *serve(void *arg)
{
	static const char answer[] = "Status: 200\r\nContent-Type: application/json\r\n"
				     "Content-Length: 2\r\n\r\n{}";
	FCGX_Request r;

	if (FCGX_InitRequest(&r, *(const int *)arg, 0) != 0)
		return NULL;
	while (FCGX_Accept_r(&r) == 0) {
		FCGX_PutStr(answer, sizeof(answer) - 1, r.out);
		FCGX_Finish_r(&r);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const long threads = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	pthread_attr_t attr;
	pthread_t thread;

	if (threads < 1 || threads > THREADS_MAX) {
		fprintf(stderr, "usage: hb-echo HOST:PORT THREADS\n");
		return 2;
	}
	if (FCGX_Init() != 0)
		return 1;
	int fd = FCGX_OpenSocket(argv[1], BACKLOG);
	if (fd < 0)
		return 1;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (long i = 0; i < threads; i++)
		if (pthread_create(&thread, &attr, serve, &fd) != 0)
			return 1;
	pause();
	return 0;
}
