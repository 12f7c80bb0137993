/* A door that was not told leads to where a cell was for as long as its nginx lives, for only one that is started
 * renders by itself. So whoever could not tell one says it, and a site that is brought back is told again. */
#include "units/doors.h"

#include "units/verb.h"

#include <stdio.h>

enum { RELOAD_MS = 8000 };

static void begin(const char *at, site_job *job)
{
	static const char *const args[] = {"nginx", NULL};
	const topology_site *site = topology_site_named(verb_topology(), at);

	site_begin(site, site->run, args, job);
}

static bool end(const char *at, site_job *job)
{
	if (site_end(job, RELOAD_MS))
		return true;
	fprintf(stderr,
		"hbctl: the nginx at %s was not reloaded: if it runs, it leads to where cells "
		"were.\nNext: once %s can be reached, hbctl nginx reload\n",
		at, at);
	return false;
}

void doors_begin(doors_t *d)
{
	const topology_t *t = verb_topology();

	for (unsigned i = 0; i < t->nginx_count; i++)
		begin(t->nginx[i].site, &d->job[i]);
}

unsigned doors_end(doors_t *d)
{
	const topology_t *t = verb_topology();
	unsigned reloaded = 0;

	for (unsigned i = 0; i < t->nginx_count; i++)
		if (end(t->nginx[i].site, &d->job[i]))
			reloaded++;
	return reloaded;
}

void doors_reload_at(const char *site)
{
	site_job job;

	if (!topology_nginx_at(verb_topology(), site))
		return;
	begin(site, &job);
	(void)end(site, &job);
}
