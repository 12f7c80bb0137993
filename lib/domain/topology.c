/* Every group is held to its list of names, and the whole to the rules of topology.h, before anyone
 * sees it: a slot that two cells believe to own would split the money of its users. */
#include "domain/topology.h"
#include "base/cfg.h"
#include "base/parse.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TOPOLOGY_PORTS_MAX =
		TOPOLOGY_CELLS_MAX * TOPOLOGY_MEMBERS_MAX * (3 + 3 * TOPOLOGY_PROGRAMS_MAX) +
		TOPOLOGY_MQ_MAX + 4 * TOPOLOGY_NGINX_MAX + 1,
};

typedef struct {
	const char *path;
	char *why;
	topology_t *t;
	struct {
		const char *host;
		uint16_t port;
	} used[TOPOLOGY_PORTS_MAX];
	unsigned used_count;
} topology_reader;

typedef enum { TOPOLOGY_TEXT, TOPOLOGY_PORT, TOPOLOGY_OTHER } topology_type;

/* One name of a group: text of `room` bytes or a port, at `offset` of the struct; OTHER is read by
 * a function of its own. */
typedef struct {
	const char *name;
	topology_type type;
	bool required;
	size_t offset, room;
} topology_field;

#define TOPOLOGY_F_TEXT(name, type, member)                                                        \
	{                                                                                          \
		name, TOPOLOGY_TEXT, true, offsetof(type, member), sizeof(((type *)0)->member)     \
	}
#define TOPOLOGY_F_OPTIONAL(name, type, member)                                                    \
	{                                                                                          \
		name, TOPOLOGY_TEXT, false, offsetof(type, member), sizeof(((type *)0)->member)    \
	}
#define TOPOLOGY_F_PORT(name, required, type, member)                                              \
	{                                                                                          \
		name, TOPOLOGY_PORT, required, offsetof(type, member), 0                           \
	}
#define TOPOLOGY_F_OTHER(name, required)                                                           \
	{                                                                                          \
		name, TOPOLOGY_OTHER, required, 0, 0                                               \
	}
#define TOPOLOGY_COUNT(rows) (sizeof(rows) / sizeof(*(rows)))

static const topology_field topology_root_fields[] = {
	TOPOLOGY_F_OTHER("sites", true),
	TOPOLOGY_F_OTHER("mq", true),
	TOPOLOGY_F_TEXT("etcd", topology_t, etcd),
	TOPOLOGY_F_OTHER("nginx", true),
	TOPOLOGY_F_OTHER("finance", true),
	TOPOLOGY_F_OTHER("cells", true),
};
static const topology_field topology_site_fields[] = {
	TOPOLOGY_F_TEXT("name", topology_site, name),
	TOPOLOGY_F_OPTIONAL("fence", topology_site, fence),
	TOPOLOGY_F_OPTIONAL("run", topology_site, run),
};
static const topology_field topology_mq_fields[] = {
	TOPOLOGY_F_TEXT("host", topology_mq, host),
	TOPOLOGY_F_PORT("port", true, topology_mq, port),
};
static const topology_field topology_nginx_fields[] = {
	TOPOLOGY_F_TEXT("site", topology_nginx, site),
	TOPOLOGY_F_TEXT("host", topology_nginx, host),
	TOPOLOGY_F_PORT("front_port", true, topology_nginx, front_port),
	TOPOLOGY_F_PORT("ops_port", true, topology_nginx, ops_port),
	TOPOLOGY_F_PORT("internal_port", true, topology_nginx, internal_port),
	TOPOLOGY_F_PORT("finance_port", true, topology_nginx, finance_port),
};
static const topology_field topology_finance_fields[] = {
	TOPOLOGY_F_TEXT("host", topology_t, finance_host),
	TOPOLOGY_F_PORT("fcgi_port", true, topology_t, finance_port),
};
static const topology_field topology_cell_fields[] = {
	TOPOLOGY_F_TEXT("name", topology_cell, name),
	TOPOLOGY_F_OTHER("number", true),
	TOPOLOGY_F_OTHER("slots", true),
	TOPOLOGY_F_TEXT("active", topology_cell, active),
	TOPOLOGY_F_OTHER("members", true),
};
static const topology_field topology_member_fields[] = {
	TOPOLOGY_F_TEXT("site", topology_member, site),
	TOPOLOGY_F_TEXT("host", topology_member, host),
	TOPOLOGY_F_PORT("mysql_port", true, topology_member, mysql_port),
	TOPOLOGY_F_PORT("mysql_extra_port", false, topology_member, mysql_extra_port),
	TOPOLOGY_F_PORT("memcached_port", false, topology_member, memcached_port),
	TOPOLOGY_F_OTHER("core_ports", false),
	TOPOLOGY_F_OTHER("query_ports", false),
	TOPOLOGY_F_OTHER("rain_ports", false),
};

