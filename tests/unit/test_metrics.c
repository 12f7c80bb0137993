/* Counting, the files, and their rendering. */
#include "base/metrics.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"
#include <pthread.h>

static const char *dir;

static err_t open_as(const char *program, const char *cell, int instance)
{
	metrics_owner owner = {.site = "east", .instance = instance};

	snprintf(owner.program, sizeof(owner.program), "%s", program);
	snprintf(owner.cell, sizeof(owner.cell), "%s", cell);
	return metrics_open(dir, &owner);
}

static char *rendered(void)
{
	char *text = NULL;
	size_t len = 0;

	assert_int_equal(metrics_render(dir, &text, &len), ERR_OK);
	assert_int_equal(strlen(text), len);
	return text;
}

static void has(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("missing: %s", line);
}

static void counts_without_a_file(void **state)
{
	(void)state;
	METRICS_INC(CLAIMS);
	metrics_add(METRICS_CLAIMS, 8, 5);
	assert_int_equal(metrics_get(METRICS_CLAIMS, 0), 1);
	assert_int_equal(metrics_get(METRICS_CLAIMS, 8), 5);
}

static void every_program_of_the_site_is_shown(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(open_as("test_metrics", "A", 1), ERR_OK);
	METRICS_INC(CLAIMS);
	metrics_set(METRICS_LANES, 0, 17);
	assert_int_equal(open_as("hb-worker", "B", 2), ERR_OK);
	metrics_add(METRICS_SWEPT, 3, 4);
	text = rendered();
	has(text, "# HELP hb_claims_total Claims answered, by outcome\n"
		  "# TYPE hb_claims_total counter\n");
	has(text, "\nhb_claims_total{program=\"test_metrics\",cell=\"A\",site=\"east\",instance="
		  "\"1\","
		  "outcome=\"claimed\"} 1\n");
	has(text, "outcome=\"failed\"} 0\n");
	has(text, "\nhb_claim_lanes{program=\"test_metrics\",cell=\"A\",site=\"east\",instance="
		  "\"1\"} "
		  "17\n");
	has(text, "\nhb_swept_total{program=\"hb-worker\",cell=\"B\",site=\"east\",instance=\"2\","
		  "kind=\"refund\"} 4\n");
	free(text);
}

/* The test's own name in /proc is what tells a program that runs from one that is gone. */
static void a_program_that_is_gone_is_down_and_shows_no_gauges(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(open_as("hb-gone", "A", 1), ERR_OK);
	metrics_set(METRICS_LANES, 0, 3);
	METRICS_INC(REPLAYS);
	assert_int_equal(open_as("test_metrics", "B", 1), ERR_OK);
	metrics_set(METRICS_OUTBOX_AGE, 0, -1234);
	metrics_show(METRICS_BREAKER_OPEN);
	metrics_set(METRICS_EXCESS, 0, 5);
	metrics_forget(METRICS_EXCESS);
	metrics_set(METRICS_ORDERS, 1, 7);
	text = rendered();
	has(text, "\nhb_up{program=\"hb-gone\",cell=\"A\",site=\"east\",instance=\"1\"} 0\n");
	has(text, "\nhb_up{program=\"test_metrics\",cell=\"B\",site=\"east\",instance=\"1\"} 1\n");
	assert_null(strstr(text, "hb_claim_lanes{program=\"hb-gone\""));
	has(text, "hb_idempotent_replays_total{program=\"hb-gone\"");
	has(text, "hb_outbox_oldest_seconds{program=\"test_metrics\",cell=\"B\",site=\"east\","
		  "instance=\"1\"} -1.234\n");
	has(text, "instance=\"1\",dependency=\"memcached\"} 0\n");
	has(text, "instance=\"1\",kind=\"packet\",state=\"open\"} 7\n");
	assert_null(strstr(text, "hb_conservation_excess_fen{"));
	assert_null(
		strstr(text, "hb_idempotent_replays_total{program=\"test_metrics\",cell=\"B\""));
	free(text);
}

static void sizes_are_counted_whole(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(open_as("hb-sizes", "A", 0), ERR_OK);
	for (int n = 1; n <= 128; n++)
		metrics_observe_n(METRICS_CLAIM_BATCH_SIZE, n);
	text = rendered();
	has(text, "# TYPE hb_claim_batch_size histogram\n");
	has(text, "instance=\"0\",le=\"1\"} 1\n");
	has(text, "instance=\"0\",le=\"5\"} 5\n");
	has(text, "instance=\"0\",le=\"96\"} 96\n");
	has(text, "instance=\"0\",le=\"112\"} 112\n");
	has(text, "hb_claim_batch_size_sum{program=\"hb-sizes\",cell=\"A\",site=\"east\",instance="
		  "\"0\"} 8256\n");
	free(text);
}

