/* fcgi_client: a small FastCGI client for tests, which may also misbehave. All calls fail the test
 * by assertion when the socket does what it must not. */
#ifndef HB_TESTS_FCGI_CLIENT_H
#define HB_TESTS_FCGI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FCGI_CLIENT_ANSWER_BYTES = 262144 };

typedef struct {
	const char *method, *uri;
	const char *content_length; /* NULL: as long as the body is */
	const char *const *more;    /* further parameters, name, value, …, NULL */
	const void *body;
	size_t body_len;
	bool drop_connection; /* do not ask to keep it */
} fcgi_request;

typedef struct {
	bool ended; /* END_REQUEST came */
	int status;
	size_t len, body_at;
	char text[FCGI_CLIENT_ANSWER_BYTES]; /* head and body, zero-terminated */
} fcgi_answer;

uint16_t fcgi_free_port(void);
/* Tries for some seconds, until somebody listens. */
int fcgi_connect(uint16_t port);
void fcgi_send(int fd, const fcgi_request *q);
/* Only BEGIN, parameters, and `body_len` bytes of the body, without its end. */
void fcgi_send_part(int fd, const fcgi_request *q);
/* Reads one answer; ended == false when the connection closed before it. */
void fcgi_read(int fd, fcgi_answer *a);
void fcgi_call(int fd, const fcgi_request *q, fcgi_answer *a);
/* The value of a header in `out`, or "". */
const char *fcgi_header(const fcgi_answer *a, const char *name, char out[512]);

#endif
