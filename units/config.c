/* hbctl config, metrics and capacity: tables of the programs, for documents; and what the programs will
 * read, checked before they do. */
#include "base/metrics.h"
#include "domain/capacity.h"
#include "domain/db_users.h"
#include "units/verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What an installation needs that the defaults do not give: where things are. */
static const struct {
	const char *option, *value;
} installed[] = {
	{"paths.topology", "/etc/hongbao/topology.cfg"},
	{"paths.secrets", "/etc/hongbao/secrets"},
	{"paths.metrics", "/var/lib/hongbao/metrics"},
	{"paths.wins", "/var/lib/hongbao/data/wins"},
	{"recon.folder", "/var/lib/hongbao/data/recon"},
	{"age.folder", "/var/lib/hongbao/data/age"},
	{"http.front_url", "https://hongbao.example"},
	{"finance.url", "https://finance.example"},
};

static int print_example(void)
{
	char why[256];
	conf_t *c;

	BUG_ON(conf_load(NULL, why, &c) != ERR_OK);
	for (unsigned i = 0; i < sizeof(installed) / sizeof(*installed); i++)
		BUG_ON(conf_set(c, installed[i].option, installed[i].value, why) != ERR_OK);
	conf_print_example(c, stdout);
	conf_free(&c);
	return VERB_DONE;
}

int config_verb(int argc, char **argv)
{
	if (argc != 1)
		return verb_usage("config check|example|show|markdown");
	if (!strcmp(argv[0], "example"))
		return print_example();
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

/* With the defaults, as they stand in docs/. */
static int capacity_markdown(void)
{
	char why[256];
	conf_t *c;
	const err_t e = conf_load(NULL, why, &c);

	if (e != ERR_OK)
		return verb_fail(e, "the defaults");
	capacity_print_markdown(c, stdout);
	conf_free(&c);
	return VERB_DONE;
}

/* For the script that makes a member's data: what its users.sql.in leaves open. */
static int capacity_users(void)
{
	for (unsigned i = 0; i < DB_USERS_COUNT; i++)
		printf("s|@connections\\.%s@|%" PRId64 "|g\n", db_users_name((db_users_id)i),
			db_users_given(verb_conf(), verb_topology(), (db_users_id)i));
	return VERB_DONE;
}

int capacity_verb(int argc, char **argv)
{
	if (argc != 1)
		return verb_usage("capacity show|config|check|users|markdown");
	if (!strcmp(argv[0], "markdown"))
		return capacity_markdown();
	if (!strcmp(argv[0], "check"))
		return capacity_check(verb_conf(), verb_topology(), stdout) ? VERB_DONE
									    : VERB_DIFFERENCES;
	if (!strcmp(argv[0], "users"))
		return capacity_users();
	if (!strcmp(argv[0], "config"))
		capacity_print_config(verb_conf(), stdout);
	else
		capacity_print_markdown(verb_conf(), stdout);
	return VERB_DONE;
}
