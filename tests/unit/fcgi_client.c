/* fcgi_client: one request is put together in a buffer and sent with one write, as nginx does. */
#include "fcgi_client.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	RECORD_BEGIN = 1,
	RECORD_END = 3,
	RECORD_PARAMS = 4,
	RECORD_STDIN = 5,
	RECORD_STDOUT = 6,
	RECORD_MAX = 32768,
	READ_SECONDS = 10,
};

typedef struct {
	uint8_t *at;
	size_t len, cap;
} buffer;

static void put(buffer *b, const void *p, size_t n)
{
	if (b->len + n > b->cap) {
		b->cap = (b->len + n) * 2;
		b->at = realloc(b->at, b->cap);
		assert_non_null(b->at);
	}
	if (n > 0)
		memcpy(b->at + b->len, p, n);
	b->len += n;
}

static void put_record(buffer *b, int type, const void *p, size_t n)
{
	const uint8_t head[8] = {1, (uint8_t)type, 0, 1, (uint8_t)(n >> 8), (uint8_t)n, 0, 0};
	put(b, head, sizeof(head));
	put(b, p, n);
}

static void put_param(buffer *b, const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value);
	const uint8_t lengths[5] = {(uint8_t)n, (uint8_t)(0x80 | v >> 24), (uint8_t)(v >> 16),
		(uint8_t)(v >> 8), (uint8_t)v};
	put(b, lengths, sizeof(lengths));
	put(b, name, n);
	put(b, value, v);
}

static void put_request(buffer *b, const fcgi_request *q)
{
	const uint8_t begin[8] = {0, 1, q->drop_connection ? 0 : 1};
	char length[24];
	buffer params = {0};
	put_record(b, RECORD_BEGIN, begin, sizeof(begin));
	snprintf(length, sizeof(length), "%zu", q->body_len);
	put_param(&params, "REQUEST_METHOD", q->method ? q->method : "GET");
	put_param(&params, "REQUEST_URI", q->uri);
	if (q->content_length)
		put_param(&params, "CONTENT_LENGTH", q->content_length);
	else if (q->body_len > 0)
		put_param(&params, "CONTENT_LENGTH", length);
	for (const char *const *p = q->more; p && *p; p += 2)
		put_param(&params, p[0], p[1]);
	put_record(b, RECORD_PARAMS, params.at, params.len);
	put_record(b, RECORD_PARAMS, NULL, 0);
	free(params.at);
	for (size_t at = 0; at < q->body_len; at += RECORD_MAX) {
		size_t n = q->body_len - at < RECORD_MAX ? q->body_len - at : RECORD_MAX;
		put_record(b, RECORD_STDIN, (const uint8_t *)q->body + at, n);
	}
}

static void send_all(int fd, buffer *b)
{
	for (size_t at = 0; at < b->len;) {
		ssize_t n = send(fd, b->at + at, b->len - at, MSG_NOSIGNAL);
		if (n <= 0)
			break; /* the server may refuse to read on: its answer tells */
		at += (size_t)n;
	}
	free(b->at);
}

void fcgi_send(int fd, const fcgi_request *q)
{
	buffer b = {0};
	put_request(&b, q);
	put_record(&b, RECORD_STDIN, NULL, 0);
	send_all(fd, &b);
}

void fcgi_send_part(int fd, const fcgi_request *q)
{
	buffer b = {0};
	put_request(&b, q);
	send_all(fd, &b);
}

static bool read_all(int fd, void *to, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = recv(fd, (char *)to + at, n - at, 0);
		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

void fcgi_read(int fd, fcgi_answer *a)
{
	uint8_t head[8], content[65536 + 256];
	a->len = 0;
	a->ended = false;
	while (!a->ended && read_all(fd, head, sizeof(head))) {
		size_t n = (size_t)(head[4] << 8 | head[5]);
		if (!read_all(fd, content, n + head[6]))
			break;
		if (head[1] == RECORD_STDOUT) {
			assert_true(a->len + n < sizeof(a->text));
			memcpy(a->text + a->len, content, n);
			a->len += n;
		}
		a->ended = head[1] == RECORD_END;
	}
	a->text[a->len] = '\0';
	const char *body = strstr(a->text, "\r\n\r\n");
	a->body_at = body ? (size_t)(body + 4 - a->text) : a->len;
	a->status = strncmp(a->text, "Status: ", 8) == 0 ? (int)strtol(a->text + 8, NULL, 10) : 0;
}

void fcgi_call(int fd, const fcgi_request *q, fcgi_answer *a)
{
	fcgi_send(fd, q);
	fcgi_read(fd, a);
	assert_true(a->ended);
}

const char *fcgi_header(const fcgi_answer *a, const char *name, char out[512])
{
	size_t n = strlen(name);
	out[0] = '\0';
	for (const char *line = a->text; line < a->text + a->body_at;) {
		size_t len = strcspn(line, "\r\n");
		if (len > n + 2 && strncasecmp(line, name, n) == 0 && line[n] == ':')
			snprintf(out, 512, "%.*s", (int)(len - n - 2), line + n + 2);
		line += len + 2;
	}
	return out;
}

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return addr;
}

uint16_t fcgi_free_port(void)
{
	struct sockaddr_in addr = loopback(0);
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

int fcgi_connect(uint16_t port)
{
	struct sockaddr_in addr = loopback(port);
	const struct timeval longest = {.tv_sec = READ_SECONDS};
	for (int i = 0; i < 500; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		assert_true(fd >= 0);
		if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof(longest));
			return fd;
		}
		close(fd);
		usleep(10000);
	}
	fail_msg("nobody listens on %u", port);
	return -1;
}
