/* age_export and age against MariaDB: what a file holds, what proves it, and what keeps a range. */
#include "base/metrics.h"
#include "domain/age_export.h"
#include "domain/states.h"
#include "tests/unit/cell_db.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PACKETS = 2500, CLAIMS_EACH = 2 }; /* several pages, the last one not full */
#define FIRST 100001001
#define RANGE_END 10000000000000u

typedef struct {
	db_target target;
	db_t *db;
	char folder[64], file[160];
	age_desk desk;
	age_range range;
} fixture;

static int start(void **state)
{
	fixture *f = calloc(1, sizeof *f);
	cell_db_make("scratch_age", &f->target);
	assert_int_equal(db_open(&f->target, &f->db), ERR_OK);
	cell_db_run(f->db,
		"INSERT INTO packet SELECT %d + 100000 * (seq - 1), 7, 1, 1, 1, 3, 2, 0, 10, 0, 5, "
		"9, seq, "
		"'s', '', REPEAT('c', 32), 'hi', NULL, 0 FROM seq_1_to_%d; "
		"INSERT INTO claim SELECT packet_id, 10 + seq, seq, packet_id * 10 + seq, 5, 8 "
		"FROM packet "
		"JOIN seq_1_to_%d; "
		"INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, "
		"next_check_at, "
		"created_at, changed_at) SELECT claim_no, packet_id, uid, amount, 1, 2, 9, 8, 9 "
		"FROM claim; "
		"INSERT INTO invited SELECT packet_id, 11 FROM packet LIMIT 3; "
		"UPDATE id_block SET next_seq = 200000000",
		FIRST, PACKETS, CLAIMS_EACH);
	strcpy(f->folder, "/tmp/hb-age-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->desk = (age_desk){.db = f->db, .folder = f->folder, .rows_per_s = 10000000};
	snprintf(f->file, sizeof f->file, "%s/%llu/claim.jsonl", f->folder,
		(unsigned long long)RANGE_END);
	*state = f;
	return 0;
}

static int end(void **state)
{
	fixture *f = *state;
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", f->folder);
	assert_int_equal(system(command), 0);
	db_close(&f->db);
	free(f);
	return 0;
}

static void load(fixture *f)
{
	static age_range ranges[AGE_RANGES_MAX];
	unsigned count;
	uint64_t next_no;
	assert_int_equal(age_load(f->db, ranges, &count, &next_no), ERR_OK);
	assert_int_equal(next_no, 2 * RANGE_END);
	assert_true(count >= 3);
	f->range = ranges[0];
}

/* Closed and exported. */
static void export_range(fixture *f)
{
	uint64_t rows[AGE_TABLES];
	uint8_t digest[AGE_DIGEST_BYTES];
	load(f);
	if (f->range.state == STATES_RANGE_OPEN)
		assert_int_equal(age_close(f->db, &f->range, 20), ERR_OK);
	load(f);
	assert_int_equal(age_export(&f->desk, &f->range, rows, digest), ERR_OK);
	assert_int_equal(rows[AGE_PACKET], PACKETS);
	assert_int_equal(rows[AGE_CLAIM], PACKETS * CLAIMS_EACH);
	assert_int_equal(rows[AGE_INVITED], 3);
	assert_int_equal(age_exported(f->db, &f->range, rows, digest, 30), ERR_OK);
	load(f);
	assert_int_equal(f->range.state, STATES_RANGE_EXPORTED);
}

static bool verified(fixture *f)
{
	bool same;
	assert_int_equal(age_verify(&f->desk, &f->range, &same), ERR_OK);
	return same;
}

static void what_is_exported_is_proved_and_leaves_its_rest(void **state)
{
	fixture *f = *state;
	bool gone;
	export_range(f);
	assert_int_equal(cell_db_number(f->db, "SELECT COUNT(*) FROM packet_left"), 0);
	assert_int_equal(age_leave(f->db, &f->range, 40), ERR_STATE_REFUSED);
	assert_true(verified(f));
	assert_int_equal(cell_db_number(f->db, "SELECT COUNT(*) FROM packet_left"), PACKETS);
	assert_true(verified(f));
	assert_int_equal(age_leave(f->db, &f->range, 40), ERR_OK);
	load(f);
	assert_int_equal(age_drop(f->db, &f->range, 50, &gone), ERR_OK);
	assert_false(gone);
	assert_int_equal(cell_db_number(f->db, "SELECT COUNT(*) FROM packet"), 0);
	assert_int_equal(
		cell_db_number(f->db, "SELECT COUNT(*) FROM claim"), PACKETS * CLAIMS_EACH);
	assert_int_equal(age_drop(f->db, &f->range, 50, &gone), ERR_OK);
	assert_true(gone);
	assert_int_equal(cell_db_number(f->db, "SELECT COUNT(*) FROM claim"), 0);
	assert_int_equal(
		cell_db_number(f->db, "SELECT COUNT(*) FROM transfer"), PACKETS * CLAIMS_EACH);
	age_rest rest;
	assert_int_equal(age_rest_find(f->db, FIRST, &rest), ERR_OK);
	assert_int_equal(rest.total_fen, 10);
	assert_int_equal(age_rest_find(f->db, FIRST + 1, &rest), ERR_NOT_FOUND);
}

static void a_file_that_is_not_the_table_is_seen(void **state)
{
	fixture *f = *state;
	char other[200];
	export_range(f);
	FILE *file = fopen(f->file, "r+");
	assert_non_null(file);
	assert_int_equal(fputc('x', file), 'x');
	fclose(file);
	assert_false(verified(f));
	assert_int_equal(age_again(f->db, &f->range, 35), ERR_OK);
	export_range(f);
	assert_true(verified(f));
	snprintf(other, sizeof other, "%s.away", f->file);
	assert_int_equal(rename(f->file, other), 0);
	assert_false(verified(f));
	assert_int_equal(rename(other, f->file), 0);
	assert_true(verified(f));
}

static void a_table_that_is_not_the_file_is_seen(void **state)
{
	static const char *const change[][2] = {
		{"UPDATE packet SET video_id = 'v'", "UPDATE packet SET video_id = NULL"},
		{"UPDATE claim SET amount = amount + 1", "UPDATE claim SET amount = amount - 1"},
		{"INSERT INTO invited VALUES (100001001, 12)",
			"DELETE FROM invited WHERE uid = 12"},
	};
	fixture *f = *state;
	export_range(f);
	for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
		cell_db_run(f->db, "%s", change[i][0]);
		assert_false(verified(f));
		cell_db_run(f->db, "%s", change[i][1]);
		assert_true(verified(f));
	}
}

