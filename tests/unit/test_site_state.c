/* How a site is, from the files that its programs leave: this test's own name in /proc is what tells those that run. */
#include "base/clk.h"
#include "fcgi/site_state.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"

#define RUNS "test_site_state"

typedef struct {
	program_t p;
	topology_t topo;
	arena_t *arena;
	const char *dir;
	site_state s;
} fixture;

static void as(fixture *f, const char *program, const char *cell, const char *site, int instance)
{
	metrics_owner o = {.instance = instance};

	snprintf(o.program, sizeof(o.program), "%s", program);
	snprintf(o.cell, sizeof(o.cell), "%s", cell);
	snprintf(o.site, sizeof(o.site), "%s", site);
	assert_int_equal(metrics_open(f->dir, &o), ERR_OK);
}

static void active(fixture *f, const char *program, const char *cell, int instance, int64_t age_ms)
{
	as(f, program, cell, "east", instance);
	metrics_set(METRICS_ACTIVE, 0, 1);
	metrics_set(METRICS_EPOCH, 0, 3);
	if (age_ms >= 0)
		metrics_set(METRICS_HEARTBEAT_READ, 0, clk_wall_ms() - age_ms);
}

static bool healthy(fixture *f)
{
	assert_int_equal(site_state_read(&f->p, f->arena, &f->s), ERR_OK);
	return site_state_healthy(&f->s);
}

static int setup(void **state)
{
	static const char *const cells[] = {"A", "B", "C"};
	fixture *f = calloc(1, sizeof(*f));
	char why[256];

	f->dir = files_dir();
	f->arena = arena_new(8 << 20);
	f->topo.cell_count = UNIT_COUNT(cells);
	for (unsigned i = 0; i < UNIT_COUNT(cells); i++) {
		snprintf(f->topo.cell[i].name, sizeof(f->topo.cell[i].name), "%s", cells[i]);
		f->topo.cell[i].member_count = 1;
		snprintf(f->topo.cell[i].member[0].site, sizeof(f->topo.cell[i].member[0].site),
			"%s", i == 2 ? "west" : "east");
	}
	f->p.topo = &f->topo;
	snprintf(f->p.site, sizeof(f->p.site), "east");
	assert_int_equal(conf_load(NULL, why, &f->p.conf), ERR_OK);
	assert_int_equal(conf_set(f->p.conf, "paths.metrics", f->dir, why), ERR_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture *f = *state;

	files_remove_dir(f->dir);
	arena_free(&f->arena);
	conf_free(&f->p.conf);
	free(f);
	return 0;
}

static void a_site_of_standbys_is_well(void **state)
{
	fixture *f = *state;

	as(f, RUNS, "A", "east", 1);
	metrics_set(METRICS_ACTIVE, 0, 0);
	assert_true(healthy(f));
	assert_int_equal(f->s.count, 2); /* C has no member here */
	assert_int_equal(f->s.cell[0].up, 1);
	assert_false(f->s.cell[0].active);
}

static void one_cell_that_is_not_served_is_the_sites_trouble(void **state)
{
	fixture *f = *state;

	active(f, RUNS, "A", 1, 100);
	active(f, RUNS, "B", 1, 100);
	assert_true(healthy(f));
	active(f, RUNS, "B", 1, 60000);
	assert_false(healthy(f));
	assert_true(f->s.cell[0].fresh);
	assert_false(f->s.cell[1].fresh);
	active(f, RUNS, "B", 2, 100); /* another hb-query of it serves */
	assert_true(healthy(f));
}

static void what_other_sites_do_in_the_same_folder_is_not_ours(void **state)
{
	fixture *f = *state;

	active(f, RUNS, "A", 1, 100);
	as(f, RUNS, "A", "west", 1);
	metrics_set(METRICS_ACTIVE, 0, 1);
	metrics_set(METRICS_OUTBOX_ROWS, 0, 7);
	assert_true(healthy(f));
	assert_int_equal(f->s.cell[0].up, 1);
	assert_false(f->s.cell[0].shown[SITE_STATE_OUTBOX_ROWS]);
}

/* Who only asks what runs would take it for a standby. */
static void a_cell_whose_programs_all_died_is_not_well(void **state)
{
	fixture *f = *state;

	active(f, RUNS, "A", 1, 100);
	active(f, "hb-core", "B", 1, -1);
	active(f, "hb-query", "B", 1, 100);
	assert_false(healthy(f));
	assert_int_equal(f->s.cell[1].up, 0);
	assert_int_equal(f->s.cell[1].down, 2);
	assert_string_equal(f->s.cell[1].down_name[0], "hb-core 1");
}

static void gauges_of_several_programs_are_one(void **state)
{
	fixture *f = *state;
	char json[8192];
	jw_t w;

	active(f, RUNS, "A", 1, 100);
	metrics_set(METRICS_BREAKER_OPEN, 3, 1);
	metrics_set(METRICS_FLAG_OFF, 2, 20);
	active(f, RUNS, "A", 2, -1);
	metrics_set(METRICS_BREAKER_OPEN, 3, 2);
	metrics_set(METRICS_FLAG_OFF, 2, 100);
	metrics_set(METRICS_OUTBOX_AGE, 0, 1234);
	active(f, "hb-worker-gone", "A", 1, -1);
	metrics_set(METRICS_ALERTS_WAITING, 0, 9);
	assert_true(healthy(f));
	jw_start_fixed(&w, json, sizeof(json));
	jw_obj(&w, NULL);
	site_state_write(&f->s.cell[0], &w);
	jw_obj_end(&w);
	assert_true(jw_end(&w) > 0);
	static const char *const parts[] = {
		"{\"cell\":\"A\",\"active\":true,\"served\":true,\"epoch\":3,\"programs_up\":2,"
		"\"programs_down\":1,\"down\":[\"hb-worker-gone 1\"],",
		"\"webhook\":0,\"finance\":3}", "\"claim\":100,", "\"outbox_oldest_ms\":1234"};
	for (size_t i = 0; i < UNIT_COUNT(parts); i++)
		if (!strstr(json, parts[i]))
			fail_msg("%s is not in %s", parts[i], json);
	assert_null(strstr(json, "alerts_waiting"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_site_of_standbys_is_well, setup, teardown),
		cmocka_unit_test_setup_teardown(
			one_cell_that_is_not_served_is_the_sites_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_other_sites_do_in_the_same_folder_is_not_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_cell_whose_programs_all_died_is_not_well, setup, teardown),
		cmocka_unit_test_setup_teardown(
			gauges_of_several_programs_are_one, setup, teardown),
	};

	return cmocka_run_group_tests_name("site_state", tests, NULL, NULL);
}
