/* http: a FastCGI server on libfcgi: threads, requests, answers, problem+json. Knows no domain.
 *
 * It works around what libfcgi 2.4.2 does: bodies are read to the end on every path (an unread body
 * drops the next request), bytes read are compared with Content-Length, accept errors back off
 * instead of ending threads, signals belong to life. On stop: the listening socket closes, requests
 * in flight finish within a bound, idle keep-alive readers are woken by shutdown(2), then the
 * threads end. */
#ifndef HB_HTTP_HTTP_H
#define HB_HTTP_HTTP_H

#include "base/arena.h"
#include "base/err.h"
#include "base/jw.h"
#include <jansson.h>

enum { HTTP_BODY_MAX_BYTES = 16384, HTTP_FIELD_ERRORS_MAX = 16 };

typedef struct {
	const char *field, *message; /* message in English, for developers */
	const char *code;            /* e.g. "required", "type", "range", "unknown" */
} http_field_error;

/* One request; valid until its handler returns. All strings live in the arena or in libfcgi and end
 * with it. */
typedef struct http_req {
	arena_t *arena;
	const char *method, *path, *query; /* path without query, not decoded; query "" when none */
	const char *request_id;  /* from nginx (HTTP_X_REQUEST_ID), made here when absent */
	const char *traceparent; /* made here when absent or malformed (base/trace.h) */
	const char *authorization, *session_cookie, *idempotency_key, *origin, *csrf,
		*signature,       /* X-Finance-Signature */
		*hb_signature,    /* X-Hb-Signature: of a partner, or of our own programs */
		*remote_addr;     /* NULL when absent */
	bool zh;                  /* Accept-Language prefers Chinese (also when it says nothing) */
	const char *content_type; /* NULL when absent */
	const char *body;         /* zero-terminated; "" when none */
	size_t body_len;
	/* ERR_BODY_TOO_LARGE or ERR_INVALID_REQUEST (not as long as Content-Length says, aborted);
	 * the body is "" then. For the handler to return, when it comes to the body; http_fields
	 * returns it too. */
	err_t body_error;
	bool ops; /* came through the operations listener (HB_OPS=1) */
	int64_t started_us;
	void *app; /* of http_serve */
	/* Set by a handler that gives its request away and returns ERR_OK: whoever it gave it to
	 * calls http_resume once, and then a thread of the server calls this for the answer. */
	err_t (*later)(struct http_req *r);
	void *state; /* what `later` needs: the handler's own */
	/* ---- the answer ---- */
	int status; /* 200 unless the handler sets it */
	jw_t out;   /* JSON body; the handler writes one value, or nothing with 204 */
	struct {
		const char *name, *value;
	} header[8];
	unsigned header_count;
	http_field_error errors[HTTP_FIELD_ERRORS_MAX]; /* for INVALID_FIELD and friends */
	unsigned error_count;
	int64_t retry_after_ms; /* >0: Retry-After (whole seconds, rounded up) and retry_after_ms in
				   a problem */
	const char *detail;     /* of a problem; NULL: the error's title */
	const char *content;    /* with content_len: sent instead of `out`, as content_out_type */
	size_t content_len;
	const char *content_out_type; /* NULL: application/json */
} http_req_t;

void http_header(http_req_t *r, const char *name, const char *value);
/* Adds to errors[] (bounded) and returns ERR_INVALID_FIELD. */
err_t http_field_error_add(
	http_req_t *r, const char *field, const char *code, const char *message) MUST_CHECK;

/* Serves a request; anything but ERR_OK becomes a problem+json of err_public(e) (what was written
 * to `out` is dropped). */
typedef err_t (*http_handler)(http_req_t *r);

/* From any thread, also before the handler has returned. */
void http_resume(http_req_t *r);
/* Said by a handler (of a server that says_when) before anything that may wait, so that another
 * thread looks after the connections meanwhile. */
void http_may_wait(void);

typedef struct {
	const char *listen; /* "127.0.0.1:9000", or "fd:3" for socket activation */
	unsigned threads;
	int64_t drain_ms;
	size_t arena_bytes; /* limit of a request's memory */
	bool says_when;     /* the handler calls http_may_wait; else it may always wait */
	http_handler handler;
	void *app;
} http_server_conf;

/* Runs until life_stopping() or http_stop(); returns ERR_OK when all threads have ended,
 * ERR_TIMEOUT when the drain bound has passed with requests still in flight: their threads go on,
 * so the caller must leave everything they use in place, and _exit. */
err_t http_serve(const http_server_conf *c) MUST_CHECK;
/* To be called from the program's on_stop (signal thread): tells http_serve to end. */
void http_stop(void);

/* A value of the query string, decoded into the arena; NULL when absent; *twice when given more
 * than once or badly encoded. */
const char *http_query(http_req_t *r, const char *name, bool *twice);
/* ERR_INVALID_REQUEST when the query string holds a name that is not one of `names` (terminated by
 * NULL; compared undecoded). */
err_t http_query_only(http_req_t *r, const char *const *names) MUST_CHECK;

/* ---- fields: a body's input declared as rows ---- */
typedef enum {
	HTTP_F_TEXT, /* UTF-8 without control characters; least..most characters; → const char * */
	HTTP_F_TOKEN, /* A-Za-z0-9 and ._:~- ; least..most bytes; → const char * */
	HTTP_F_ID,    /* string of digits, 1 … 2^63-1 without leading zero; → uint64_t */
	HTTP_F_INT,   /* JSON integer in least..most; → int64_t */
	HTTP_F_MONEY, /* {"amount": integer, "currency": "CNY"}, any int64 (limits are the
			 handler's, negative ones too); → int64_t fen */
	HTTP_F_ENUM,  /* one of `words`, NULL-terminated; → int, the index + 1 */
	HTTP_F_IDS,   /* array of least..most distinct HTTP_F_ID; → http_ids */
	HTTP_F_TIME,  /* RFC 3339; → int64_t wall ms */
} http_field_type;
typedef struct {
	uint64_t *id;
	size_t count;
} http_ids;
typedef struct {
	const char *name;
	http_field_type type;
	bool required;
	size_t offset; /* in the struct; absent optional fields leave it as it is */
	int64_t least, most;
	const char *const *words;
} http_field;
/* Parses r->body strictly (duplicates, trailing junk, non-objects, integers beyond int64:
 * ERR_INVALID_JSON; an empty body counts as {}) against the rows; unknown fields, missing ones,
 * wrong types (null is a wrong type) and ranges all go to errors[] → ERR_INVALID_FIELD. Strings
 * live in the arena. */
err_t http_fields(http_req_t *r, const http_field *rows, size_t n, void *into) MUST_CHECK;

/* The problem+json of an error, for tests and for answers made elsewhere. */
void http_problem(http_req_t *r, err_t e);

#endif