static err_t topology_read_text(
	topology_reader *rd, const config_setting_t *s, char *out, size_t room)
{
	const char *text = config_setting_get_string(s);

	if (!text || !*text || strlen(text) >= room)
		return cfg_fail(rd->why, rd->path, s, "%s must be a string of 1..%zu bytes",
			config_setting_name(s), room - 1);
	memcpy(out, text, strlen(text) + 1);
	return ERR_OK;
}

static err_t topology_read_port(topology_reader *rd, const config_setting_t *s, uint16_t *out)
{
	int64_t v;

	if (!cfg_int(s, 1, 65535, &v))
		return cfg_fail(rd->why, rd->path, s, "a port must be an integer in 1..65535");
	*out = (uint16_t)v;
	return ERR_OK;
}

/* Refuses names that are not among the rows, and the absence of those required; fills `into`. */
static err_t topology_read_group(topology_reader *rd, const config_setting_t *group,
	const topology_field *rows, size_t n, void *into)
{
	err_t e = ERR_OK;

	if (!config_setting_is_group(group))
		return cfg_fail(rd->why, rd->path, group, "must be a group { … }");
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		size_t row = 0;

		while (row < n && strcmp(rows[row].name, config_setting_name(s)) != 0)
			row++;
		if (row == n)
			return cfg_fail(rd->why, rd->path, s, "%s is not known here",
				config_setting_name(s));
	}
	for (size_t i = 0; i < n && !e; i++) {
		const config_setting_t *s = config_setting_get_member(group, rows[i].name);
		char *at = (char *)into + rows[i].offset;

		if (!s && rows[i].required)
			e = cfg_fail(rd->why, rd->path, group, "%s is missing", rows[i].name);
		else if (s && rows[i].type == TOPOLOGY_TEXT)
			e = topology_read_text(rd, s, at, rows[i].room);
		else if (s && rows[i].type == TOPOLOGY_PORT)
			e = topology_read_port(rd, s, (uint16_t *)(void *)at);
	}
	return e;
}

static err_t topology_use_port(topology_reader *rd, const char *host, uint16_t port)
{
	if (!port)
		return ERR_OK;
	for (unsigned i = 0; i < rd->used_count; i++)
		if (rd->used[i].port == port && !strcmp(rd->used[i].host, host))
			return cfg_fail(rd->why, rd->path, NULL, "%s:%u is used twice", host, port);
	BUG_ON(rd->used_count == TOPOLOGY_PORTS_MAX);
	rd->used[rd->used_count].host = host;
	rd->used[rd->used_count++].port = port;
	return ERR_OK;
}

/* `host` must outlive the reader. */
static err_t topology_read_ports(topology_reader *rd, const config_setting_t *member,
	const char *name, const char *host, uint16_t *out, unsigned *count)
{
	const config_setting_t *s = config_setting_get_member(member, name);
	int n = s ? config_setting_length(s) : 0;
	err_t e = ERR_OK;

	if (s && (!config_setting_is_aggregate(s) || config_setting_is_group(s) ||
			 n > TOPOLOGY_PROGRAMS_MAX))
		return cfg_fail(rd->why, rd->path, s, "%s must be a list of at most %d ports", name,
			TOPOLOGY_PROGRAMS_MAX);
	for (int i = 0; i < n && !e; i++) {
		e = topology_read_port(rd, config_setting_get_elem(s, (unsigned)i), &out[i]);
		if (!e)
			e = topology_use_port(rd, host, out[i]);
	}
	*count = (unsigned)n;
	return e;
}