static void every_row_is_judged_in_both_walks(void **state)
{
	fixture *f = *state;
	uint64_t rows[AGE_TABLES];
	uint8_t digest[AGE_DIGEST_BYTES];
	bool same;
	export_range(f);
	cell_db_run(f->db, "DELETE FROM transfer WHERE packet_id = %d LIMIT 1",
		FIRST + 100000 * (PACKETS - 1));
	assert_int_equal(age_verify(&f->desk, &f->range, &same), ERR_STATE_REFUSED);
	assert_int_equal(age_export(&f->desk, &f->range, rows, digest), ERR_STATE_REFUSED);
}

/* A migration that adds a column must add it to the export. */
static void every_column_is_in_the_files(void **state)
{
	fixture *f = *state;
	export_range(f);
	for (unsigned t = 0; t < AGE_TABLES; t++) {
		char path[160], line[8192];
		int64_t columns = cell_db_number(f->db,
			"SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = "
			"DATABASE() AND TABLE_NAME = '%s'",
			age_table_name((age_table)t));
		snprintf(path, sizeof path, "%s/%llu/%s.jsonl", f->folder,
			(unsigned long long)RANGE_END, age_table_name((age_table)t));
		FILE *file = fopen(path, "r");
		assert_non_null(file);
		assert_non_null(fgets(line, sizeof line, file));
		fclose(file);
		int64_t keys = 0;
		for (const char *at = line; (at = strstr(at, "\":")); at++)
			keys++;
		assert_int_equal(keys, columns);
	}
}

static void a_range_is_made_once_behind_the_last_and_not_over_packets(void **state)
{
	fixture *f = *state;
	assert_int_equal(age_add(f->db, 3 * RANGE_END, 60), ERR_OK);
	assert_int_equal(age_add(f->db, 3 * RANGE_END, 60), ERR_OK);
	assert_int_equal(cell_db_number(f->db, "SELECT COUNT(*) FROM age_range"), 4);
	cell_db_run(f->db, "UPDATE packet SET packet_id = %llu WHERE packet_id = %d",
		(unsigned long long)(4 * RANGE_END + 5), FIRST);
	assert_int_equal(age_add(f->db, 4 * RANGE_END, 60), ERR_STATE_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_is_exported_is_proved_and_leaves_its_rest, start, end),
		cmocka_unit_test_setup_teardown(a_file_that_is_not_the_table_is_seen, start, end),
		cmocka_unit_test_setup_teardown(a_table_that_is_not_the_file_is_seen, start, end),
		cmocka_unit_test_setup_teardown(every_row_is_judged_in_both_walks, start, end),
		cmocka_unit_test_setup_teardown(every_column_is_in_the_files, start, end),
		cmocka_unit_test_setup_teardown(
			a_range_is_made_once_behind_the_last_and_not_over_packets, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
