/* hbctl config and metrics: tables of the programs, for documents; and hbctl config: what the programs will read, checked before they do. */
#include "base/metrics.h"
#include "units/verb.h"

#include <stdio.h>
#include <string.h>

int config_verb(int argc, char **argv)
{
	if (argc != 1)
		return verb_usage("config check|show|markdown");
	if (!strcmp(argv[0], "markdown")) {
		conf_print_markdown(stdout);
		return VERB_DONE;
	}
	if (!strcmp(argv[0], "show")) {
		conf_print_file(verb_conf(), stdout);
		return VERB_DONE;
	}
	printf("ok: %u cells over %u sites\n", verb_topology()->cell_count,
		verb_topology()->site_count);
	return VERB_DONE;
}

int metrics_verb(int argc, char **argv)
{
	if (argc != 1)
		return verb_usage("metrics markdown|names");
	if (!strcmp(argv[0], "markdown"))
		metrics_print_markdown(stdout);
	else
		metrics_print_names(stdout);
	return VERB_DONE;
}
