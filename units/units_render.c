/* hbctl units: what the units of systemd at one site cannot know of themselves, as drop-ins: where sockets listen, how
 * many programs a cell has there, and where its memcached is. The topology says all of it, and nothing else does. */
#include "units/verb.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 768 };

static const char head[] = "# Written by `hbctl units render` from the topology. Never edited.\n";

/* DIR/UNIT.d/topology.conf */
static err_t put_file(const char *dir, const char *unit, const char *text, size_t n)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s.d", dir, unit);
	if (mkdir(path, 0755) != 0 && errno != EEXIST) {
		fprintf(stderr, "hbctl: cannot make %s: %s\n", path, strerror(errno));
		return ERR_CONFIG_INVALID;
	}
	snprintf(path, sizeof(path), "%s/%s.d/topology.conf", dir, unit);
	printf("%s\n", path);
	return verb_write_file(path, text, n);
}

/* The sockets of one kind of program, and the lines about them for the cell's target. */
static err_t put_programs(const char *dir, const topology_cell *cell, const topology_member *m,
	const char *kind, const uint16_t *port, unsigned count, FILE *target)
{
	err_t e = ERR_OK;

	for (unsigned i = 0; i < count && e == ERR_OK; i++) {
		char unit[64], *text = NULL;
		size_t n = 0;
		FILE *to = open_memstream(&text, &n);

		BUG_ON(!to);
		snprintf(unit, sizeof(unit), "hongbao-%s@%s-%u", kind, cell->name, i + 1);
		fprintf(target,
			"Wants=%s.socket %s.service\nPropagatesStopTo=%s.socket %s.service\n", unit,
			unit, unit, unit);
		fprintf(to, "%s[Socket]\nListenStream=%s:%u\n", head, m->host, (unsigned)port[i]);
		BUG_ON(fclose(to) != 0);
		strcat(unit, ".socket");
		e = put_file(dir, unit, text, n);
		free(text);
	}
	return e;
}

static err_t put_cache(const char *dir, const topology_cell *cell, const topology_member *m)
{
	char unit[64], text[512];
	int n = snprintf(text, sizeof(text),
		"%s[Service]\nEnvironment=HB_CACHE_HOST=%s HB_CACHE_PORT=%u\n", head, m->host,
		(unsigned)m->memcached_port);

	BUG_ON(n < 0 || (size_t)n >= sizeof(text));
	snprintf(unit, sizeof(unit), "hongbao-cache@%s.service", cell->name);
	return put_file(dir, unit, text, (size_t)n);
}

static err_t put_cell(const char *dir, const topology_cell *cell, const topology_member *m)
{
	char unit[64], *text = NULL;
	size_t n = 0;
	FILE *target = open_memstream(&text, &n);
	err_t e;

	BUG_ON(!target);
	fprintf(target, "%s[Unit]\n", head);
	e = put_programs(dir, cell, m, "core", m->core_port, m->core_count, target);
	if (e == ERR_OK)
		e = put_programs(dir, cell, m, "query", m->query_port, m->query_count, target);
	if (e == ERR_OK)
		e = put_programs(dir, cell, m, "rain", m->rain_port, m->rain_count, target);
	BUG_ON(fclose(target) != 0);
	snprintf(unit, sizeof(unit), "hongbao-cell@%s.target", cell->name);
	if (e == ERR_OK)
		e = put_file(dir, unit, text, n);
	if (e == ERR_OK)
		e = put_cache(dir, cell, m);
	free(text);
	return e;
}

static err_t render(const char *site, const char *dir)
{
	const topology_t *t = verb_topology();
	err_t e = ERR_OK;

	for (unsigned i = 0; i < t->cell_count && e == ERR_OK; i++) {
		const topology_member *m = topology_member_at(&t->cell[i], site);

		if (m)
			e = put_cell(dir, &t->cell[i], m);
	}
	return e;
}

int units_verb(int argc, char **argv)
{
	static const struct option options[] = {{"site", required_argument, NULL, 's'},
		{"out", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
	const char *site = getenv("HB_SITE"), *dir = "/etc/systemd/system";
	int got;

	while ((got = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (got == 's')
			site = optarg;
		else if (got == 'f')
			dir = optarg;
		else
			return verb_usage("units render --site SITE [--out DIR]");
	}
	if (optind != argc || !site)
		return verb_usage("units render --site SITE [--out DIR]");
	if (!topology_site_named(verb_topology(), site)) {
		fprintf(stderr, "hbctl: there is no site \"%s\"\n", site);
		return VERB_USAGE;
	}
	return render(site, dir) == ERR_OK ? VERB_DONE : VERB_FAILED;
}
