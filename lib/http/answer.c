/* answer: status, headers and body onto the FastCGI stream. The head is put together in the arena
 * and handed over in one piece with the body right behind it, so that what fits into libfcgi's
 * buffer leaves in one write. */
#include "base/logger.h"
#include "base/parse.h"
#include "http/wire.h"
#include <string.h>

enum { ANSWER_HEAD_BYTES = 512 }; /* besides the handler's own headers */

typedef struct {
	char *at;
} head;

static void head_text(head *h, const char *s)
{
	size_t n = strlen(s);
	memcpy(h->at, s, n);
	h->at += n;
}

static void head_number(head *h, uint64_t v)
{
	h->at += parse_to_decimal(v, h->at);
}

static void head_line(head *h, const char *name, const char *value)
{
	head_text(h, name);
	head_text(h, ": ");
	head_text(h, value);
	head_text(h, "\r\n");
}

void http_header(http_req_t *r, const char *name, const char *value)
{
	bool clean = !strpbrk(value, "\r\n");
	if (!clean || r->header_count >= sizeof(r->header) / sizeof(r->header[0])) {
		LOG(ERROR, "http.header_refused", {"name", LOG_S(name)});
		return;
	}
	r->header[r->header_count].name = name;
	r->header[r->header_count++].value = value;
}

static char *answer_head(http_req_t *r, const char *type, size_t body_len, size_t *head_len)
{
	size_t room = ANSWER_HEAD_BYTES + strlen(type);
	for (unsigned i = 0; i < r->header_count; i++)
		room += strlen(r->header[i].name) + strlen(r->header[i].value) + 4;
	char *start = arena_alloc(r->arena, room);
	head h = {.at = start};
	head_text(&h, "Status: ");
	head_number(&h, (uint64_t)r->status);
	head_text(&h, "\r\nCache-Control: no-store\r\n");
	head_line(&h, "X-Request-Id", r->request_id);
	head_line(&h, "traceparent", r->traceparent);
	if (r->retry_after_ms > 0) {
		head_text(&h, "Retry-After: ");
		head_number(&h, (uint64_t)(r->retry_after_ms + 999) / 1000);
		head_text(&h, "\r\n");
	}
	for (unsigned i = 0; i < r->header_count; i++)
		head_line(&h, r->header[i].name, r->header[i].value);
	if (r->status != 204) {
		if (body_len > 0)
			head_line(&h, "Content-Type", type);
		head_text(&h, "Content-Length: ");
		head_number(&h, body_len);
		head_text(&h, "\r\n");
	}
	head_text(&h, "\r\n");
	*head_len = (size_t)(h.at - start);
	BUG_ON(*head_len > room);
	return start;
}

void answer_write(http_req_t *r, FCGX_Request *f)
{
	const char *body = r->content, *type = r->content_out_type;
	size_t body_len = r->content ? r->content_len : 0, head_len;
	if (!r->content && r->out.len > 0) {
		body_len = jw_end(&r->out);
		body = r->out.buf;
	}
	if (r->status == 204)
		body_len = 0;
	char *start = answer_head(r, type ? type : "application/json", body_len, &head_len);
	(void)FCGX_PutStr(start, (int)head_len, f->out);
	if (body_len > 0)
		(void)FCGX_PutStr(body, (int)body_len, f->out);
}
