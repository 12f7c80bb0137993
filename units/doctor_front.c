/* hbctl doctor: ports, nginx, RabbitMQ, and the versions of all servers. */
#include "units/doctor.h"
#include "units/nginx.h"

#include "domain/program.h"
#include "domain/queue.h"
#include "store/endpoints.h"
#include "store/mq.h"
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WHAT_BYTES = 64, VERSION_BYTES = 64, QUORUM_NODES = 3 };

/* ---- ports ---- */

static bool is_free(const char *host, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	bool ok;

	BUG_ON(fd < 0);
	ok = inet_pton(AF_INET, host, &at.sin_addr) == 1 &&
	     setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	     bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 1) == 0;
	close(fd);
	return ok;
}

static void port(doctor_t *d, const char *host, uint16_t number, const char *cell, const char *site,
	const char *what)
{
	if (number == 0)
		return;
	if (doctor_stopped(d) && !is_free(host, number))
		doctor_bad(d, "%s:%u (%s %s %s) is taken: %s", host, (unsigned)number, what, cell,
			site, strerror(errno));
	if (!doctor_stopped(d) && !doctor_listens(host, number))
		doctor_bad(d, "%s:%u: nobody listens (%s %s %s)", host, (unsigned)number, what,
			cell, site);
}

static void program_ports(doctor_t *d, const topology_cell *cell, const topology_member *m,
	const char *name, const uint16_t *number, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char what[WHAT_BYTES];

		snprintf(what, sizeof(what), "%s %u of", name, i + 1);
		port(d, m->host, number[i], cell->name, m->site, what);
	}
}

static void member_ports(doctor_t *d, const topology_cell *cell, const topology_member *m)
{
	if (!doctor_here(m->host))
		return;
	port(d, m->host, m->mysql_port, cell->name, m->site, "mariadbd of");
	port(d, m->host, m->mysql_extra_port, cell->name, m->site, "mariadbd's extra port of");
	port(d, m->host, m->memcached_port, cell->name, m->site, "memcached of");
	program_ports(d, cell, m, "hb-core", m->core_port, m->core_count);
	program_ports(d, cell, m, "hb-query", m->query_port, m->query_count);
	program_ports(d, cell, m, "hb-rain", m->rain_port, m->rain_count);
}

void doctor_ports(doctor_t *d)
{
	const topology_t *t = verb_topology();

	for (unsigned c = 0; c < t->cell_count; c++)
		for (unsigned i = 0; i < t->cell[c].member_count; i++)
			member_ports(d, &t->cell[c], &t->cell[c].member[i]);
	for (unsigned i = 0; i < t->nginx_count; i++) {
		const topology_nginx *n = &t->nginx[i];

		if (!doctor_here(n->host))
			continue;
		port(d, n->host, n->front_port, "nginx", n->site, "front door of");
		port(d, n->host, n->ops_port, "nginx", n->site, "operations listener of");
		port(d, n->host, n->internal_port, "nginx", n->site, "internal listener of");
		port(d, n->host, n->finance_port, "nginx", n->site, "finance listener of");
	}
}

/* ---- nginx ---- */

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;
	ssize_t n = f ? getdelim(&text, &room, '\0', f) : -1;

	if (f)
		fclose(f);
	if (n >= 0)
		return text;
	free(text);
	return NULL;
}

static void nginx_at(doctor_t *d, const topology_nginx *self)
{
	char path[512], *is, *wanted = NULL;
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/etc/nginx-%s.conf", verb_state(), self->site);
	is = slurp(path);
	if (nginx_text(self, getenv("HB_NGINX_USER"), false, &wanted, &n) != ERR_OK)
		doctor_skip(
			d, "%s: without the control records nobody knows what it must be", path);
	else if (!is)
		doctor_bad(d, "%s cannot be read, or is not there", path);
	else if (strcmp(is, wanted) != 0)
		doctor_bad(d,
			"%s is stale: topology, records, options or template say something else",
			path);
	if (is && !nginx_accepts(path))
		doctor_bad(d, "nginx -t -c %s refuses it", path);
	if (!nginx_running(self))
		doctor_bad(d, "no nginx runs from %s", path);
	free(is);
	free(wanted);
}

