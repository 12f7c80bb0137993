/* The topology file: one that is right, and what one change makes wrong. */
#include "domain/topology.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"

static const char good[] =
	"sites = ({ name = \"east\"; fence = \"site east fence\"; run = \"site east\"; },\n"
	" { name = \"west\"; }, { name = \"north\"; });\n"
	"mq = ({ host = \"127.0.0.1\"; port = 18020; }, { host = \"127.0.0.2\"; port = 18020; });\n"
	"etcd = \"http://127.0.0.1:18022\";\n"
	"nginx = ({ site = \"east\"; host = \"127.0.0.1\"; front_port = 18000; ops_port = 18001;\n"
	"  internal_port = 18004; finance_port = 18002; },\n"
	" { host = \"127.0.0.2\"; site = \"north\"; front_port = 18000; ops_port = 18001;\n"
	"  internal_port = 18004; finance_port = 18002; });\n"
	"finance = { host = \"127.0.0.1\"; fcgi_port = 18003; };\n"
	"cells = (\n"
	" { name = \"A\"; number = 1; slots = \"0-249,600-999\"; active = \"east\"; members = (\n"
	"  { site = \"east\"; host = \"127.0.0.1\"; mysql_port = 18110; memcached_port = 18111;\n"
	"    core_ports = [18112, 18113]; query_ports = [18116]; rain_ports = [18117]; "
	"},\n"
	"  { site = \"west\"; host = \"127.0.0.1\"; mysql_port = 18120; },\n"
	"  { site = \"north\"; host = \"127.0.0.1\"; mysql_port = 18130; core_ports = []; } ); },\n"
	" { name = \"B\"; number = 2; slots = \"250-598,599\"; active = \"west\"; members = (\n"
	"  { site = \"west\"; host = \"127.0.0.2\"; mysql_port = 18110; memcached_port = 18111;\n"
	"    core_ports = [18112]; query_ports = [18116]; rain_ports = [18117]; },\n"
	"  { site = \"east\"; host = \"127.0.0.2\"; mysql_port = 18120; } ); }\n"
	");\n";

static const char *dir;

static err_t load(const char *text, char why[256], topology_t **t)
{
	return topology_load(files_write(dir, "topology.cfg", 0600, text), why, t);
}

static void a_good_file_is_read(void **state)
{
	const topology_cell *a, *b;
	const topology_member *m;
	char why[256] = "";
	topology_t *t;

	(void)state;
	if (load(good, why, &t))
		fail_msg("%s", why);
	assert_int_equal(t->site_count, 3);
	assert_string_equal(t->site[2].name, "north");
	assert_string_equal(t->site[2].run, "");
	assert_string_equal(topology_site_named(t, "east")->fence, "site east fence");
	assert_string_equal(topology_site_named(t, "east")->run, "site east");
	assert_null(topology_site_named(t, "south"));
	assert_int_equal(t->mq_count, 2);
	assert_string_equal(t->mq[0].host, "127.0.0.1");
	assert_string_equal(t->mq[1].host, "127.0.0.2");
	assert_int_equal(t->mq[1].port, 18020);
	assert_string_equal(t->etcd, "http://127.0.0.1:18022");
	assert_int_equal(t->nginx_count, 2);
	assert_ptr_equal(topology_nginx_at(t, "north"), &t->nginx[1]);
	assert_null(topology_nginx_at(t, "west"));
	assert_string_equal(t->nginx[1].host, "127.0.0.2");
	assert_int_equal(t->nginx[0].front_port, 18000);
	assert_int_equal(t->nginx[0].internal_port, 18004);
	assert_int_equal(t->nginx[0].finance_port, 18002);
	assert_string_equal(t->finance_host, "127.0.0.1");
	assert_int_equal(t->finance_port, 18003);
	a = topology_cell_named(t, "A");
	b = topology_cell_named(t, "B");
	assert_null(topology_cell_named(t, "C"));
	assert_ptr_equal(topology_cell_of_slot(t, 0), a);
	assert_ptr_equal(topology_cell_of_slot(t, 249), a);
	assert_ptr_equal(topology_cell_of_slot(t, 250), b);
	assert_ptr_equal(topology_cell_of_slot(t, 599), b);
	assert_ptr_equal(topology_cell_of_slot(t, 999), a);
	assert_int_equal(b->number, 2);
	m = topology_member_at(a, "east");
	assert_int_equal(m->core_count, 2);
	assert_int_equal(m->core_port[1], 18113);
	assert_int_equal(m->query_port[0], 18116);
	assert_int_equal(m->rain_count, 1);
	assert_int_equal(m->rain_port[0], 18117);
	assert_int_equal(topology_member_at(a, "north")->core_count, 0);
	assert_int_equal(topology_member_at(a, "west")->memcached_port, 0);
	assert_null(topology_member_at(b, "north"));
	topology_free(&t);
	assert_null(t);
}

