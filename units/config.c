/* hbctl config: what the programs will read, checked before they do. */
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
