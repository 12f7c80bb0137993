/* Cursors: good for the next page of the very same list, and for nothing else. */
#include "fcgi/cursor.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
	http_req_t r;
	program_t p;
	app_t app;
	routes_row route;
	app_call_t c;
	char text[128];
} fixture;

static int start(void **state)
{
	fixture *f = calloc(1, sizeof(*f));
	char path[] = "/tmp/hb-cursor-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0 && fchmod(fd, 0400) == 0);
	assert_int_equal(dprintf(fd, "k1 %064d\n", 7), 68);
	close(fd);
	assert_int_equal(keys_load(path, &f->p.seal_keys), ERR_OK);
	unlink(path);
	f->r.arena = arena_new(1 << 20);
	f->r.query = "";
	f->app.p = &f->p;
	f->route.id = ROUTES_ID_sent;
	f->c = (app_call_t){
		.r = &f->r, .app = &f->app, .route = &f->route, .uid = 1001, .number = 5};
	*state = f;
	return 0;
}

static int end(void **state)
{
	fixture *f = *state;
	arena_free(&f->r.arena);
	keys_free(&f->p.seal_keys);
	free(f);
	return 0;
}

/* The query string of the next page. */
static void write_cursor(fixture *f, uint64_t key0, uint64_t key1)
{
	jw_start(&f->r.out, f->r.arena);
	jw_obj(&f->r.out, NULL);
	cursor_write(&f->c, true, key0, key1);
	jw_obj_end(&f->r.out);
	jw_end(&f->r.out);
	json_t *o = json_loads(f->r.out.buf, 0, NULL);
	snprintf(f->text, sizeof(f->text), "cursor=%s",
		json_string_value(json_object_get(o, "next_cursor")));
	json_decref(o);
	f->r.query = f->text;
}

static void the_first_page_has_the_default_limit(void **state)
{
	fixture *f = *state;
	cursor_t at;
	assert_int_equal(cursor_read(&f->c, &at), ERR_OK);
	assert_int_equal(at.limit, CURSOR_LIMIT_DEFAULT);
	assert_false(at.given);
}

static void a_cursor_brings_back_its_keys(void **state)
{
	fixture *f = *state;
	cursor_t at;
	write_cursor(f, UINT64_MAX, 42);
	assert_int_equal(cursor_read(&f->c, &at), ERR_OK);
	assert_true(at.given);
	assert_true(at.key[0] == UINT64_MAX);
	assert_int_equal(at.key[1], 42);
}

static void the_last_page_says_null(void **state)
{
	fixture *f = *state;
	jw_start(&f->r.out, f->r.arena);
	jw_obj(&f->r.out, NULL);
	cursor_write(&f->c, false, 1, 2);
	jw_obj_end(&f->r.out);
	jw_end(&f->r.out);
	assert_string_equal(f->r.out.buf, "{\"next_cursor\":null}");
}

static void another_user_route_or_number_cannot_use_it(void **state)
{
	fixture *f = *state;
	cursor_t at;
	write_cursor(f, 1, 2);
	f->c.uid++;
	assert_int_equal(cursor_read(&f->c, &at), ERR_CURSOR_INVALID);
	f->c.uid--;
	f->route.id = ROUTES_ID_received;
	assert_int_equal(cursor_read(&f->c, &at), ERR_CURSOR_INVALID);
	f->route.id = ROUTES_ID_sent;
	f->c.number++;
	assert_int_equal(cursor_read(&f->c, &at), ERR_CURSOR_INVALID);
	f->c.number--;
	assert_int_equal(cursor_read(&f->c, &at), ERR_OK);
}

static void every_changed_character_is_noticed(void **state)
{
	fixture *f = *state;
	cursor_t at;
	write_cursor(f, 1, 2);
	for (char *p = f->text + strlen("cursor="); *p; p++) {
		char was = *p;
		*p = was == 'A' ? 'Q' : 'A';
		assert_int_equal(cursor_read(&f->c, &at), ERR_CURSOR_INVALID);
		*p = was;
	}
}

static void malformed_cursors_and_limits_are_refused_and_empty_ones_are_none(void **state)
{
	static const struct {
		const char *query;
		err_t error;
	} cases[] = {{"cursor=", ERR_OK}, {"cursor=abc", ERR_CURSOR_INVALID},
		{"cursor=!!!!", ERR_CURSOR_INVALID}, {"limit=0", ERR_INVALID_FIELD},
		{"limit=101", ERR_INVALID_FIELD}, {"limit=&cursor=", ERR_OK},
		{"limit=-1", ERR_INVALID_FIELD}, {"limit=1e1", ERR_INVALID_FIELD},
		{"limit=05", ERR_INVALID_FIELD}, {"limit=1&limit=1", ERR_INVALID_REQUEST},
		{"limit=%zz", ERR_INVALID_REQUEST}, {"limit=1", ERR_OK}, {"limit=100", ERR_OK}};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cursor_t at;
		f->r.query = cases[i].query;
		assert_int_equal(cursor_read(&f->c, &at), cases[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
		CASE(the_first_page_has_the_default_limit),
		CASE(a_cursor_brings_back_its_keys),
		CASE(the_last_page_says_null),
		CASE(another_user_route_or_number_cannot_use_it),
		CASE(every_changed_character_is_noticed),
		CASE(malformed_cursors_and_limits_are_refused_and_empty_ones_are_none),
	};
	if (keys_init() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