/* `good` with the first `from` made `to`. */
static char *changed(const char *from, const char *to)
{
	const char *at = strstr(good, from);
	size_t room = sizeof(good) + strlen(to);
	char *text = malloc(room);

	assert_non_null(at);
	snprintf(text, room, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	return text;
}

static void one_change_makes_it_wrong(void **state)
{
	static const struct {
		const char *from, *to, *why;
	} rows[] = {
		{"0-249", "0-250", "slot 250 belongs to A and to B"},
		{"0-249", "1-249", "slot 0 belongs to no cell"},
		{"600-999", "600-1000", "slots must be ranges"},
		{"600-999", "999-600", "slots must be ranges"},
		{"600-999", "600-999,", "slots must be ranges"},
		{"600-999", "600-", "slots must be ranges"},
		{"\"0-249,600-999\"", "5", "slots must be a string"},
		{"number = 2", "number = 1", "same name or number"},
		{"number = 2", "number = 100", "number must be an integer in 1..99"},
		{"name = \"B\"", "name = \"A\"", "same name or number"},
		{"name = \"B\"", "name = \"b\"", "one of A-Z"},
		{"name = \"B\"", "name = \"BB\"", "name must be a string of 1..1 bytes"},
		{"active = \"east\"", "active = \"south\"", "no member at its active site"},
		{"active = \"east\"", "active = \"west\"", "needs memcached_port"},
		{"query_ports = [18116]; rain", "rain", "needs memcached_port"},
		{"rain_ports = [18117]; },\n  { site = \"west\"", "},\n { site = \"west\"",
			"needs memcached_port"},
		{"{ site = \"north\"", "{ site = \"west\"", "two members at west"},
		{"{ site = \"north\"", "{ site = \"south\"", "south is not one of the sites"},
		{"mysql_port = 18120", "mysql_port = 18113", "127.0.0.1:18113 is used twice"},
		{"[18112, 18113]", "[18112, 18112]", "127.0.0.1:18112 is used twice"},
		{"front_port = 18000", "front_port = 18020", "127.0.0.1:18020 is used twice"},
		{"fcgi_port = 18003", "fcgi_port = 18002", "127.0.0.1:18002 is used twice"},
		{"mysql_port = 18120", "mysql_port = 0", "1..65535"},
		{"mysql_port = 18120", "mysql_port = 65536", "1..65535"},
		{"mysql_port = 18120", "mysql_port = \"x\"", "1..65535"},
		{"mysql_port = 18120; }", "}", "mysql_port is missing"},
		{"[18112, 18113]", "18112", "core_ports must be a list"},
		{"[18112, 18113]", "[\"x\"]", "1..65535"},
		{"mysql_port = 18120", "mysq_port = 18120", "mysq_port is not known here"},
		{"etcd =", "etdc =", "etdc is not known here"},
		{"finance = { host = \"127.0.0.1\"; fcgi_port = 18003; };", "",
			"finance is missing"},
		{"mq = ({ host = \"127.0.0.1\"; port = 18020; }, { host = \"127.0.0.2\"; port = "
		 "18020; });",
			"mq = { host = \"127.0.0.1\"; port = 18020; };", "mq must be a list"},
		{"{ host = \"127.0.0.2\"; port = 18020; }",
			"{ host = \"127.0.0.1\"; port = 18020; }", "127.0.0.1:18020 is used twice"},
		{"site = \"north\"; front", "site = \"east\"; front", "two nginx at east"},
		{"site = \"north\"; front", "site = \"south\"; front",
			"south is not one of the sites"},
		{"finance = {", "finance = (1); x = {", "is not known here"},
		{"sites = (", "sites = (); x = (", "is not known here"},
		{"{ name = \"west\"; }, { name = \"north\"; }", "\"west\", \"north\"",
			"must be a group"},
		{"{ name = \"west\"; }", "{ }", "name is missing"},
		{"{ name = \"north\"; }", "{ name = \"east\"; }", "site east is there twice"},
		{"{ name = \"north\"; }", "{ name = \"North\"; }", "a site's name"},
		{"{ name = \"north\"; }", "{ name = \"northnorthnorthn\"; }",
			"name must be a string of 1..15 bytes"},
		{"run = \"site east\"", "run = \"\"", "run must be a string"},
		{"\"http://127.0.0.1:18022\"", "\"\"", "etcd must be a string"},
		{"18020", "4294985316", "needs the suffix L"},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		char *text = changed(rows[i].from, rows[i].to), why[256] = "";
		topology_t *t = NULL;

		if (load(text, why, &t) != ERR_CONFIG_INVALID || t)
			fail_msg("accepted \"%s\"", rows[i].to);
		if (!strstr(why, rows[i].why))
			fail_msg("\"%s\": said \"%s\"", rows[i].to, why);
		free(text);
	}
}

static void a_cell_needs_a_replica(void **state)
{
	char *text =
		changed(",\n  { site = \"east\"; host = \"127.0.0.2\"; mysql_port = 18120; }", "");
	char why[256] = "";
	topology_t *t = NULL;

	(void)state;
	assert_int_equal(load(text, why, &t), ERR_CONFIG_INVALID);
	assert_non_null(strstr(why, "the active one and a replica"));
	free(text);
}

static int setup(void **state)
{
	(void)state;
	dir = files_dir();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	files_remove_dir(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_file_is_read),
		cmocka_unit_test(one_change_makes_it_wrong),
		cmocka_unit_test(a_cell_needs_a_replica),
	};

	return cmocka_run_group_tests_name("topology", tests, setup, teardown);
}
