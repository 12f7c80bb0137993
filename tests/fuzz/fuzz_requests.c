/* requests: what nginx hands to hb-core and hb-rain: FastCGI parameters and a body, through request_read, the
 * gate and the real handlers up to where they would ask a database, a cache or another program. What they
 * would have asked for is checked there (desk.c); every answer is valid JSON and no header can be split.
 * Input: lines NAME=value, an empty line, the body. A value that begins with @ is made here: HB_SESSION=@1007
 * a session of that uid, HTTP_AUTHORIZATION=@1007 a bearer of one, the signatures =@who, CONTENT_LENGTH=@. */
#define _GNU_SOURCE /* asprintf */
#include "tests/fuzz/desk.h"

#include "base/cfg.h"
#include "base/clk.h"
#include "base/signature.h"
#include "domain/session.h"
#include "fcgi/gate.h"
#include "fcgi/handlers.h"
#include "fcgi/rain.h"
#include "http/wire.h"
#include "tests/fuzz/fuzz.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARAMS_MAX = 32, PARAM_BYTES = 4096, OUR_SLOTS = 500, ARENA_BYTES = 4 << 20 };

static program_t program;
static topology_t topology;
static app_t core = {.p = &program}, rain = {.p = &program};
static rain_t places;
static keys_ring_t *keys;

/* ---- the programs ---- */

static const app_handler handlers[ROUTES_COUNT] = {
#define CORE(id) [ROUTES_ID_##id] = handle_##id,
#define QUERY(id)
#define RAIN(id) [ROUTES_ID_##id] = handle_##id,
#define ROUTE(id, method, pattern, program, slot, auth, body, flags) program(id)
#include "domain/routes.def"
#undef ROUTE
#undef CORE
#undef QUERY
#undef RAIN
};

static void set(const char *name, const char *value)
{
	char why[CFG_WHY_BYTES];
	FUZZ_CHECK(conf_set(program.conf, name, value, why) == ERR_OK);
}

/* Partners' keys are read from a folder. */
static void load_partners(void)
{
	char folder[] = "/dev/shm/hb-fuzz-XXXXXX", path[64];
	FUZZ_CHECK(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/partner.shop.keys", folder);
	FILE *to = fopen(path, "we");
	FUZZ_CHECK(to && fputs(FUZZ_KEY_1 " campaign:demo\n", to) >= 0 && fclose(to) == 0 &&
		   chmod(path, 0400) == 0);
	set("paths.secrets", folder);
	FUZZ_CHECK(partner_load(program.conf, &core.partners) == ERR_OK);
	unlink(path);
	rmdir(folder);
}

static void open_gate(app_t *a, routes_program of)
{
	const gate_conf conf = {.program = of, .handlers = handlers};
	FUZZ_CHECK(gate_new(&conf, a, &a->gate) == ERR_OK);
}

static void begin(void)
{
	char why[CFG_WHY_BYTES];
	keys = fuzz_ring(FUZZ_KEY_1 "\n");
	FUZZ_CHECK(conf_load(NULL, why, &program.conf) == ERR_OK);
	set("http.front_url", "http://127.0.0.1:8080");
	set("demo.login", "true");
	for (unsigned slot = 0; slot < TOPOLOGY_SLOTS; slot++)
		topology.slot_cell[slot] = slot < OUR_SLOTS ? 0 : 1;
	topology.cell_count = 2;
	topology.cell[0] = (topology_cell){.name = "A", .number = 1};
	topology.cell[1] = (topology_cell){.name = "B", .number = 2};
	program.topo = &topology;
	program.cell = &topology.cell[0];
	program.session_keys = program.grant_keys = program.seal_keys = program.finance_keys =
		program.internal_keys = keys;
	load_partners();
	places.places = places_new();
	rain.rain = &places;
	open_gate(&core, ROUTES_CORE);
	open_gate(&rain, ROUTES_RAIN);
}

/* ---- a request ---- */

typedef struct {
	char *envp[PARAMS_MAX + 1];
	char *made[PARAMS_MAX];
	unsigned count, made_count;
	const char *method, *target, *body;
	size_t body_len;
} wire_t;

static const char *value_of(const wire_t *w, const char *name)
{
	const size_t n = strlen(name);
	for (unsigned i = 0; i < w->count; i++)
		if (strncmp(w->envp[i], name, n) == 0 && w->envp[i][n] == '=')
			return w->envp[i] + n + 1;
	return "";
}

/* What a value that begins with @ stands for; false: itself. */
static bool made_value(const wire_t *w, const char *name, const char *is, char out[SIGNATURE_BYTES])
{
	const int64_t now_s = clk_wall_ms() / 1000;
	const unsigned long long number = strtoull(is, NULL, 10);
	char path[PARAM_BYTES];
	if (strcmp(name, "CONTENT_LENGTH") == 0) {
		snprintf(out, SIGNATURE_BYTES, "%zu", w->body_len);
		return true;
	}
	if (strcmp(name, "HB_SESSION") == 0 || strcmp(name, "HTTP_AUTHORIZATION") == 0) {
		const size_t n = strcmp(name, "HB_SESSION") == 0 ? 0 : strlen("Bearer ");
		memcpy(out, "Bearer ", n);
		session_mint(keys, number >= 1 && number <= SESSION_UID_MAX ? number : 1,
			now_s + 60, out + n);
		return true;
	}
	if (strcmp(name, "HTTP_X_HB_SIGNATURE") != 0 &&
		strcmp(name, "HTTP_X_FINANCE_SIGNATURE") != 0)
		return false;
	if (strlen(is) > 32 || strlen(w->method) > 16 || strpbrk(is, " \n"))
		return false;
	snprintf(path, sizeof path, "%.*s", (int)strcspn(w->target, "?"), w->target);
	signature_make(keys, is, now_s, "fuzz-1", w->method, path, w->body, w->body_len, out);
	return true;
}

static void make_values(wire_t *w)
{
	char value[SIGNATURE_BYTES], name[64];
	w->method = value_of(w, "REQUEST_METHOD");
	w->target = value_of(w, "REQUEST_URI");
	for (unsigned i = 0; i < w->count; i++) {
		const char *mark = strstr(w->envp[i], "=@");
		if (!mark || (size_t)(mark - w->envp[i]) >= sizeof name)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)(mark - w->envp[i]), w->envp[i]);
		if (!made_value(w, name, mark + 2, value))
			continue;
		char *made;
		FUZZ_CHECK(asprintf(&made, "%s=%s", name, value) > 0);
		w->made[w->made_count++] = w->envp[i] = made;
	}
}