void doctor_nginx(doctor_t *d)
{
	const topology_t *t = verb_topology();
	bool any = false;

	for (unsigned i = 0; i < t->nginx_count; i++)
		if (doctor_here(t->nginx[i].host)) {
			any = true;
			nginx_at(d, &t->nginx[i]);
		}
	if (!any)
		doctor_skip(d, "the topology has no nginx at this host");
}

/* ---- RabbitMQ ---- */

static bool mq_start(mq_target *t, mq_t **out)
{
	return verb_secret("mq.hongbao", t->password, sizeof(t->password)) == ERR_OK &&
	       mq_open(t, out) == ERR_OK;
}

/* The workers of transfers let go of their queue while the flag transfer_async is off, those of callbacks when
 * order.by_callback is. */
static void nobody_takes(doctor_t *d, queue_id q, const char *name, uint64_t ready)
{
	if (queue_delays(q))
		return;
	if (q == QUEUE_CALLBACK && !conf_b(verb_conf(), CONF_ORDER_BY_CALLBACK))
		return;
	(q == QUEUE_TRANSFER ? doctor_note : doctor_bad)(d,
		"nobody takes from the queue %s, in which %llu messages are", name,
		(unsigned long long)ready);
}

/* A broker closes the channel with an error's answer, so each error costs the connection. */
static void queue_at(doctor_t *d, mq_target *t, mq_t **mq, const topology_cell *cell, queue_id q)
{
	char name[QUEUE_NAME_BYTES];
	uint64_t ready, consumers;
	err_t e;

	queue_name(q, cell->name, name);
	if (!*mq && !mq_start(t, mq))
		return;
	e = mq_depth(*mq, name, &ready, &consumers);
	if (e == ERR_NOT_FOUND)
		doctor_bad(d, "the queue %s is missing", name);
	else if (e == ERR_OK && consumers == 0)
		nobody_takes(d, q, name, ready);
	/* Whoever declares what exists only compares. */
	if (e == ERR_OK && queue_declare(*mq, verb_conf(), q, cell->name) == ERR_CONFIG_INVALID)
		doctor_bad(d,
			"the queue %s, or %s.parked, is not durable, quorum and bounded as its row "
			"says",
			name, cell->name);
	if (!mq_alive(*mq))
		mq_close(mq);
}

void doctor_rabbitmq(doctor_t *d)
{
	const topology_t *t = verb_topology();
	mq_target all, one;
	mq_t *mq = NULL;

	program_mq_nodes(t, &all);
	for (unsigned i = 0; i < all.nodes; i++) {
		one = all;
		one.node[0] = all.node[i];
		one.nodes = 1;
		if (mq_start(&one, &mq))
			mq_close(&mq);
		else
			doctor_bad(d, "%s:%u does not answer, or refuses %s", all.node[i].host,
				(unsigned)all.node[i].port, all.user);
	}
	if (!mq_start(&all, &mq))
		return;
	/* First parked, into which the others lead. */
	for (unsigned c = 0; c < t->cell_count; c++)
		for (queue_id q = 0; q < QUEUE_COUNT; q++)
			queue_at(d, &all, &mq, &t->cell[c], q);
	mq_close(&mq);
}

static void policy_of(doctor_t *d, const json_t *queue)
{
	const char *name = json_string_value(json_object_get(queue, "name"));
	const char *policy = json_string_value(json_object_get(queue, "policy"));
	const json_t *members = json_object_get(queue, "members");
	const size_t nodes = json_array_size(members);
	const unsigned wanted =
		verb_topology()->mq_count < QUORUM_NODES ? verb_topology()->mq_count : QUORUM_NODES;

	if (!name)
		return;
	if (policy && *policy)
		doctor_bad(d, "the policy %s is laid on the queue %s", policy, name);
	if (members && nodes < wanted)
		doctor_bad(d, "the queue %s is on %zu nodes, of %u", name, nodes, wanted);
}

