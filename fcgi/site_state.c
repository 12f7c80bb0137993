/* Gauges of programs that are gone are left out, as on /metrics, but for one: a cell whose programs all
 * died here is still active here, and that it is not served must not look like a standby's rest. */
#include "fcgi/site_state.h"
#include "fcgi/fresh.h"
#include <string.h>

static const struct {
	metrics_id id;
	const char *key;
	bool most;
} gauges[] = {
#define GAUGE(id, key, most) {METRICS_##id, key, most},
	SITE_STATE_GAUGES
#undef GAUGE
};

typedef struct {
	const program_t *p;
	arena_t *arena;
	site_state *s;
} reading;

static site_state_cell *cell_of(const reading *r, const metrics_owner *owner)
{
	for (unsigned i = 0; strcmp(owner->site, r->p->site) == 0 && i < r->s->count; i++)
		if (strcmp(r->s->cell[i].cell, owner->cell) == 0)
			return &r->s->cell[i];
	return NULL;
}

static void take_gauge(site_state_cell *c, unsigned g, const metrics_file *f)
{
	for (unsigned l = 0; l < METRICS_LABELS_MAX; l++) {
		const int64_t v = metrics_of(f, gauges[g].id, l);
		int64_t *at = &c->gauge[g][l];

		if (!gauges[g].most)
			*at += v;
		else if (!c->shown[g] || v > *at)
			*at = v;
	}
	c->shown[g] = true;
}

static void take_running(const reading *r, site_state_cell *c, const metrics_file *f)
{
	const int64_t stale_ms = conf_i(r->p->conf, CONF_HEARTBEAT_STALE_MS);

	c->up++;
	if (metrics_of(f, METRICS_EPOCH, 0) > c->epoch)
		c->epoch = metrics_of(f, METRICS_EPOCH, 0);
	if (metrics_of(f, METRICS_ACTIVE, 0) && metrics_shows(f, METRICS_HEARTBEAT_READ) &&
		fresh_at(metrics_of(f, METRICS_HEARTBEAT_READ, 0), stale_ms))
		c->fresh = true;
	for (unsigned g = 0; g < SITE_STATE_COUNT; g++)
		if (metrics_shows(f, gauges[g].id))
			take_gauge(c, g, f);
}

static void take(void *ctx, const metrics_owner *owner, const metrics_file *f, bool runs)
{
	const reading *r = ctx;
	site_state_cell *c = cell_of(r, owner);

	if (!c)
		return;
	if (metrics_of(f, METRICS_ACTIVE, 0))
		c->active = true;
	if (runs) {
		take_running(r, c, f);
		return;
	}
	if (c->down < SITE_STATE_DOWN_MAX)
		c->down_name[c->down] = arena_printf(
			r->arena, "%s %lld", owner->program, (long long)owner->instance);
	c->down++;
}

err_t site_state_read(const program_t *p, arena_t *a, site_state *out)
{
	reading r = {.p = p, .arena = a, .s = out};

	out->cell = arena_alloc(a, p->topo->cell_count * sizeof(*out->cell));
	out->count = 0;
	for (unsigned i = 0; i < p->topo->cell_count; i++)
		if (topology_member_at(&p->topo->cell[i], p->site))
			out->cell[out->count++].cell = p->topo->cell[i].name;
	return metrics_each(conf_s(p->conf, CONF_METRICS_DIR), take, &r);
}

bool site_state_healthy(const site_state *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->cell[i].active && !s->cell[i].fresh)
			return false;
	return true;
}

static void write_gauge(const site_state_cell *c, unsigned g, jw_t *w)
{
	char name[64];

	metrics_label(gauges[g].id, 0, name);
	if (!*name) {
		jw_i64(w, gauges[g].key, c->gauge[g][0]);
		return;
	}
	jw_obj(w, gauges[g].key);
	for (unsigned l = 0; l < METRICS_LABELS_MAX && *name; l++) {
		jw_i64(w, name, c->gauge[g][l]);
		metrics_label(gauges[g].id, l + 1, name);
	}
	jw_obj_end(w);
}

void site_state_write(const site_state_cell *c, jw_t *w)
{
	jw_str(w, "cell", c->cell);
	jw_bool(w, "active", c->active);
	jw_bool(w, "served", c->active && c->fresh);
	jw_i64(w, "epoch", c->epoch);
	jw_i64(w, "programs_up", c->up);
	jw_i64(w, "programs_down", c->down);
	jw_arr(w, "down");
	for (unsigned i = 0; i < c->down && i < SITE_STATE_DOWN_MAX; i++)
		jw_str(w, NULL, c->down_name[i]);
	jw_arr_end(w);
	for (unsigned g = 0; g < SITE_STATE_COUNT; g++)
		if (c->shown[g])
			write_gauge(c, g, w);
}