static void a_restart_keeps_counters_and_forgets_gauges(void **state)
{
	(void)state;
	assert_int_equal(open_as("hb-core", "A", 9), ERR_OK);
	metrics_add(METRICS_CLAIMS, 0, 3);
	metrics_set(METRICS_LANES, 0, 17);
	assert_int_equal(open_as("hb-core", "A", 8), ERR_OK);
	assert_int_equal(metrics_get(METRICS_CLAIMS, 0), 0);
	assert_int_equal(open_as("hb-core", "A", 9), ERR_OK);
	assert_int_equal(metrics_get(METRICS_CLAIMS, 0), 3);
	assert_int_equal(metrics_get(METRICS_LANES, 0), 0);
}

static void files_of_another_layout_are_skipped_and_replaced(void **state)
{
	char *text;
	int fd;

	(void)state;
	assert_int_equal(open_as("hb-old", "A", 0), ERR_OK);
	fd = open(files_path(dir, "hb-old.A.east.0"), O_RDWR);
	assert_int_equal(pwrite(fd, "x", 1, 8), 1); /* the layout's hash */
	close(fd);
	files_write(dir, "junk", 0600, "junk");
	assert_int_equal(open_as("hb-new", "A", 0), ERR_OK);
	text = rendered();
	has(text, "hb-new");
	assert_null(strstr(text, "hb-old"));
	free(text);
	assert_int_equal(open_as("hb-old", "A", 0), ERR_OK);
	METRICS_INC(CLAIMS);
	text = rendered();
	has(text, "hb_claims_total{program=\"hb-old\",cell=\"A\",site=\"east\",instance=\"0\","
		  "outcome=\"claimed\"} 1\n");
	free(text);
}

static void a_bucket_holds_what_its_bound_says(void **state)
{
	static const int64_t us[] = {
		0, 64, 65, 256, 257, 320, 321, 8388608, 8388609, INT64_C(1) << 40};
	static const char *const lines[] = {"le=\"0.000064\"} 2\n", "le=\"0.000128\"} 3\n",
		"le=\"0.000256\"} 4\n", "le=\"0.000320\"} 6\n", "le=\"0.000384\"} 7\n",
		"le=\"7.340032\"} 7\n", "le=\"+Inf\"} 10\n"};
	char *text;

	(void)state;
	assert_int_equal(open_as("hb-hist", "A", 0), ERR_OK);
	for (size_t i = 0; i < UNIT_COUNT(us); i++)
		metrics_observe_us(METRICS_HTTP_SECONDS, us[i]);
	assert_int_equal(metrics_get(METRICS_HTTP_SECONDS, 0), UNIT_COUNT(us));
	text = rendered();
	has(text, "# TYPE hb_http_request_seconds histogram\n");
	for (size_t i = 0; i < UNIT_COUNT(lines); i++) {
		char line[128];

		snprintf(line, sizeof(line),
			"hb_http_request_seconds_bucket{program=\"hb-hist\",cell=\"A\","
			"site=\"east\",instance=\"0\",%s",
			lines[i]);
		has(text, line);
	}
	has(text, "hb_http_request_seconds_sum{program=\"hb-hist\",cell=\"A\",site=\"east\","
		  "instance=\"0\"} "
		  "1099528.406276\n");
	has(text, "hb_http_request_seconds_count{program=\"hb-hist\",cell=\"A\",site=\"east\","
		  "instance=\"0\"} "
		  "10\n");
	free(text);
}

static void *add_many(void *arg)
{
	for (int i = 0; i < 10000; i++) {
		METRICS_INC(CLAIMS);
		metrics_observe_us(METRICS_HTTP_SECONDS, i);
	}
	return arg;
}

static void threads_lose_no_count(void **state)
{
	pthread_t t[4];

	(void)state;
	assert_int_equal(open_as("hb-threads", "A", 0), ERR_OK);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, add_many, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(metrics_get(METRICS_CLAIMS, 0), 40000);
	assert_int_equal(metrics_get(METRICS_HTTP_SECONDS, 0), 40000);
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
		cmocka_unit_test(counts_without_a_file),
		cmocka_unit_test(every_program_of_the_site_is_shown),
		cmocka_unit_test(a_program_that_is_gone_is_down_and_shows_no_gauges),
		cmocka_unit_test(sizes_are_counted_whole),
		cmocka_unit_test(a_restart_keeps_counters_and_forgets_gauges),
		cmocka_unit_test(files_of_another_layout_are_skipped_and_replaced),
		cmocka_unit_test(a_bucket_holds_what_its_bound_says),
		cmocka_unit_test(threads_lose_no_count),
	};

	return cmocka_run_group_tests_name("metrics", tests, setup, teardown);
}
