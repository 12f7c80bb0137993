/* problem: how an error becomes application/problem+json (RFC 9457). Errors that only we should
 * know are told as the public one that says the same; the log line keeps the inner name. */
#include "base/clk.h"
#include "base/logger.h"
#include "http/http.h"
#include <stdatomic.h>

#define PROBLEM_TYPE "https://hongbao.example/problems/"

enum {
	PROBLEM_RETRY_MS = 1000,       /* of a 503 that does not say it better */
	PROBLEM_LINES_PER_SECOND = 50, /* an outage must not turn into a storm of lines */
};

static bool problem_may_log(void)
{
	static _Atomic int64_t second;
	static _Atomic unsigned lines;
	int64_t now = clk_mono_ms() / 1000, seen = atomic_load(&second);
	if (seen != now && atomic_compare_exchange_strong(&second, &seen, now))
		atomic_store(&lines, 0);
	return atomic_fetch_add(&lines, 1) < PROBLEM_LINES_PER_SECOND;
}

static void problem_write_errors(jw_t *w, const http_req_t *r)
{
	jw_arr(w, "errors");
	for (unsigned i = 0; i < r->error_count; i++) {
		jw_obj(w, NULL);
		jw_str(w, "field", r->errors[i].field);
		jw_str(w, "code", r->errors[i].code);
		jw_str(w, "message", r->errors[i].message);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

void http_problem(http_req_t *r, err_t e)
{
	err_t shown = err_public(e);
	const char *code = err_code(shown);
	r->status = err_http(shown);
	if (r->status >= 500 && shown != ERR_FEATURE_DEGRADED && problem_may_log())
		LOG(ERROR, "http.failed", {"code", LOG_E(e)}, {"path", LOG_S(r->path)},
			{"status", LOG_I(r->status)});
	if (r->status == 503 && r->retry_after_ms <= 0)
		r->retry_after_ms = PROBLEM_RETRY_MS;

	jw_t *w = &r->out;
	jw_start(w, r->arena);
	jw_obj(w, NULL);
	jw_str(w, "type", arena_printf(r->arena, PROBLEM_TYPE "%s", code));
	jw_str(w, "title", err_title(shown));
	jw_i64(w, "status", r->status);
	jw_str(w, "detail", r->detail ? r->detail : err_title(shown));
	jw_str(w, "code", code);
	jw_bool(w, "retryable", err_retryable(shown));
	jw_str(w, "user_message", err_user_message(shown, r->zh));
	jw_str(w, "request_id", r->request_id);
	if (r->retry_after_ms > 0)
		jw_i64(w, "retry_after_ms", r->retry_after_ms);
	if (r->error_count > 0)
		problem_write_errors(w, r);
	jw_obj_end(w);
	r->content = NULL;
	r->content_out_type = "application/problem+json";
}

err_t http_field_error_add(http_req_t *r, const char *field, const char *code, const char *message)
{
	if (r->error_count < HTTP_FIELD_ERRORS_MAX)
		r->errors[r->error_count++] =
			(http_field_error){.field = field, .message = message, .code = code};
	return ERR_INVALID_FIELD;
}
