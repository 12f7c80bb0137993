/* demo: a login for anybody, so that the demo can be used without a host app. The gate serves it
 * only with demo.login. */
#include "domain/session.h"
#include "fcgi/handlers.h"
#include <inttypes.h>
#include <string.h>

#define DEMO_UID_MAX UINT64_C(100000000000000000)

typedef struct {
	uint64_t uid;
} login_input;

static const http_field login_fields[] = {
	{.name = "uid", .type = HTTP_F_ID, .required = true, .offset = offsetof(login_input, uid)},
};

err_t handle_demo_login(app_call_t *c)
{
	login_input in;
	char token[SESSION_TOKEN_BYTES];
	int64_t ttl_s = conf_i(c->app->p->conf, CONF_SESSION_TTL_S);
	const bool tls = !strncmp(conf_s(c->app->p->conf, CONF_FRONT_URL), "https:", 6);
	int64_t expires_s = c->now_ms / 1000 + ttl_s;
	err_t e = http_fields(c->r, login_fields, 1, &in);
	if (e != ERR_OK)
		return e;
	if (in.uid > DEMO_UID_MAX)
		return http_field_error_add(c->r, "uid", "range", "must be 1 to 10^17");
	session_mint(c->app->p->session_keys, in.uid, expires_s, token);
	http_header(c->r, "Set-Cookie",
		arena_printf(c->r->arena,
			"hb_session=%s; Path=/; Max-Age=%" PRId64 "; HttpOnly; SameSite=Lax%s",
			token, ttl_s, tls ? "; Secure" : ""));
	jw_t *w = &c->r->out;
	jw_obj(w, NULL);
	jw_id(w, "uid", in.uid);
	jw_str(w, "token", token);
	jw_time(w, "expires_at", expires_s * 1000);
	jw_obj_end(w);
	return ERR_OK;
}
