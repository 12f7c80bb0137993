/* ops: a table of its own, because these paths are no part of the public API: they need no session
 * and belong to no slot, and nginx lets them in on the operations listener alone. */
#include "config.h"

#include "base/clk.h"
#include "base/metrics.h"
#include "domain/flags.h"
#include "fcgi/ops.h"
#include "fcgi/site_state.h"
#include <stdlib.h>
#include <string.h>

/* Of the site: the same whichever of its hb-query is asked. */
static err_t ops_healthz(http_req_t *r)
{
	const app_t *a = r->app;
	site_state s;
	err_t e = site_state_read(a->p, r->arena, &s);
	if (e != ERR_OK)
		return e;
	if (!site_state_healthy(&s))
		return ERR_CELL_UNAVAILABLE;
	jw_obj(&r->out, NULL);
	jw_str(&r->out, "status", "ok");
	jw_obj_end(&r->out);
	return ERR_OK;
}

static err_t ops_metrics(http_req_t *r)
{
	const app_t *a = r->app;
	char *text;
	size_t len;
	err_t e = metrics_render(conf_s(a->p->conf, CONF_METRICS_DIR), &text, &len);
	if (e != ERR_OK)
		return e;
	char *copy = arena_strndup(r->arena, text, len);
	free(text);
	r->content = copy;
	r->content_len = len;
	r->content_out_type = "text/plain; version=0.0.4; charset=utf-8";
	return ERR_OK;
}

static void write_site(jw_t *w, const app_t *a)
{
	jw_str(w, "site", a->p->site);
	jw_str(w, "version", PACKAGE_VERSION);
	jw_time(w, "now", clk_wall_ms());
}

static err_t ops_status(http_req_t *r)
{
	const app_t *a = r->app;
	site_state s;
	err_t e = site_state_read(a->p, r->arena, &s);
	if (e != ERR_OK)
		return e;
	jw_obj(&r->out, NULL);
	write_site(&r->out, a);
	jw_bool(&r->out, "healthy", site_state_healthy(&s));
	jw_arr(&r->out, "cells");
	for (unsigned i = 0; i < s.count; i++) {
		jw_obj(&r->out, NULL);
		site_state_write(&s.cell[i], &r->out);
		jw_obj_end(&r->out);
	}
	jw_arr_end(&r->out);
	jw_obj_end(&r->out);
	return ERR_OK;
}

/* What the site's file says; what its programs have made of it is in the status. */
static err_t ops_flags(http_req_t *r)
{
	const app_t *a = r->app;
	char why[CFG_WHY_BYTES];
	flags_wish wish[FLAGS_COUNT];
	const bool good = flags_said_now(wish, why) == ERR_OK;
	jw_obj(&r->out, NULL);
	write_site(&r->out, a);
	jw_str(&r->out, "bad", good ? NULL : why);
	jw_arr(&r->out, "flags");
	for (unsigned i = 0; i < FLAGS_COUNT; i++) {
		jw_obj(&r->out, NULL);
		jw_str(&r->out, "flag", flags_table()[i].name);
		flags_write(&r->out, &wish[i]);
		jw_obj_end(&r->out);
	}
	jw_arr_end(&r->out);
	jw_obj_end(&r->out);
	return ERR_OK;
}

static const struct {
	const char *path;
	err_t (*serve)(http_req_t *r);
} ops_rows[] = {
	{"/healthz", ops_healthz},
	{"/metrics", ops_metrics},
	{"/ops/v1/status", ops_status},
	{"/ops/v1/flags", ops_flags},
};

err_t ops_handle(http_req_t *r)
{
	for (size_t i = 0; i < sizeof(ops_rows) / sizeof(ops_rows[0]); i++) {
		if (strcmp(ops_rows[i].path, r->path) != 0)
			continue;
		if (strcmp(r->method, "GET") == 0)
			return ops_rows[i].serve(r);
		http_header(r, "Allow", "GET");
		return ERR_METHOD_NOT_ALLOWED;
	}
	return ERR_NOT_FOUND;
}