/* Cuts `text` into lines. */
static void wire_read(wire_t *w, char *text, size_t n)
{
	char *at = text, *end;
	while (*at && *at != '\n' && w->count < PARAMS_MAX && (end = strchr(at, '\n'))) {
		*end = 0;
		if (end - at < PARAM_BYTES)
			w->envp[w->count++] = at;
		at = end + 1;
	}
	at += *at == '\n';
	w->body = at;
	w->body_len = n - (size_t)(at - text);
	make_values(w);
}

static void stream_ends(FCGX_Stream *s)
{
	s->isClosed = 1;
}

/* ---- what comes of it ---- */

static void headers_whole(const http_req_t *r)
{
	for (unsigned i = 0; i < r->header_count; i++)
		FUZZ_CHECK(!strpbrk(r->header[i].name, "\r\n: ") &&
			   !strpbrk(r->header[i].value, "\r\n"));
	FUZZ_CHECK(r->request_id && strlen(r->request_id) >= 8 && strlen(r->request_id) <= 64);
	FUZZ_CHECK(!r->traceparent || strlen(r->traceparent) == 55);
}

static void answer_checked(http_req_t *r, err_t e)
{
	if (e != ERR_OK)
		http_problem(r, e);
	FUZZ_CHECK(r->status >= 200 && r->status < 600 && r->error_count <= HTTP_FIELD_ERRORS_MAX);
	headers_whole(r);
	const size_t n = jw_end(&r->out);
	json_t *o = n ? json_loadb(r->out.buf, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	FUZZ_CHECK((n == 0 && r->status == 204) || json_is_object(o));
	if (e != ERR_OK)
		FUZZ_CHECK(json_integer_value(json_object_get(o, "status")) == r->status &&
			   json_is_string(json_object_get(o, "code")));
	json_decref(o);
}

static void serve(app_t *a, const wire_t *w, arena_t *arena)
{
	http_req_t r = {.arena = arena, .app = a};
	FCGX_Stream in = {.isReader = 1, .fillBuffProc = stream_ends};
	wire_t copy = *w;
	FCGX_Request f = {.envp = copy.envp, .in = &in};
	in.rdNext = (unsigned char *)(uintptr_t)w->body;
	in.stop = in.wrNext = in.rdNext + w->body_len;
	request_read(&r, &f);
	FUZZ_CHECK(r.body_len <= HTTP_BODY_MAX_BYTES && r.body[r.body_len] == 0);
	const err_t e = gate_handle(&r);
	answer_checked(&r, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const fuzz_input in = {data, size};
	static arena_t *arena;
	wire_t w = {0};
	if (!keys)
		begin();
	if (!arena)
		arena = arena_new(ARENA_BYTES);
	char *text = fuzz_rest(&in);
	wire_read(&w, text, size);
	desk_begin();
	serve(strncmp(w.target, "/v1/rain", 8) == 0 ? &rain : &core, &w, arena);
	arena_reset(arena);
	for (unsigned i = 0; i < w.made_count; i++)
		free(w.made[i]);
	free(text);
	return 0;
}
