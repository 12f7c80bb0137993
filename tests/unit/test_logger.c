/* Lines as they arrive at stderr, read back by jansson. */
#include "base/logger.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"
#include <jansson.h>
#include <pthread.h>

static const char *dir;

/* Runs `fn` with stderr in a file; returns the text. */
static char *logged(void (*fn)(void))
{
	const char *path = files_write(dir, "log", 0600, "");
	int saved = dup(STDERR_FILENO), fd = open(path, O_RDWR | O_APPEND);
	char *text = calloc(1, 1 << 20);

	dup2(fd, STDERR_FILENO);
	fn();
	dup2(saved, STDERR_FILENO);
	assert_true(pread(fd, text, (1 << 20) - 1, 0) >= 0);
	close(saved);
	close(fd);
	return text;
}

static json_t *only_line(char *text)
{
	char *end = strchr(text, '\n');
	json_error_t why;
	json_t *line;

	assert_non_null(end);
	assert_int_equal(end[1], 0);
	line = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	if (!line)
		fail_msg("%s: %s", why.text, text);
	free(text);
	return line;
}

static void write_all_fields(void)
{
	trace_begin("req-1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
	LOG(WARN, "test.event", {"s", LOG_S("a\"b\n")}, {"none", LOG_S(NULL)}, {"i", LOG_I(-5)},
		{"u", LOG_U(7)}, {"e", LOG_E(ERR_PACKET_BUSY)});
	trace_end();
}

static void a_line_has_every_field(void **state)
{
	json_t *l;

	(void)state;
	logger_init("hb-test", "A", 3, LOGGER_INFO);
	logger_set_epoch(4);
	l = only_line(logged(write_all_fields));
	assert_int_equal(strlen(json_string_value(json_object_get(l, "ts"))), 24);
	assert_string_equal(json_string_value(json_object_get(l, "level")), "warn");
	assert_string_equal(json_string_value(json_object_get(l, "program")), "hb-test");
	assert_string_equal(json_string_value(json_object_get(l, "cell")), "A");
	assert_int_equal(json_integer_value(json_object_get(l, "instance")), 3);
	assert_string_equal(json_string_value(json_object_get(l, "event")), "test.event");
	assert_string_equal(json_string_value(json_object_get(l, "request_id")), "req-1");
	assert_string_equal(json_string_value(json_object_get(l, "trace_id")),
		"4bf92f3577b34da6a3ce929d0e0e4736");
	assert_int_equal(json_integer_value(json_object_get(l, "epoch")), 4);
	assert_string_equal(json_string_value(json_object_get(l, "s")), "a\"b\n");
	assert_true(json_is_null(json_object_get(l, "none")));
	assert_int_equal(json_integer_value(json_object_get(l, "i")), -5);
	assert_int_equal(json_integer_value(json_object_get(l, "u")), 7);
	assert_string_equal(json_string_value(json_object_get(l, "e")), "PACKET_BUSY");
	json_decref(l);
}

static void write_steps(void)
{
	trace_begin("req-1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
	LOG_STEP("not followed", {"i", LOG_I(1)});
	trace_begin("req-1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03");
	LOG_STEP("followed", {"i", LOG_I(2)});
	trace_end();
	LOG_STEP("without", {"i", LOG_I(3)});
}

static void steps_are_written_of_traces_that_are_followed(void **state)
{
	json_t *l;

	(void)state;
	logger_init("hb-test", "A", 3, LOGGER_INFO);
	l = only_line(logged(write_steps));
	assert_string_equal(json_string_value(json_object_get(l, "event")), "followed");
	assert_string_equal(json_string_value(json_object_get(l, "level")), "info");
	json_decref(l);
}

static void write_below_the_level(void)
{
	LOG0(DEBUG, "quiet");
	LOG0(INFO, "quiet");
	LOG0(ERROR, "loud");
}

static void lower_levels_are_left_out(void **state)
{
	json_t *l;

	(void)state;
	logger_init("hb-test", "", 0, LOGGER_WARN);
	l = only_line(logged(write_below_the_level));
	assert_string_equal(json_string_value(json_object_get(l, "event")), "loud");
	assert_null(json_object_get(l, "cell"));
	assert_null(json_object_get(l, "request_id"));
	json_decref(l);
}

static char long_text[5000];

static void write_long(void)
{
	LOG(ERROR, "long", {"s", LOG_S(long_text)});
}

static void write_too_long(void)
{
	LOG(ERROR, "long", {"a", LOG_S(long_text)}, {"b", LOG_S(long_text)},
		{"c", LOG_S(long_text)}, {"d", LOG_S(long_text)});
}

static void long_strings_are_cut(void **state)
{
	json_t *l;

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	l = only_line(logged(write_long));
	assert_int_equal(json_string_length(json_object_get(l, "s")), 1024);
	json_decref(l);
	l = only_line(logged(write_too_long));
	assert_string_equal(json_string_value(json_object_get(l, "event")), "long");
	assert_true(json_is_true(json_object_get(l, "cut")));
	json_decref(l);
}

static void *write_many(void *arg)
{
	for (int i = 0; i < 200; i++)
		LOG(ERROR, "many", {"thread", LOG_I((intptr_t)arg)}, {"i", LOG_I(i)});
	return NULL;
}

static void write_from_threads(void)
{
	pthread_t t[8];

	for (intptr_t i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, write_many, (void *)i);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
}

static void lines_of_threads_never_mix(void **state)
{
	char *text = logged(write_from_threads), *rest = text, *line;
	int lines = 0;

	(void)state;
	while ((line = strsep(&rest, "\n")) && *line) {
		json_t *l = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		if (!l)
			fail_msg("%s", line);
		json_decref(l);
		lines++;
	}
	assert_int_equal(lines, 1600);
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
		cmocka_unit_test(a_line_has_every_field),
		cmocka_unit_test(steps_are_written_of_traces_that_are_followed),
		cmocka_unit_test(lower_levels_are_left_out),
		cmocka_unit_test(long_strings_are_cut),
		cmocka_unit_test(lines_of_threads_never_mix),
	};

	return cmocka_run_group_tests_name("logger", tests, setup, teardown);
}