static err_t topology_read_site(topology_reader *rd, const config_setting_t *s)
{
	topology_site *site = &rd->t->site[rd->t->site_count];
	err_t e = topology_read_group(
		rd, s, topology_site_fields, TOPOLOGY_COUNT(topology_site_fields), site);

	if (e)
		return e;
	if (strspn(site->name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(site->name))
		return cfg_fail(rd->why, rd->path, s, "a site's name is of a-z, 0-9 and -");
	if (topology_site_named(rd->t, site->name))
		return cfg_fail(rd->why, rd->path, s, "site %s is there twice", site->name);
	rd->t->site_count++;
	return ERR_OK;
}

static err_t topology_read_member(topology_reader *rd, topology_cell *c, const config_setting_t *s)
{
	topology_member *m = &c->member[c->member_count];
	err_t e = topology_read_group(
		rd, s, topology_member_fields, TOPOLOGY_COUNT(topology_member_fields), m);

	if (e)
		return e;
	if (!topology_site_named(rd->t, m->site))
		return cfg_fail(rd->why, rd->path, s, "%s is not one of the sites", m->site);
	if (topology_member_at(c, m->site))
		return cfg_fail(
			rd->why, rd->path, s, "cell %s has two members at %s", c->name, m->site);
	e = topology_use_port(rd, m->host, m->mysql_port);
	if (!e)
		e = topology_use_port(rd, m->host, m->mysql_extra_port);
	if (!e)
		e = topology_use_port(rd, m->host, m->memcached_port);
	if (!e)
		e = topology_read_ports(rd, s, "core_ports", m->host, m->core_port, &m->core_count);
	if (!e)
		e = topology_read_ports(
			rd, s, "query_ports", m->host, m->query_port, &m->query_count);
	if (!e)
		e = topology_read_ports(rd, s, "rain_ports", m->host, m->rain_port, &m->rain_count);
	if (!e)
		c->member_count++;
	return e;
}

static err_t topology_read_members(topology_reader *rd, topology_cell *c, const config_setting_t *s)
{
	int n = config_setting_length(s);
	const topology_member *m;
	err_t e;

	if (!config_setting_is_list(s) || n < 2 || n > TOPOLOGY_MEMBERS_MAX)
		return cfg_fail(rd->why, rd->path, s,
			"members must be a list ( … ) of 2..%d: the active one and a replica",
			TOPOLOGY_MEMBERS_MAX);
	for (int i = 0; i < n; i++) {
		e = topology_read_member(rd, c, config_setting_get_elem(s, (unsigned)i));
		if (e)
			return e;
	}
	m = topology_member_at(c, c->active);
	if (!m)
		return cfg_fail(rd->why, rd->path, s, "cell %s has no member at its active site %s",
			c->name, c->active);
	if (!m->memcached_port || !m->core_count || !m->query_count || !m->rain_count)
		return cfg_fail(rd->why, rd->path, s,
			"the active member of cell %s needs memcached_port, core_ports, "
			"query_ports and rain_ports",
			c->name);
	return ERR_OK;
}

static err_t topology_own_slots(topology_reader *rd, const config_setting_t *s, const char *name,
	uint64_t first, uint64_t last)
{
	for (uint64_t slot = first; slot <= last; slot++) {
		int8_t *owner = &rd->t->slot_cell[slot];

		if (*owner >= 0)
			return cfg_fail(rd->why, rd->path, s, "slot %u belongs to %s and to %s",
				(unsigned)slot, rd->t->cell[*owner].name, name);
		*owner = (int8_t)rd->t->cell_count;
	}
	return ERR_OK;
}

/* "0-249,600-700" or single slots. */
static err_t topology_read_slots(
	topology_reader *rd, const topology_cell *c, const config_setting_t *s)
{
	const char *text = config_setting_get_string(s), *p = text;
	err_t e = ERR_OK;

	while (p && !e) {
		size_t len = strcspn(p, ","), dash = strcspn(p, "-,");
		size_t from = dash < len ? dash + 1 : 0;
		uint64_t first, last;

		if (!parse_u64n(p, dash, TOPOLOGY_SLOTS - 1, &first) ||
			!parse_u64n(p + from, len - from, TOPOLOGY_SLOTS - 1, &last) ||
			last < first)
			return cfg_fail(rd->why, rd->path, s,
				"slots must be ranges in 0..999, like \"0-249,600-700\"");
		e = topology_own_slots(rd, s, c->name, first, last);
		p = p[len] ? p + len + 1 : NULL;
	}
	return text || e ? e : cfg_fail(rd->why, rd->path, s, "slots must be a string");
}

static err_t topology_read_cell(topology_reader *rd, const config_setting_t *s)
{
	topology_t *t = rd->t;
	topology_cell *c = &t->cell[t->cell_count];
	const config_setting_t *number;
	int64_t v;
	err_t e = topology_read_group(
		rd, s, topology_cell_fields, TOPOLOGY_COUNT(topology_cell_fields), c);

	if (e)
		return e;
	if (c->name[0] < 'A' || c->name[0] > 'Z')
		return cfg_fail(rd->why, rd->path, s, "a cell's name is one of A-Z");
	number = config_setting_get_member(s, "number");
	if (!cfg_int(number, 1, 99, &v))
		return cfg_fail(rd->why, rd->path, number, "number must be an integer in 1..99");
	c->number = (unsigned)v;
	for (unsigned i = 0; i < t->cell_count; i++)
		if (!strcmp(t->cell[i].name, c->name) || t->cell[i].number == c->number)
			return cfg_fail(rd->why, rd->path, s,
				"cells %s and %s have the same name or number", t->cell[i].name,
				c->name);
	e = topology_read_members(rd, c, config_setting_get_member(s, "members"));
	if (!e)
		e = topology_read_slots(rd, c, config_setting_get_member(s, "slots"));
	if (!e)
		t->cell_count++;
	return e;
}

static err_t topology_check_slots(topology_reader *rd, const config_setting_t *s)
{
	for (unsigned slot = 0; slot < TOPOLOGY_SLOTS; slot++)
		if (rd->t->slot_cell[slot] < 0)
			return cfg_fail(rd->why, rd->path, s, "slot %u belongs to no cell", slot);
	return ERR_OK;
}

static err_t topology_read_mq(topology_reader *rd, const config_setting_t *s)
{
	topology_mq *m = &rd->t->mq[rd->t->mq_count++];
	err_t e = topology_read_group(
		rd, s, topology_mq_fields, TOPOLOGY_COUNT(topology_mq_fields), m);

	return e ? e : topology_use_port(rd, m->host, m->port);
}

static err_t topology_read_nginx(topology_reader *rd, const config_setting_t *s)
{
	topology_nginx *n = &rd->t->nginx[rd->t->nginx_count];
	err_t e = topology_read_group(
		rd, s, topology_nginx_fields, TOPOLOGY_COUNT(topology_nginx_fields), n);

	if (e)
		return e;
	if (!topology_site_named(rd->t, n->site))
		return cfg_fail(rd->why, rd->path, s, "%s is not one of the sites", n->site);
	if (topology_nginx_at(rd->t, n->site))
		return cfg_fail(rd->why, rd->path, s, "there are two nginx at %s", n->site);
	rd->t->nginx_count++;
	e = topology_use_port(rd, n->host, n->front_port);
	if (!e)
		e = topology_use_port(rd, n->host, n->ops_port);
	if (!e)
		e = topology_use_port(rd, n->host, n->internal_port);
	return e ? e : topology_use_port(rd, n->host, n->finance_port);
}

/* A list ( … ) of 1..most groups, each read by `item`. */
static err_t topology_read_list(topology_reader *rd, const config_setting_t *root, const char *name,
	int most, err_t (*item)(topology_reader *rd, const config_setting_t *s))
{
	const config_setting_t *s = config_setting_get_member(root, name);
	int n = config_setting_length(s);
	err_t e = ERR_OK;

	if (!config_setting_is_list(s) || n < 1 || n > most)
		return cfg_fail(
			rd->why, rd->path, s, "%s must be a list ( … ) of 1..%d", name, most);
	for (int i = 0; i < n && !e; i++)
		e = item(rd, config_setting_get_elem(s, (unsigned)i));
	return e;
}

static err_t topology_read_root(topology_reader *rd, const config_setting_t *root)
{
	topology_t *t = rd->t;
	err_t e = topology_read_group(
		rd, root, topology_root_fields, TOPOLOGY_COUNT(topology_root_fields), t);

	if (!e)
		e = topology_read_list(rd, root, "sites", TOPOLOGY_SITES_MAX, topology_read_site);
	if (!e)
		e = topology_read_list(rd, root, "mq", TOPOLOGY_MQ_MAX, topology_read_mq);
	if (!e)
		e = topology_read_list(rd, root, "nginx", TOPOLOGY_NGINX_MAX, topology_read_nginx);
	if (!e)
		e = topology_read_group(rd, config_setting_get_member(root, "finance"),
			topology_finance_fields, TOPOLOGY_COUNT(topology_finance_fields), t);
	if (!e)
		e = topology_use_port(rd, t->finance_host, t->finance_port);
	if (!e)
		e = topology_read_list(rd, root, "cells", TOPOLOGY_CELLS_MAX, topology_read_cell);
	return e ? e : topology_check_slots(rd, config_setting_get_member(root, "cells"));
}

err_t topology_load(const char *path, char why[256], topology_t **out)
{
	topology_reader *rd = calloc(1, sizeof(*rd));
	config_t tree;
	err_t e;

	BUG_ON(!rd);
	rd->path = path;
	rd->why = why;
	rd->t = calloc(1, sizeof(*rd->t));
	BUG_ON(!rd->t);
	memset(rd->t->slot_cell, -1, sizeof(rd->t->slot_cell));
	e = cfg_read(path, why, &tree);
	if (e)
		goto out;
	e = topology_read_root(rd, config_root_setting(&tree));
	config_destroy(&tree);
out:
	if (e)
		topology_free(&rd->t);
	else
		*out = rd->t;
	free(rd);
	return e;
}

void topology_free(topology_t **t)
{
	free(*t);
	*t = NULL;
}

const topology_cell *topology_cell_named(const topology_t *t, const char *name)
{
	for (unsigned i = 0; i < t->cell_count; i++)
		if (!strcmp(t->cell[i].name, name))
			return &t->cell[i];
	return NULL;
}

const topology_cell *topology_cell_of_slot(const topology_t *t, unsigned slot)
{
	BUG_ON(slot >= TOPOLOGY_SLOTS);
	return &t->cell[t->slot_cell[slot]];
}

const topology_member *topology_member_at(const topology_cell *c, const char *site)
{
	for (unsigned i = 0; i < c->member_count; i++)
		if (!strcmp(c->member[i].site, site))
			return &c->member[i];
	return NULL;
}

const topology_site *topology_site_named(const topology_t *t, const char *name)
{
	for (unsigned i = 0; i < t->site_count; i++)
		if (!strcmp(t->site[i].name, name))
			return &t->site[i];
	return NULL;
}

const topology_nginx *topology_nginx_at(const topology_t *t, const char *site)
{
	for (unsigned i = 0; i < t->nginx_count; i++)
		if (!strcmp(t->nginx[i].site, site))
			return &t->nginx[i];
	return NULL;
}
