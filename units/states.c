/* hbctl states: the tables of the orders' states, drawn or written down for docs/. */
#include "units/verb.h"

#include "domain/states.h"
#include <string.h>

int states_verb(int argc, char **argv)
{
	if (argc != 1)
		return verb_usage("states --dot|--markdown");
	if (!strcmp(argv[0], "--dot"))
		states_print_dot(stdout);
	else
		states_print_markdown(stdout);
	return VERB_DONE;
}