/* Only rabbitmqctl can tell, on a node and with its cookie: $HB_RABBITMQCTL names another command. */
void doctor_policies(doctor_t *d)
{
	const char *ctl = getenv("HB_RABBITMQCTL");
	char command[512], *text;
	json_t *queues;

	snprintf(command, sizeof(command),
		"timeout 30 %s -q -p hongbao --formatter json list_queues name "
		"policy members 2>/dev/null",
		ctl && *ctl ? ctl : "rabbitmqctl");
	text = doctor_output(command);
	queues = text ? json_loads(text, 0, NULL) : NULL;
	if (!json_is_array(queues))
		doctor_skip(
			d, "rabbitmqctl cannot be asked: run doctor as root on a node of RabbitMQ");
	for (size_t i = 0; i < json_array_size(queues); i++)
		policy_of(d, json_array_get(queues, i));
	json_decref(queues);
	free(text);
}

/* ---- versions ---- */

/* Whether "10.11.3-MariaDB" is "10.11" or newer. */
static bool new_enough(const char *is, const char *least)
{
	for (;;) {
		char *is_end, *least_end;
		const long a = strtol(is, &is_end, 10), b = strtol(least, &least_end, 10);

		if (a != b || *least_end != '.')
			return a >= b;
		if (*is_end != '.')
			return false;
		is = is_end + 1;
		least = least_end + 1;
	}
}

/* `text` has the version behind `before`. */
static void version(doctor_t *d, const char *what, const char *where, const char *text,
	const char *before, const char *least)
{
	const char *at = text ? strstr(text, before) : NULL;
	int n;

	if (!at)
		return; /* that it does not answer is another check's */
	at += strlen(before);
	n = (int)strcspn(at, "\"\r\n ");
	if (!new_enough(at, least))
		doctor_bad(d, "%s at %s is %.*s, at least %s is needed", what, where, n, at, least);
}

static void mariadb_version(
	doctor_t *d, const topology_cell *cell, const topology_member *m, db_t *db)
{
	db_rows_t *rows = NULL;
	char where[WHAT_BYTES];

	snprintf(where, sizeof(where), "%s %s", cell->name, m->site);
	if (db_select(db, SQL_UNITS_SERVER_VERSION, DB_NONE, &rows) != ERR_OK)
		return;
	if (db_rows_next(rows))
		version(d, "MariaDB", where, db_rows_s(rows, 0, NULL), "", "10.11");
	db_rows_free(&rows);
}

static void memcached_versions(doctor_t *d, const topology_cell *cell)
{
	for (unsigned i = 0; i < cell->member_count; i++) {
		const topology_member *m = &cell->member[i];
		char text[VERSION_BYTES];

		if (doctor_ask(m->host, m->memcached_port, "version\r\n", '\n', text, sizeof(text)))
			version(d, "memcached", m->host, text, "VERSION ", "1.6");
	}
}

static void etcd_versions(doctor_t *d)
{
	char host[64], text[1024];
	endpoints_t at;
	unsigned number;

	if (endpoints_read(verb_topology()->etcd, &at) != ERR_OK)
		return;
	for (unsigned i = 0; i < at.count; i++)
		if (sscanf(at.url[i], "http://%63[0-9.]:%u", host, &number) == 2 &&
			doctor_ask(host, (uint16_t)number, "GET /version HTTP/1.0\r\n\r\n", '}',
				text, sizeof(text)))
			version(d, "etcd", at.url[i], text, "\"etcdserver\":\"", "3.4");
}

static void rabbitmq_versions(doctor_t *d)
{
	char text[VERSION_BYTES];
	mq_target all, one;
	mq_t *mq = NULL;

	program_mq_nodes(verb_topology(), &all);
	for (unsigned i = 0; i < all.nodes; i++) {
		one = all;
		one.node[0] = all.node[i];
		one.nodes = 1;
		if (!mq_start(&one, &mq))
			continue;
		mq_server_version(mq, text, sizeof(text));
		version(d, "RabbitMQ", all.node[i].host, text, "", "3.10");
		mq_close(&mq);
	}
}

void doctor_versions(doctor_t *d)
{
	const topology_t *t = verb_topology();
	char *text = doctor_output("nginx -v 2>&1");

	version(d, "nginx", "this host", text, "nginx/", "1.22");
	free(text);
	doctor_members(d, mariadb_version);
	for (unsigned i = 0; i < t->cell_count; i++)
		memcached_versions(d, &t->cell[i]);
	etcd_versions(d);
	rabbitmq_versions(d);
}
